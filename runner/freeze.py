"""
The releases of deployments that wait for the end of a freeze.

Each node has a list of the held deployments, and releases them when their time has come. Nodes may do so at once: a
release that is recorded already adds no event.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from application import freeze as use_cases
from application.handler import Handler, Transaction
from domain import deployment as deployments
from domain.access import ENGINE
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentFrozen, DeploymentId, Queue
from domain.project import EnvironmentId
from runner.engine import OpenDeployments
from runner.retry import log_once
from store.log import Author, Origin, RecordedEvent

POLL = 1.0
"""Time between two looks at the clock, in seconds."""


class FreezeEnds:
    """Releases of held deployments in time, and after a start of those whose freeze ended meanwhile."""

    def __init__(self, handler: Handler, open_deployments: OpenDeployments) -> None:
        self._handler, self._open_deployments = handler, open_deployments
        self._held: dict[DeploymentId, datetime] = {}
        handler.log.watch(self._on_events, {DeploymentFrozen})

    def _on_events(self, events: Sequence[RecordedEvent]) -> None:
        for recorded in events:
            if isinstance(recorded.event, DeploymentFrozen):
                self._held[recorded.event.deployment] = recorded.event.until

    async def run(self) -> None:
        """Release until cancelled."""
        is_resumed, last = False, ""
        while True:
            try:
                if not is_resumed:
                    await self._resume()
                    is_resumed = True
                now = datetime.now(UTC)
                for deployment, until in list(self._held.items()):
                    if until <= now:
                        await self._release(deployment, now)
                last = ""
            except Exception as error:
                last = log_once("Releasing held deployments failed; retrying: %(reason)s", error, last)
            await asyncio.sleep(POLL)

    async def _resume(self) -> None:
        """Find the deployments that are held."""
        for id_ in await self._open_deployments(await self._handler.log.position()):
            environment = await self._environment(id_)
            if environment is None:
                continue
            queue = (await self._handler.states.load(queues.decider, queues.stream(environment))).state
            self._held |= _held(queue)

    async def _release(self, deployment: DeploymentId, now: datetime) -> None:
        environment = await self._environment(deployment)
        if environment is not None:
            by = Author(actor=ENGINE, origin=Origin.ENGINE)

            async def work(transaction: Transaction) -> EnvironmentId:
                return EnvironmentId(await use_cases.release(transaction, environment, now))

            queue = (await self._handler.transact(work, queues.decider, by)).state
            longer = _held(queue)
            if deployment in longer:
                self._held |= longer
                return
        self._held.pop(deployment, None)

    async def _environment(self, deployment: DeploymentId) -> EnvironmentId | None:
        return (await self._handler.states.load(deployments.decider, deployment)).state.environment


def _held(queue: Queue) -> dict[DeploymentId, datetime]:
    """Return the ends of the freezes that deployments in *queue* wait for."""
    return {each.deployment: each.frozen_until for each in queue.waiting if each.frozen_until is not None}
