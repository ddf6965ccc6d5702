"""
What runs though nothing holds it any more.

A service is held by its pipeline, and by every plan that is still to be carried out: a plan does what it says whatever
becomes of the pipeline, so that a service removed meanwhile is left over only when the deployment is over.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any
from uuid import UUID

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import queue as queues
from domain.deployment import DeploymentPlanned
from domain.environment import EnvironmentDeleted, Target
from domain.project import EnvironmentId
from domain.queue import DeploymentClosed, DeploymentId, DeploymentRequested
from domain.service import ServiceId, ServiceRemoved
from runner.executor import Executor
from store.handle import Handler
from store.log import Event, Recorded

CONCERNING: Collection[type[Event]] = {DeploymentRequested, DeploymentClosed, ServiceRemoved, EnvironmentDeleted}
"""The kinds of events that `Leftovers.after` has to see: each once, in their order."""


class Leftovers:
    """Stops on *executors* what is left over."""

    def __init__(self, handler: Handler, executors: Mapping[Target, Executor]) -> None:
        self._log, self._states, self._executors = handler.log, handler.states, executors
        self._turns = asyncio.Lock()
        self._whole: dict[UUID, set[DeploymentId]] = {}  # by queue: those since whose request nothing was removed

    async def stop(self, environment: EnvironmentId, services: Collection[ServiceId] = ()) -> None:
        """Stops what nothing holds: of *services*, and of those that *environment* had when it was deleted."""
        async with self._turns:  # where a thousand are removed at once, others have their turn between two of them
            left = await self._left(environment, services)
        await asyncio.gather(
            *(executor.stop(environment, service) for service in left for executor in self._executors.values())
        )

    async def _left(self, environment: EnvironmentId, services: Collection[ServiceId]) -> set[ServiceId]:
        pipeline = (await self._states.load(pipelines.decider, environment)).state
        standing = {service.id for service in pipeline.services}
        held = standing if pipeline.exists else set()
        left = {*services, *standing} - held
        return left - await self._awaited(environment) if left else left

    def after(self, recorded: Recorded) -> Coroutine[Any, Any, None] | None:
        """What has to be done about an event, if anything."""
        match recorded.event:
            case DeploymentRequested(deployment=deployment):
                self._whole.setdefault(recorded.stream, set()).add(deployment)
                return None
            case DeploymentClosed(deployment=deployment):
                return None if self._is_whole(recorded.stream, deployment) else self.stop_after(deployment)
            case ServiceRemoved(service=service):
                self._whole.pop(queues.stream(EnvironmentId(recorded.stream)), None)
                return self.stop(EnvironmentId(recorded.stream), [service])
            case EnvironmentDeleted():
                self._whole.pop(queues.stream(EnvironmentId(recorded.stream)), None)
                return self.stop(EnvironmentId(recorded.stream))
            case _:
                return None

    def _is_whole(self, queue: UUID, deployment: DeploymentId) -> bool:
        """Whether *deployment*, which is over, leaves nothing behind: all that it planned stands in the pipeline."""
        whole = self._whole.get(queue, set())
        if deployment not in whole:
            return False
        whole.remove(deployment)
        if not whole:
            del self._whole[queue]
        return True

    async def stop_after(self, deployment: DeploymentId) -> None:
        """Stops what the plan of *deployment*, which is over, was the last to hold.

        All of it stood in the pipeline when the plan was made, so only what was removed since then can be left over.
        """
        for planned in await self._log.events(deployment, until=1):
            assert isinstance(planned, DeploymentPlanned)
            since = await self._log.events(planned.environment, after=planned.plan.pipeline_version)
            if any(isinstance(event, ServiceRemoved | EnvironmentDeleted) for event in since):
                await self.stop(planned.environment, [s.id for stage in planned.plan.stages for s in stage.services])

    async def sweep(self, keep: Collection[ServiceId]) -> None:
        """Stops everything but the services *keep*."""
        await asyncio.gather(*(executor.sweep(keep) for executor in self._executors.values()))

    async def _awaited(self, environment: EnvironmentId) -> set[ServiceId]:
        queue = (await self._states.load(queues.decider, queues.stream(environment))).state
        return await self.planned([request.deployment for request in queue.open])

    async def planned(
        self, open_: Collection[DeploymentId], elsewhere: Collection[EnvironmentId] = ()
    ) -> set[ServiceId]:
        """The services that the deployments *open_* are about, but for those of the environments *elsewhere*."""
        planned: set[ServiceId] = set()
        for id_ in open_:
            deployment = (await self._states.load(deployments.decider, id_)).state
            if deployment.environment not in elsewhere:
                planned |= {run.service.id for stage in deployment.stages for run in stage.services}
        return planned
