"""The instances that deployments brought to a target, as far as the log knows."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

from application.handler import States
from domain import deployment as deployments
from domain import instance as instances
from domain import pipeline as pipelines
from domain.deployment import converge
from domain.deployment import queue as queues
from domain.instance import InstanceIdentity, WatchedInstances
from domain.pipeline.environment import Target
from domain.project import EnvironmentId
from domain.spec import ServiceType
from runner.retry import retry

Environments = Callable[[], Awaitable[list[EnvironmentId]]]
"""Return the environments whose instances may be on this server's target."""


class DeployedInstances:
    """The instances on *target*, from the streams of *states*; *environments* lists those that have a part in it."""

    def __init__(self, states: States, target: Target, environments: Environments) -> None:
        self._states, self._target, self._environments = states, target, environments

    async def watched(self, environment: UUID) -> WatchedInstances | None:
        """Return what is known of the environment's instances; None if the log has no such environment."""
        pipeline = (await retry(partial(self._states.load, pipelines.decider, environment))).state
        if not pipeline.exists:
            return None
        stream = instances.stream(EnvironmentId(environment))
        return (await retry(partial(self._states.load, instances.decider, stream))).state

    async def running(self) -> Mapping[tuple[UUID, UUID], InstanceIdentity]:
        """Return the instances that run as far as deployments know, by environment and service.

        Those of environments in which a deployment is under way are left out.
        """
        found: dict[tuple[UUID, UUID], InstanceIdentity] = {}
        for environment in await self._environments():
            for instance in await self._running_in(environment):
                found[environment, instance.service] = instance
        return found

    async def _running_in(self, environment: EnvironmentId) -> list[InstanceIdentity]:
        pipeline = (await self._states.load(pipelines.decider, environment)).state
        queue = (await self._states.load(queues.decider, queues.stream(environment))).state
        if pipeline.target is not self._target or queue.admitted is not None or queue.last is None:
            return []
        last = (await self._states.load(deployments.decider, queue.last)).state
        known = {each.service: each for each in converge.instances(last, queue.last) if each.is_running}
        return [
            InstanceIdentity(
                id=instances.identify(each.deployment, service.id),
                service=service.id,
                name=service.name,
                type=service.type,
                deployment=each.deployment,
                number=each.number,
            )
            for service in pipeline.services
            if service.type is not ServiceType.JOB and (each := known.get(service.id)) is not None
        ]
