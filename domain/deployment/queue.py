"""
The queue of an environment: one deployment at a time; the others wait in the order of their requests. A deployment that
undoes a failed one goes before them.

A request merges into a waiting one by the same actor, for the same action on the same services, on the same version of
the pipeline and of the project, for the same revision, and of the same earlier deployment. The policy of the
environment may say that it waits instead, or that it supersedes those that wait.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, reduce
from typing import NewType, assert_never, get_args
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import DeploymentNotWaiting, InvalidPosition, LimitReached
from domain.pipeline.environment import OnRequest
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId

DeploymentId = NewType("DeploymentId", UUID)

MAX_WAITING = 100
"""Maximum number of deployments waiting in an environment."""


@lru_cache(10_000)  # a deployment needs it three times, and computing it takes a hash
def stream(environment: EnvironmentId) -> UUID:
    """Return the stream of *environment*'s queue."""
    return uuid5(environment, "queue")


class Action(StrEnum):
    """The action that a deployment carries out on the services of its plan."""

    DEPLOY = "DEPLOY"
    REDEPLOY = "REDEPLOY"
    RETRY = "RETRY"
    ROLLBACK = "ROLLBACK"
    RESTART = "RESTART"
    START = "START"
    STOP = "STOP"
    DELETE = "DELETE"


COVERED = {
    Action.DEPLOY: (Action.DEPLOY, Action.RETRY),
    Action.REDEPLOY: (Action.DEPLOY, Action.REDEPLOY, Action.RETRY),
}
"""The actions that a later one on the same services makes needless."""

FREEZABLE = (Action.DEPLOY, Action.REDEPLOY, Action.RETRY, Action.ROLLBACK)
"""The actions that a freeze refuses or holds. The others bring no other version: a broken service can be stopped."""


