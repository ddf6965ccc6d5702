"""
The recorder of waits for workers.

Deployments don't notice that no worker carries them out, so each node asks the roster, and records each change in the
deployment. Nodes may do so at once: a wait that is recorded already adds no event.
"""

import asyncio
from collections.abc import Collection
from functools import partial

from application import worker as workers
from application.handler import Handler
from application.worker import Roster
from domain import deployment as deployments
from domain.access import ENGINE
from domain.deployment.queue import DeploymentId
from domain.deployment.wait import QUEUED, WaitCause
from runner.engine import OpenDeployments
from runner.retry import log_once
from store.log import Author, Origin

POLL = 2.0
"""Time between two looks at the roster, in seconds."""


class WaitRecorder:
    """Records which worker each admitted deployment waits for, according to *roster*."""

    def __init__(self, handler: Handler, roster: Roster, open_deployments: OpenDeployments) -> None:
        self._handler, self._roster, self._open_deployments = handler, roster, open_deployments
        self._recorded: dict[DeploymentId, WaitCause] = {}

    async def run(self) -> None:
        """Record until cancelled."""
        is_resumed, last = False, ""
        while True:
            await asyncio.sleep(POLL)
            try:
                if not is_resumed:
                    await self._resume(await self._open_deployments(await self._handler.log.position()))
                    is_resumed = True
                await self._look()
                last = ""
            except Exception as error:
                last = log_once("Recording the waits of deployments failed; retrying: %(reason)s", error, last)

    async def _resume(self, open_: Collection[DeploymentId]) -> None:
        """Find the waits for workers that are recorded and may be over."""
        for id_ in open_:
            cause = (await self._handler.states.load(deployments.decider, id_)).state.wait
            if cause is not None and cause.reason not in QUEUED:
                self._recorded[id_] = cause

    async def _look(self) -> None:
        found = {wait.deployment: wait.cause for wait in await self._roster.waits()}
        for id_ in found.keys() | self._recorded.keys():
            if found.get(id_) != self._recorded.get(id_):
                await self._record(id_)

    async def _record(self, id_: DeploymentId) -> None:
        by = Author(actor=ENGINE, origin=Origin.ENGINE, correlation=id_)
        work = partial(workers.record, roster=self._roster, deployment=id_)
        state = (await self._handler.transact(work, deployments.decider, by)).state
        if state.wait is None or state.status.is_final or state.wait.reason in QUEUED:
            self._recorded.pop(id_, None)
        else:
            self._recorded[id_] = state.wait
