"""
Instances after their deployment: how an instance is, and whether it is started again when it has ended.

An environment has a stream of events of its instances. Only what happens to an instance after its deployment is in it,
so one that just runs has no event. A supervisor reports how an instance is now; an event may sum up several ends or
restarts, and says how many.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NewType, assert_never, get_args
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.deployment.queue import DeploymentId
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import Restart, ServiceSpec, ServiceType

InstanceId = NewType("InstanceId", UUID)


MAX_REPORTS = 6
"""Maximum number of reports of an instance within a minute that become events."""


@lru_cache(10_000)
def stream(environment: EnvironmentId) -> UUID:
    """Return the stream of *environment*'s instances."""
    return uuid5(environment, "instances")


def identify(deployment: UUID, service: UUID) -> InstanceId:
    """Return the id of the instance of *service* that *deployment* brought, on a target that has one at most."""
    return InstanceId(uuid5(deployment, str(service)))


class InstanceStatus(StrEnum):
    """The status of an instance that a deployment brought.

    RESTARTING lasts from an end until the instance is healthy again. EXITED and GIVEN_UP are final: nothing starts it,
    but for a cluster, which tries again after a while.
    LOST is that of `DeployedStatus`, or of an instance that somebody removed from its target. STOPPED is that of
    `DeployedStatus`; no supervisor reports it.
    """

    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    RESTARTING = "RESTARTING"
    EXITED = "EXITED"
    GIVEN_UP = "GIVEN_UP"
    STOPPED = "STOPPED"
    LOST = "LOST"


