"""
Refusals as data.

A mutation returns a refusal as a member of its union. Queries and subscriptions have no such union: there a refusal is
a GraphQL error with the same code in `extensions.code`.
"""

import enum
from collections.abc import Iterator

import strawberry

from domain.errors import DeploymentNotAdmitted, Fenced, Refused, StepNotDue, VersionMismatch

REFUSALS = {
    "INVALID_NAME": "The name is not valid.",
    "INVALID_DESCRIPTION": "The description is not valid.",
    "INVALID_POSITION": "The pipeline has no such position.",
    "INVALID_SPEC": "The specification of the service is not valid.",
    "INVALID_CONCURRENCY": "The concurrency is not between 1 and 100.",
    "INVALID_ARGUMENT": "An argument is not valid; the message names it.",
    "INVALID_DOCUMENT": "The document is not valid; the message names the line.",
    "PROJECT_NOT_FOUND": "There is no such project.",
    "ENVIRONMENT_NOT_FOUND": "There is no such environment, or it was deleted.",
    "STAGE_NOT_FOUND": "The pipeline has no such stage.",
    "SERVICE_NOT_FOUND": "The pipeline has no such service.",
    "DEPLOYMENT_NOT_FOUND": "There is no such deployment.",
    "VERSION_NOT_FOUND": "The pipeline has no such version.",
    "ACTOR_NOT_FOUND": "There is no profile of such an actor.",
    "FORGOTTEN_ACTOR": "The actor was forgotten, and can't have a profile again.",
    "TOKEN_NOT_FOUND": "There is no such token, or it was already revoked.",
    "NAME_TAKEN": "Another object of the same kind has the name.",
    "STAGE_NOT_EMPTY": "The stage still has services.",
    "LAST_STAGE": "The stage is the last one of the pipeline.",
    "OWN_DESTINATION": "The services of a deleted stage can't move to that stage.",
    "LIMIT_REACHED": "A limit is reached; the message names it.",
    "NOTHING_TO_UNDO": "The actor made no change that can be undone.",
    "CHANGED_SINCE": "Later changes depend on the change that was to be undone.",
    "NOTHING_TO_DEPLOY": "The environment has no services, or all are skipped.",
    "NOT_RUNNABLE": "The target of the environment can't run a service with its specification.",
    "TARGET_UNAVAILABLE": "The server does not offer the target.",
    "ENVIRONMENT_BUSY": "A deployment of the environment has not ended.",
    "DEPLOYMENT_OVER": "The deployment has already ended.",
    "VERSION_MISMATCH": "expectedVersion differs from the current version, which is in currentVersion.",
    "IDEMPOTENCY_KEY_REUSED": "The idempotency key was already used for another request.",
}
"""The refusals that a client can meet, by code."""

NOT_FOR_CLIENTS: tuple[type[Refused], ...] = (DeploymentNotAdmitted, StepNotDue, Fenced)
"""The refusals that no request causes: only the runner meets them."""


@strawberry.enum(description="The reason why a mutation was refused.")
class RefusalCode(enum.Enum):
    _ignore_ = "code text"

    for code, text in REFUSALS.items():
        vars()[code] = strawberry.enum_value(code, description=text)


@strawberry.type(description="A refused mutation. Nothing was written.")
class Refusal:
    code: RefusalCode = strawberry.field(description="The kind of refusal, for programs.")
    message: str = strawberry.field(description="The reason and the remedy, for people.")
    current_version: int | None = strawberry.field(
        default=None, description="The current version of the object, with VERSION_MISMATCH."
    )


def refusal(refused: Refused) -> Refusal:
    """Return a refusal as data."""
    current = refused.details["current"] if isinstance(refused, VersionMismatch) else None
    return Refusal(
        code=RefusalCode(refused.code),
        message=str(refused),
        current_version=current if isinstance(current, int) else None,
    )


def leaves(family: type[Refused] = Refused) -> Iterator[type[Refused]]:
    """Yield the kinds of refusals that have no kinds below them."""
    for kind in family.__subclasses__():
        if kind.__subclasses__():
            yield from leaves(kind)
        else:
            yield kind
