"""
What runs though nothing holds it any more.

A service is held by its pipeline, and by every plan that is still to be carried out: a plan does what it says whatever
becomes of the pipeline, so that a service removed meanwhile is left over only when the deployment is over.
"""

import asyncio
from collections.abc import Collection, Mapping

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import queue as queues
from domain.environment import Target
from domain.project import EnvironmentId
from domain.queue import DeploymentId
from domain.service import ServiceId
from runner.executor import Executor
from store.handle import States


class Leftovers:
    """Stops on *executors* what is left over."""

    def __init__(self, states: States, executors: Mapping[Target, Executor]) -> None:
        self._states, self._executors = states, executors

    async def stop(self, environment: EnvironmentId, services: Collection[ServiceId] = ()) -> None:
        """Stops what nothing holds: of *services*, and of those that *environment* had when it was deleted."""
        pipeline = (await self._states.load(pipelines.decider, environment)).state
        standing = {service.id for service in pipeline.services}
        held = standing if pipeline.exists else set()
        left = {*services, *standing} - held
        if left:
            queue = (await self._states.load(queues.decider, queues.stream(environment))).state
            left -= await self._planned([request.deployment for request in queue.open])
        await asyncio.gather(
            *(executor.stop(environment, service) for service in left for executor in self._executors.values())
        )

    async def stop_after(self, deployment: DeploymentId) -> None:
        """Stops what the plan of *deployment*, which is over, was the last to hold."""
        environment = (await self._states.load(deployments.decider, deployment)).state.environment
        if environment is not None:
            await self.stop(environment, await self._planned([deployment]))

    async def sweep(self, standing: Collection[ServiceId], open_: Collection[DeploymentId]) -> None:
        """Stops everything but the services *standing* in any pipeline, and those of the deployments *open_*."""
        keep = {*standing, *await self._planned(open_)}
        await asyncio.gather(*(executor.sweep(keep) for executor in self._executors.values()))

    async def _planned(self, open_: Collection[DeploymentId]) -> set[ServiceId]:
        planned: set[ServiceId] = set()
        for id_ in open_:
            deployment = (await self._states.load(deployments.decider, id_)).state
            planned |= {run.service.id for stage in deployment.stages for run in stage.services}
        return planned