class InstanceExit(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The end of an instance; without *code* and *signal* it was killed together with its shim, or the machine stopped.

    *signal* is a name such as SIGKILL. With *is_out_of_memory* the system killed it at its limit of memory.
    """

    at: datetime
    code: int | None = None
    signal: str | None = None
    is_out_of_memory: bool = False


def after_exit(spec: ServiceSpec, is_failure: bool, recent: Sequence[float], now: float) -> InstanceStatus:
    """Return the status of an instance that has ended *now*; *recent* are the times of its restarts."""
    if spec.restart is Restart.NO or (spec.restart is Restart.ON_FAILURE and not is_failure):
        return InstanceStatus.EXITED
    if len(counted(spec, recent, now)) >= spec.restart_limit:
        return InstanceStatus.GIVEN_UP
    return InstanceStatus.RESTARTING


def counted(spec: ServiceSpec, recent: Sequence[float], now: float) -> tuple[float, ...]:
    """Return the restarts that count towards the limit: those within the window before *now*.

    Times are in seconds of the monotonic clock. A later one than *now* is from before a restart of the machine.
    """
    return tuple(moment for moment in recent if now - spec.restart_window < moment <= now)


class InstanceIdentity(Struct, frozen=True, kw_only=True, gc=False):
    """An instance of *service*, with its *name* at the time, that *deployment* with *number* brought."""

    id: InstanceId
    service: ServiceId
    name: str
    type: ServiceType
    deployment: DeploymentId
    number: int


class InstanceExited(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance ended, last with *last*, for the time number *exits*; *count* ends are summed up.

    Its *status* is RESTARTING or EXITED now.
    """

    instance: InstanceIdentity
    last: InstanceExit
    exits: int
    status: InstanceStatus
    count: int = 1


class InstanceRestarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance was started again *at* that time, for the time number *restarts*; *count* starts are summed up."""

    instance: InstanceIdentity
    at: datetime
    restarts: int
    count: int = 1


class InstanceGivenUp(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance has ended, and nothing starts it again: it had too many *restarts*."""

    instance: InstanceIdentity
    at: datetime
    restarts: int
    problem: str | None = None


class InstanceUnhealthy(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance failed its health checks; *problem* says how."""

    instance: InstanceIdentity
    at: datetime
    problem: str | None = None


class InstanceRecovered(Struct, frozen=True, kw_only=True, gc=False):
    """The instance is healthy again, without a restart."""

    instance: InstanceIdentity
    at: datetime


class InstanceLost(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Nothing of the instance is left on its target, and no deployment removed it; *problem* says how it was found."""

    instance: InstanceIdentity
    at: datetime
    problem: str | None = None


class InstanceDrifted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Somebody has changed on the target what was applied; *drift* says which fields differ. None do if it is empty."""

    instance: InstanceIdentity
    at: datetime
    drift: tuple[str, ...] = ()


InstanceEvent = (
    InstanceExited
    | InstanceRestarted
    | InstanceGivenUp
    | InstanceUnhealthy
    | InstanceRecovered
    | InstanceLost
    | InstanceDrifted
)


class ReportInstance(Struct, frozen=True, kw_only=True, gc=False):
    """The instance has *status* since *at*; it has ended *exits* times, and was started again *restarts* times.

    *drift* says what somebody has changed on the target since; None if that is not known.
    """

    instance: InstanceIdentity
    status: InstanceStatus
    at: datetime
    exits: int = 0
    restarts: int = 0
    last: InstanceExit | None = None
    problem: str | None = None
    drift: tuple[str, ...] | None = None


class WatchedInstance(Struct, frozen=True, kw_only=True, gc=False):
    """An instance as its events say; *since* is the time of its status, None if it runs since its deployment."""

    instance: InstanceIdentity
    status: InstanceStatus = InstanceStatus.RUNNING
    since: datetime | None = None
    exits: int = 0
    restarts: int = 0
    last: InstanceExit | None = None
    problem: str | None = None
    drift: tuple[str, ...] = ()


class WatchedInstances(Struct, frozen=True, kw_only=True, gc=False):
    """The instances of an environment to which something happened after their deployment, by their services."""

    known: Mapping[ServiceId, WatchedInstance] = {}


def decide(instances: WatchedInstances, command: ReportInstance) -> list[InstanceEvent]:
    """Return the events that lead from what is known of the instance to what is reported."""
    of, at = command.instance, command.at
    known = _known(instances, of)
    events: list[InstanceEvent] = []
    if (restarts := command.restarts - known.restarts) > 0:
        events.append(InstanceRestarted(instance=of, at=at, restarts=command.restarts, count=restarts))
    if (exits := command.exits - known.exits) > 0 and command.last is not None:
        status = InstanceStatus.EXITED if command.status is InstanceStatus.EXITED else InstanceStatus.RESTARTING
        exited = InstanceExited(instance=of, last=command.last, exits=command.exits, status=status, count=exits)
        runs = command.status in (InstanceStatus.RUNNING, InstanceStatus.UNHEALTHY)
        events.insert(0 if runs else len(events), exited)  # one that runs was started after its last end
    now = decider.replay(events, instances)
    match command.status:
        case status if status is _known(now, of).status:
            pass
        case InstanceStatus.RUNNING:
            events.append(InstanceRecovered(instance=of, at=at))
        case InstanceStatus.UNHEALTHY:
            events.append(InstanceUnhealthy(instance=of, at=at, problem=command.problem))
        case InstanceStatus.GIVEN_UP:
            events.append(InstanceGivenUp(instance=of, at=at, restarts=command.restarts, problem=command.problem))
        case InstanceStatus.RESTARTING | InstanceStatus.EXITED:
            pass  # both begin with an end
        case InstanceStatus.LOST:
            events.append(InstanceLost(instance=of, at=at, problem=command.problem))
        case InstanceStatus.STOPPED:
            pass  # deployments say so
        case _:
            assert_never(command.status)
    if command.drift is not None and command.drift != known.drift:
        events.append(InstanceDrifted(instance=of, at=at, drift=command.drift))
    return events


def evolve(instances: WatchedInstances, event: InstanceEvent) -> WatchedInstances:
    known = _known(instances, event.instance)
    match event:
        case InstanceExited(last=last):
            known = replace(known, status=event.status, since=last.at, exits=event.exits, last=last)
        case InstanceRestarted():
            known = replace(known, status=InstanceStatus.RUNNING, since=event.at, restarts=event.restarts, problem=None)
        case InstanceGivenUp():
            known = replace(known, status=InstanceStatus.GIVEN_UP, since=event.at, problem=event.problem)
        case InstanceUnhealthy():
            known = replace(known, status=InstanceStatus.UNHEALTHY, since=event.at, problem=event.problem)
        case InstanceRecovered():
            known = replace(known, status=InstanceStatus.RUNNING, since=event.at, problem=None)
        case InstanceLost():
            known = replace(known, status=InstanceStatus.LOST, since=event.at, problem=event.problem)
        case InstanceDrifted():
            known = replace(known, drift=event.drift)
        case _:
            assert_never(event)
    return replace(instances, known={**instances.known, event.instance.service: known})


def _known(instances: WatchedInstances, of: InstanceIdentity) -> WatchedInstance:
    """Return what is known of the instance; that it runs, if nothing is or another instance replaced it."""
    known = instances.known.get(of.service)
    return known if known is not None and known.instance.id == of.id else WatchedInstance(instance=of)


decider = Decider("instances", WatchedInstances(), decide, evolve, get_args(InstanceEvent))
