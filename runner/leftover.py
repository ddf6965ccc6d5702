"""
Leftovers: services that run although no pipeline and no open deployment has them.

A plan is pinned: a deployment runs the services of its plan even if they were removed meanwhile. So a removed service
is a leftover only when the last deployment that planned it is over.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any
from uuid import UUID

from application.handler import Handler
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentClosed, DeploymentId, DeploymentRequested
from domain.deployment.state import DeploymentPlanned
from domain.pipeline.environment import EnvironmentDeleted, Target
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceRemoved
from domain.project import EnvironmentId
from runner.targets.contract import Executor
from store.log import Event, RecordedEvent

CONCERNING: Collection[type[Event]] = {DeploymentRequested, DeploymentClosed, ServiceRemoved, EnvironmentDeleted}
"""Types of the events that `Leftovers.after` needs: each event once, in order."""


class Leftovers:
    """The leftovers on *executors*, and how to stop them."""

    def __init__(self, handler: Handler, executors: Mapping[Target, Executor]) -> None:
        self._log, self._states, self._executors = handler.log, handler.states, executors
        self._turns = asyncio.Lock()
        self._whole: dict[UUID, set[DeploymentId]] = {}  # by queue: deployments with no removal since their request

    async def stop(self, environment: EnvironmentId, services: Collection[ServiceId] = ()) -> None:
        """Stop the leftovers among *services* and the services of *environment*, if it was deleted."""
        async with self._turns:  # one removal at a time, so that a thousand do not hold up other tasks
            left = await self._left(environment, services)
        await asyncio.gather(
            *(executor.delete(environment, service) for service in left for executor in self._executors.values())
        )

    async def _left(self, environment: EnvironmentId, services: Collection[ServiceId]) -> set[ServiceId]:
        pipeline = (await self._states.load(pipelines.decider, environment)).state
        standing = {service.id for service in pipeline.services}
        held = standing if pipeline.exists else set()
        left = {*services, *standing} - held
        return left - await self._awaited(environment) if left else left

    def after(self, recorded: RecordedEvent) -> Coroutine[Any, Any, None] | None:
        """Return a coroutine that stops the leftovers after an event, if there can be any."""
        match recorded.event:
            case DeploymentRequested(deployment=deployment):
                self._whole.setdefault(recorded.stream, set()).add(deployment)
                return None
            case DeploymentClosed(deployment=deployment):
                return None if self._has_no_removal(recorded.stream, deployment) else self.stop_after(deployment)
            case ServiceRemoved(service=service):
                self._whole.pop(queues.stream(EnvironmentId(recorded.stream)), None)
                return self.stop(EnvironmentId(recorded.stream), [service])
            case EnvironmentDeleted():
                self._whole.pop(queues.stream(EnvironmentId(recorded.stream)), None)
                return self.stop(EnvironmentId(recorded.stream))
            case _:
                return None

    def _has_no_removal(self, queue: UUID, deployment: DeploymentId) -> bool:
        """Return whether the finished *deployment* has no leftovers: the pipeline still has all its services."""
        whole = self._whole.get(queue, set())
        if deployment not in whole:
            return False
        whole.remove(deployment)
        if not whole:
            del self._whole[queue]
        return True

    async def stop_after(self, deployment: DeploymentId) -> None:
        """Stop the leftovers of the finished *deployment*.

        The pipeline had all planned services at that version, so only services removed since can be leftovers.
        """
        for planned in await self._log.events(deployment, until=1):
            assert isinstance(planned, DeploymentPlanned)
            since = await self._log.events(planned.environment, after=planned.plan.pipeline_version)
            if any(isinstance(event, ServiceRemoved | EnvironmentDeleted) for event in since):
                await self.stop(planned.environment, [s.id for stage in planned.plan.stages for s in stage.services])

    async def sweep(self, keep: Collection[ServiceId]) -> None:
        """Stop every service but *keep*."""
        await asyncio.gather(*(executor.sweep(keep) for executor in self._executors.values()))

    async def _awaited(self, environment: EnvironmentId) -> set[ServiceId]:
        queue = (await self._states.load(queues.decider, queues.stream(environment))).state
        return await self.planned([request.deployment for request in queue.open])

    async def planned(
        self, open_: Collection[DeploymentId], elsewhere: Collection[EnvironmentId] = ()
    ) -> set[ServiceId]:
        """Return the services that the deployments *open_* planned, without the environments *elsewhere*."""
        planned: set[ServiceId] = set()
        for id_ in open_:
            deployment = (await self._states.load(deployments.decider, id_)).state
            if deployment.environment not in elsewhere:
                planned |= {run.service.id for stage in deployment.stages for run in stage.services}
        return planned
