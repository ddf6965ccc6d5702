"""
An environment's queue: one deployment at a time, the others wait in the order of their requests.

A request that waits already, by the same actor for the same action on the same version of the pipeline, is not
queued twice: the second merges into the first.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NewType, assert_never, get_args
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import LimitReached
from domain.project import EnvironmentId

DeploymentId = NewType("DeploymentId", UUID)

MAX_WAITING = 100


@lru_cache(10_000)  # a deployment asks for it three times, and it is a hash
def stream(environment: EnvironmentId) -> UUID:
    """The stream of *environment*'s queue."""
    return uuid5(environment, "queue")


class Action(StrEnum):
    """What a deployment does with the services of its plan."""

    DEPLOY = "DEPLOY"


class DeploymentRequested(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* waits for its turn; *number* counts the environment's deployments from 1."""

    deployment: DeploymentId
    number: int
    action: Action
    actor: str
    pipeline_version: int


class DeploymentMerged(Struct, frozen=True, kw_only=True, gc=False):
    """The same was requested once more; *deployment*, which waits already, answers both."""

    deployment: DeploymentId


class DeploymentAdmitted(Struct, frozen=True, kw_only=True, gc=False):
    """It is *deployment*'s turn."""

    deployment: DeploymentId


class DeploymentClosed(Struct, frozen=True, kw_only=True, gc=False):
    """*deployment* is over, or was cancelled while it waited; the turn passes on."""

    deployment: DeploymentId


QueueEvent = DeploymentRequested | DeploymentMerged | DeploymentAdmitted | DeploymentClosed


class RequestDeployment(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId
    action: Action
    actor: str
    pipeline_version: int


class CloseDeployment(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId


QueueCommand = RequestDeployment | CloseDeployment


class Request(Struct, frozen=True, kw_only=True, gc=False):
    deployment: DeploymentId
    number: int
    action: Action
    actor: str
    pipeline_version: int


class Queue(Struct, frozen=True, kw_only=True, gc=False):
    """`admitted` is the deployment whose turn it is; `waiting` are those behind it, first come first."""

    count: int = 0
    admitted: Request | None = None
    waiting: tuple[Request, ...] = ()

    @property
    def open(self) -> tuple[Request, ...]:
        """Every deployment that isn't over, the admitted one first."""
        return self.waiting if self.admitted is None else (self.admitted, *self.waiting)


def decide(queue: Queue, command: QueueCommand) -> list[QueueEvent]:
    match command:
        case RequestDeployment(deployment=deployment, action=action, actor=actor, pipeline_version=version):
            if any(request.deployment == deployment for request in queue.open):
                return []
            for waiting in queue.waiting:
                if (waiting.action, waiting.actor, waiting.pipeline_version) == (action, actor, version):
                    return [DeploymentMerged(deployment=waiting.deployment)]
            if len(queue.waiting) >= MAX_WAITING:
                raise LimitReached(limit=MAX_WAITING, what="deployments waiting in an environment")
            requested = DeploymentRequested(
                deployment=deployment,
                number=queue.count + 1,
                action=action,
                actor=actor,
                pipeline_version=version,
            )
            return [requested] if queue.admitted else [requested, DeploymentAdmitted(deployment=deployment)]
        case CloseDeployment(deployment=deployment):
            if all(request.deployment != deployment for request in queue.open):
                return []
            closed: list[QueueEvent] = [DeploymentClosed(deployment=deployment)]
            if queue.admitted and queue.admitted.deployment == deployment and queue.waiting:
                closed.append(DeploymentAdmitted(deployment=queue.waiting[0].deployment))
            return closed
        case _:
            assert_never(command)


def evolve(queue: Queue, event: QueueEvent) -> Queue:
    match event:
        case DeploymentRequested(deployment=id_, number=number, action=action, actor=actor, pipeline_version=version):
            request = Request(deployment=id_, number=number, action=action, actor=actor, pipeline_version=version)
            return replace(queue, count=number, waiting=(*queue.waiting, request))
        case DeploymentMerged():
            return queue
        case DeploymentAdmitted(deployment=deployment):
            admitted = next(request for request in queue.waiting if request.deployment == deployment)
            return replace(_without(queue, deployment), admitted=admitted)
        case DeploymentClosed(deployment=deployment):
            return _without(queue, deployment)
        case _:
            assert_never(event)


def _without(queue: Queue, deployment: DeploymentId) -> Queue:
    admitted = None if queue.admitted and queue.admitted.deployment == deployment else queue.admitted
    waiting = tuple(request for request in queue.waiting if request.deployment != deployment)
    return replace(queue, admitted=admitted, waiting=waiting)


decider = Decider("queue", Queue(), decide, evolve, get_args(QueueEvent))
