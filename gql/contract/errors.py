"""
Refusals are data, faults are not.

A mutation answers a refusal as a member of its union. Queries and subscriptions have no such union: there a refusal
is a GraphQL error with the same code in `extensions.code`. Anything unexpected is masked: the client gets an id,
and the log the cause.
"""

import enum
from collections.abc import Iterator

import strawberry

from domain.errors import DeploymentNotAdmitted, Fenced, Refused, StepNotDue, VersionMismatch
from endpoint.port import Explanation, Unavailable
from store.log import LogUnavailable, OutcomeUnknown, PutBack, StreamMoved


@strawberry.enum(description="Why a mutation was refused.")
class RefusalCode(enum.Enum):
    INVALID_NAME = "INVALID_NAME"
    INVALID_DESCRIPTION = "INVALID_DESCRIPTION"
    INVALID_POSITION = "INVALID_POSITION"
    INVALID_SPEC = "INVALID_SPEC"
    INVALID_CONCURRENCY = "INVALID_CONCURRENCY"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INVALID_DOCUMENT = "INVALID_DOCUMENT"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    ENVIRONMENT_NOT_FOUND = "ENVIRONMENT_NOT_FOUND"
    STAGE_NOT_FOUND = "STAGE_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    DEPLOYMENT_NOT_FOUND = "DEPLOYMENT_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    ACTOR_NOT_FOUND = "ACTOR_NOT_FOUND"
    TOKEN_NOT_FOUND = "TOKEN_NOT_FOUND"
    NAME_TAKEN = "NAME_TAKEN"
    STAGE_NOT_EMPTY = "STAGE_NOT_EMPTY"
    LAST_STAGE = "LAST_STAGE"
    OWN_DESTINATION = "OWN_DESTINATION"
    LIMIT_REACHED = "LIMIT_REACHED"
    NOTHING_TO_UNDO = "NOTHING_TO_UNDO"
    CHANGED_SINCE = "CHANGED_SINCE"
    NOTHING_TO_DEPLOY = "NOTHING_TO_DEPLOY"
    NOT_RUNNABLE = "NOT_RUNNABLE"
    TARGET_UNAVAILABLE = "TARGET_UNAVAILABLE"
    ENVIRONMENT_BUSY = "ENVIRONMENT_BUSY"
    DEPLOYMENT_OVER = "DEPLOYMENT_OVER"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


NOT_FOR_CLIENTS: tuple[type[Refused], ...] = (DeploymentNotAdmitted, StepNotDue, Fenced)
"""What no request leads to: the server's own parts are turned down with these."""


@strawberry.type(description="A mutation was turned down, and nothing was written.")
class Refusal:
    code: RefusalCode = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What is wrong and what to do, for people.")
    current_version: int | None = strawberry.field(
        default=None, description="With VERSION_MISMATCH: the version that the subject has now."
    )


def refusal(refused: Refused) -> Refusal:
    current = refused.details["current"] if isinstance(refused, VersionMismatch) else None
    return Refusal(
        code=RefusalCode(refused.code),
        message=str(refused),
        current_version=current if isinstance(current, int) else None,
    )


def explain(fault: BaseException | None) -> Explanation | Unavailable | None:
    """Explain a refusal with its code, and a log that cannot be reached as temporarily unavailable."""
    match fault:
        case Refused():
            return Explanation(str(fault), fault.code)
        case LogUnavailable() | StreamMoved():
            return unavailable(fault)
        case _:
            return None


def unavailable(fault: Exception) -> Unavailable:
    """Return the endpoint's exception for a log that cannot be reached or written to."""
    return Unavailable(
        str(fault), may_be_done=isinstance(fault, OutcomeUnknown), allows_stale=not isinstance(fault, PutBack)
    )


def leaves(family: type[Refused] = Refused) -> Iterator[type[Refused]]:
    """Every kind of refusal that isn't a family of others."""
    for kind in family.__subclasses__():
        if kind.__subclasses__():
            yield from leaves(kind)
        else:
            yield kind
