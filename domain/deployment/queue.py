"""
The queue of an environment: one deployment at a time; the others wait in the order of their requests. A deployment that
undoes a failed one goes before them.

A request merges into a waiting one by the same actor, for the same action on the same services, on the same version of
the pipeline and of the project, for the same revision, and of the same earlier deployment. The policy of the
environment may say that it waits instead, or that it supersedes those that wait.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NewType, assert_never, get_args
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import LimitReached
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


COVERED = {
    Action.DEPLOY: (Action.DEPLOY, Action.RETRY),
    Action.REDEPLOY: (Action.DEPLOY, Action.REDEPLOY, Action.RETRY),
}
"""The actions that a later one on the same services makes needless."""


class DeploymentRequested(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* is queued; *number* counts the environment's deployments from 1.

    *source* is the number of the deployment that it retries or rolls back to, and *revision* that of its plan.
    *project_version* counts the changes of the project's name and variables. *services* are the chosen ones; none for
    the whole environment. A deployment that *undoes* a failed one, by its number, goes before those that wait.
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


class DeploymentMerged(Struct, frozen=True, kw_only=True, gc=False):
    """A second request merged into *deployment*, which was already waiting."""

    deployment: DeploymentId


class DeploymentAdmitted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*deployment* has the environment to itself now.

    *oldest* is the number of the oldest one that has not ended, if it has gone before older ones.
    """

    deployment: DeploymentId
    oldest: int | None = None


class DeploymentClosed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*deployment* has ended, or was cancelled while waiting; the next one may be admitted.

    If it *has_run*, it knows the instances of the services.
    """

    deployment: DeploymentId
    has_run: bool = True


QueueEvent = DeploymentRequested | DeploymentMerged | DeploymentAdmitted | DeploymentClosed


class RequestDeployment(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId
    action: Action
    actor: str
    pipeline_version: int
    source: int | None = None
    revision: str | None = None
    project_version: int = 0
    services: tuple[ServiceId, ...] = ()
    undoes: int | None = None
    on_request: OnRequest = OnRequest.MERGE


class CloseDeployment(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId
    has_run: bool = True


QueueCommand = RequestDeployment | CloseDeployment


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
            )
            return [requested] if queue.admitted else [requested, DeploymentAdmitted(deployment=deployment)]
        case CloseDeployment(deployment=deployment, has_run=has_run):
            if all(request.deployment != deployment for request in queue.open):
                return []
            closed: list[QueueEvent] = [DeploymentClosed(deployment=deployment, has_run=has_run)]
            if queue.admitted and queue.admitted.deployment == deployment and queue.waiting:
                closed.append(_admitted(queue.waiting))
            return closed
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
    return next((waiting for waiting in queue.waiting if _what(waiting) == _what(wish)), None)


def _admitted(waiting: tuple[Request, ...]) -> DeploymentAdmitted:
    """Return the admission of the first one that waits."""
    first, oldest = waiting[0], min(request.number for request in waiting)
    return DeploymentAdmitted(deployment=first.deployment, oldest=oldest if oldest < first.number else None)


def _what(request: Request | RequestDeployment) -> tuple[object, ...]:
    """Return all that must be the same for two requests to merge."""
    versions = request.pipeline_version, request.project_version
    wish = request.action, request.actor, versions, request.source, request.revision
    return *wish, request.services, request.undoes


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
            )
            waiting = (*queue.waiting, request) if event.undoes is None else (request, *queue.waiting)
            return replace(queue, count=event.number, waiting=waiting)
        case DeploymentMerged():
            return queue
        case DeploymentAdmitted(deployment=deployment):
            admitted = next(request for request in queue.waiting if request.deployment == deployment)
            return replace(_without(queue, deployment), admitted=admitted)
        case DeploymentClosed(deployment=deployment, has_run=has_run):
            return replace(_without(queue, deployment), last=deployment if has_run else queue.last)
        case _:
            assert_never(event)


def _without(queue: Queue, deployment: DeploymentId) -> Queue:
    admitted = None if queue.admitted and queue.admitted.deployment == deployment else queue.admitted
    waiting = tuple(request for request in queue.waiting if request.deployment != deployment)
    return replace(queue, admitted=admitted, waiting=waiting)


decider = Decider("queue", Queue(), decide, evolve, get_args(QueueEvent))