class DeploymentRequested(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* is queued; *number* counts the environment's deployments from 1.

    *source* is the number of the deployment that it retries or rolls back to, and *revision* that of its plan.
    *project_version* counts the changes of the project's name and variables. *services* are the chosen ones; none for
    the whole environment. A deployment that *undoes* a failed one, by its number, goes before those that wait. One that
    *deletes_volumes* deletes data.
    """

    deployment: DeploymentId
    number: int
    action: Action
    actor: str
    pipeline_version: int
    source: int | None = None
    revision: str | None = None
    project_version: int = 0
    services: tuple[ServiceId, ...] = ()
    undoes: int | None = None
    deletes_volumes: bool = False


class DeploymentMerged(Struct, frozen=True, kw_only=True, gc=False):
    """A second request merged into *deployment*, which was already waiting."""

    deployment: DeploymentId


class DeploymentAdmitted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*deployment* has the environment to itself now.

    *oldest* is the number of the oldest one that has not ended, if it has gone before older ones.
    """

    deployment: DeploymentId
    oldest: int | None = None


class DeploymentFrozen(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* waits for the end of a freeze, at the earliest *until* then."""

    deployment: DeploymentId
    until: datetime


class DeploymentThawed(Struct, frozen=True, kw_only=True, gc=False):
    """The freeze for which *deployment* waited is over."""

    deployment: DeploymentId


class FreezeIgnored(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* was requested in spite of a freeze, which lasts *until* then."""

    deployment: DeploymentId
    until: datetime


class DeploymentMoved(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment*, which waits, has *position* among those that wait now; 1 is the next one."""

    deployment: DeploymentId
    position: int


class DeploymentClosed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*deployment* has ended, or was cancelled while waiting; the next one may be admitted.

    If it *has_run*, it knows the instances of the services.
    """

    deployment: DeploymentId
    has_run: bool = True


QueueEvent = (
    DeploymentRequested
    | DeploymentMerged
    | DeploymentAdmitted
    | DeploymentFrozen
    | DeploymentThawed
    | FreezeIgnored
    | DeploymentMoved
    | DeploymentClosed
)


class RequestDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Queue *deployment*; the environment is *frozen* until then, which the request ignores with *ignores_freeze*."""

    deployment: DeploymentId
    action: Action
    actor: str
    pipeline_version: int
    source: int | None = None
    revision: str | None = None
    project_version: int = 0
    services: tuple[ServiceId, ...] = ()
    undoes: int | None = None
    deletes_volumes: bool = False
    on_request: OnRequest = OnRequest.MERGE
    frozen: datetime | None = None
    ignores_freeze: bool = False


class CloseDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Close *deployment*; the environment is *frozen* until then."""

    deployment: DeploymentId
    has_run: bool = True
    frozen: datetime | None = None


class MoveDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Give *deployment* the *position* among those that wait."""

    deployment: DeploymentId
    position: int


class ThawDeployments(Struct, frozen=True, kw_only=True, gc=False):
    """Release the deployments that were held until *now*, or hold them until the environment is no longer *frozen*."""

    now: datetime
    frozen: datetime | None = None


QueueCommand = RequestDeployment | CloseDeployment | MoveDeployment | ThawDeployments


class Request(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId
    number: int
    action: Action
    actor: str
    pipeline_version: int
    source: int | None = None
    revision: str | None = None
    project_version: int = 0
    services: tuple[ServiceId, ...] = ()
    undoes: int | None = None
    deletes_volumes: bool = False
    frozen_until: datetime | None = None
    ignores_freeze: bool = False


class Queue(Struct, frozen=True, kw_only=True, gc=False):
    """The queue: `admitted` is the deployment that may run, `waiting` are those behind it, in order.

    *last* is the last one that has run and ended.
    """

    count: int = 0
    last: DeploymentId | None = None
    admitted: Request | None = None
    waiting: tuple[Request, ...] = ()

    @property
    def open(self) -> tuple[Request, ...]:
        """All deployments that have not ended, the admitted one first."""
        return self.waiting if self.admitted is None else (self.admitted, *self.waiting)


def decide(queue: Queue, command: QueueCommand) -> list[QueueEvent]:
    match command:
        case RequestDeployment(deployment=deployment):
            if any(request.deployment == deployment for request in queue.open):
                return []
            if same := _same(queue, command):
                return [DeploymentMerged(deployment=same.deployment)]
            if len(queue.waiting) >= MAX_WAITING and command.undoes is None:
                raise LimitReached(limit=MAX_WAITING, what="deployments waiting in an environment")
            requested = DeploymentRequested(
                deployment=deployment,
                number=queue.count + 1,
                action=command.action,
                actor=command.actor,
                pipeline_version=command.pipeline_version,
                source=command.source,
                revision=command.revision,
                project_version=command.project_version,
                services=command.services,
                undoes=command.undoes,
                deletes_volumes=command.deletes_volumes,
            )
            ignored = command.frozen if command.ignores_freeze else None
            ignoring = [] if ignored is None else [FreezeIgnored(deployment=deployment, until=ignored)]
            return _settled(queue, [requested, *ignoring], command.frozen)
        case CloseDeployment(deployment=deployment, has_run=has_run):
            if all(request.deployment != deployment for request in queue.open):
                return []
            return _settled(queue, [DeploymentClosed(deployment=deployment, has_run=has_run)], command.frozen)
        case MoveDeployment(deployment=deployment, position=position):
            ids = [each.deployment for each in queue.waiting]
            if deployment not in ids:
                raise DeploymentNotWaiting()
            if not 1 <= position <= len(ids):
                raise InvalidPosition(position=position, last=len(ids))
            is_there = ids.index(deployment) == position - 1
            return [] if is_there else [DeploymentMoved(deployment=deployment, position=position)]
        case ThawDeployments(now=now, frozen=frozen):
            held = [each for each in queue.waiting if each.frozen_until is not None and each.frozen_until <= now]
            if frozen is not None:
                return [DeploymentFrozen(deployment=each.deployment, until=frozen) for each in held]
            return _settled(queue, [DeploymentThawed(deployment=each.deployment) for each in held]) if held else []
        case _:
            assert_never(command)


def superseded(queue: Queue, wish: RequestDeployment) -> tuple[Request, ...]:
    """Return the waiting deployments that *wish* supersedes: it does at least what they would do.

    A deployment that has its turn is never superseded, so there is always one that comes to its end.
    """
    if wish.on_request is not OnRequest.SUPERSEDE or wish.undoes is not None or _same(queue, wish) is not None:
        return ()
    return tuple([each for each in queue.waiting if _covers(wish, each)])


def _covers(wish: RequestDeployment, waiting: Request) -> bool:
    """Return whether a deployment of *wish* makes the *waiting* one needless."""
    covered = COVERED.get(wish.action, ())
    has_all = not wish.services or (waiting.services and set(waiting.services) <= set(wish.services))
    return waiting.action in covered and bool(has_all)


def _same(queue: Queue, wish: RequestDeployment) -> Request | None:
    """Return the waiting deployment that *wish* merges into, if any."""
    if wish.on_request is OnRequest.WAIT:
        return None
    equal = (waiting for waiting in queue.waiting if _what(waiting) == _what(wish))
    return next((each for each in equal if each.frozen_until is None or not wish.ignores_freeze), None)


def _settled(queue: Queue, events: Sequence[QueueEvent], frozen: datetime | None = None) -> list[QueueEvent]:
    """Return *events*, the holds of a freeze until *frozen*, and the admission of the first deployment that may go on.

    A rollback after a failure is never held, nor is a deployment whose request ignored the freeze, nor one that
    brings no other version.
    """
    after = reduce(evolve, events, queue)
    free = [each for each in after.waiting if each.frozen_until is None]
    held = [each for each in free if frozen is not None and _is_freezable(each)]
    holds = [DeploymentFrozen(deployment=each.deployment, until=frozen) for each in held if frozen is not None]
    first = next((each for each in free if each not in held), None)
    if after.admitted is not None or first is None:
        return [*events, *holds]
    oldest = min(request.number for request in after.waiting)
    admitted = DeploymentAdmitted(deployment=first.deployment, oldest=oldest if oldest < first.number else None)
    return [*events, *holds, admitted]


def _is_freezable(request: Request) -> bool:
    return request.action in FREEZABLE and request.undoes is None and not request.ignores_freeze


def _what(request: Request | RequestDeployment) -> tuple[object, ...]:
    """Return all that must be the same for two requests to merge."""
    versions = request.pipeline_version, request.project_version
    wish = request.action, request.actor, versions, request.source, request.revision
    return *wish, request.services, request.undoes, request.deletes_volumes


def evolve(queue: Queue, event: QueueEvent) -> Queue:
    match event:
        case DeploymentRequested():
            request = Request(
                deployment=event.deployment,
                number=event.number,
                action=event.action,
                actor=event.actor,
                pipeline_version=event.pipeline_version,
                source=event.source,
                revision=event.revision,
                project_version=event.project_version,
                services=event.services,
                undoes=event.undoes,
                deletes_volumes=event.deletes_volumes,
            )
            waiting = (*queue.waiting, request) if event.undoes is None else (request, *queue.waiting)
            return replace(queue, count=event.number, waiting=waiting)
        case DeploymentMerged():
            return queue
        case DeploymentAdmitted(deployment=deployment):
            admitted = next(request for request in queue.waiting if request.deployment == deployment)
            return replace(_without(queue, deployment), admitted=admitted)
        case DeploymentFrozen(deployment=deployment, until=until):
            return _with(queue, deployment, frozen_until=until)
        case DeploymentThawed(deployment=deployment):
            return _with(queue, deployment, frozen_until=None)
        case DeploymentMoved(deployment=deployment, position=position):
            others = [each for each in queue.waiting if each.deployment != deployment]
            moved = [each for each in queue.waiting if each.deployment == deployment]
            return replace(queue, waiting=(*others[: position - 1], *moved, *others[position - 1 :]))
        case FreezeIgnored(deployment=deployment):
            return _with(queue, deployment, ignores_freeze=True)
        case DeploymentClosed(deployment=deployment, has_run=has_run):
            return replace(_without(queue, deployment), last=deployment if has_run else queue.last)
        case _:
            assert_never(event)


def _with(queue: Queue, deployment: DeploymentId, **changed: object) -> Queue:
    waiting = tuple([replace(each, **changed) if each.deployment == deployment else each for each in queue.waiting])
    return replace(queue, waiting=waiting)


def _without(queue: Queue, deployment: DeploymentId) -> Queue:
    admitted = None if queue.admitted and queue.admitted.deployment == deployment else queue.admitted
    waiting = tuple(request for request in queue.waiting if request.deployment != deployment)
    return replace(queue, admitted=admitted, waiting=waiting)


decider = Decider("queue", Queue(), decide, evolve, get_args(QueueEvent))
