"""Knowledge and reports that the observers of all targets share, of instances after their deployment."""

import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from domain import instance as instances
from domain.deployment.queue import DeploymentId
from domain.instance import InstanceExit, InstanceIdentity, InstanceStatus, ReportInstance, WatchedInstances
from domain.pipeline.ref import ServiceId
from runner.targets.contract import StepRequest

LOOK = 30.0
"""Time between two comparisons of what runs with what deployments brought, in seconds."""

ServiceKey = tuple[UUID, UUID]
"""An environment and a service."""

Report = Callable[[UUID, ReportInstance], None]
"""Reports how an instance of an environment is."""


class DeployedInstances(Protocol):
    """The instances as the log has them."""

    async def watched(self, environment: UUID) -> WatchedInstances | None:
        """Return what is known of the environment's instances; None if it is not one of this log's."""
        ...

    async def running(self) -> Mapping[ServiceKey, InstanceIdentity]:
        """Return the instances that run on the target as far as deployments know, where no deployment is under way."""
        ...


def identity(request: StepRequest) -> InstanceIdentity:
    """Return the instance that *request* brought. A deployment brings one of a service, so its id follows."""
    return InstanceIdentity(
        id=instances.identify(request.deployment, request.service),
        service=ServiceId(request.service),
        name=request.name,
        type=request.type,
        deployment=DeploymentId(request.deployment),
        number=request.number,
    )


def exit_of(code: int, at: datetime, *, is_out_of_memory: bool = False) -> InstanceExit:
    """Return the end of a program in a container, which reports a signal as 128 plus its number."""
    with suppress(ValueError):
        name = signal.Signals(code - 128).name
        return InstanceExit(at=at, signal=name, is_out_of_memory=is_out_of_memory)
    return InstanceExit(at=at, code=code, is_out_of_memory=is_out_of_memory)


def absent(
    before: Mapping[ServiceKey, InstanceIdentity],
    after: Mapping[ServiceKey, InstanceIdentity],
    there: Collection[tuple[UUID, UUID, UUID]],
) -> Iterator[tuple[UUID, InstanceIdentity]]:
    """Yield the instances that are not *there*, by environment, service and deployment, with their environments.

    They ran as far as deployments know *before* and *after* the target was asked.
    """
    for key, instance in before.items():
        if after.get(key) == instance and (*key, instance.deployment) not in there:
            yield key[0], instance


async def report_lost(
    deployed: DeployedInstances, report: Report, environment: UUID, instance: InstanceIdentity, problem: str
) -> None:
    """Report that nothing of *instance* is left on its target, unless that is known."""
    watched = await deployed.watched(environment)
    known = None if watched is None else watched.known.get(instance.service)
    own = known if known is not None and known.instance.id == instance.id else None
    if own is None or own.status is not InstanceStatus.LOST:
        lost = ReportInstance(
            instance=instance,
            status=InstanceStatus.LOST,
            at=datetime.now(UTC),
            exits=0 if own is None else own.exits,
            restarts=0 if own is None else own.restarts,
            last=None if own is None else own.last,
            problem=problem,
        )
        report(environment, lost)
