"""
Refusals are data, faults are not.

A mutation answers a refusal as a member of its union. Queries and subscriptions have no such union: there a refusal
is a GraphQL error with the same code in `extensions.code`. Anything unexpected is masked: the client gets an id,
and the log the cause.
"""

import enum
import logging
from collections.abc import Iterator

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaskErrors

from domain.errors import Refused, VersionMismatch
from store import ids
from store.log import LogUnavailable

logger = logging.getLogger("stageline.gql")


@strawberry.enum(description="Why a mutation was refused.")
class RefusalCode(enum.Enum):
    INVALID_NAME = "INVALID_NAME"
    INVALID_DESCRIPTION = "INVALID_DESCRIPTION"
    INVALID_POSITION = "INVALID_POSITION"
    INVALID_SPEC = "INVALID_SPEC"
    INVALID_CONCURRENCY = "INVALID_CONCURRENCY"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    ENVIRONMENT_NOT_FOUND = "ENVIRONMENT_NOT_FOUND"
    STAGE_NOT_FOUND = "STAGE_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    DEPLOYMENT_NOT_FOUND = "DEPLOYMENT_NOT_FOUND"
    TOKEN_NOT_FOUND = "TOKEN_NOT_FOUND"
    NAME_TAKEN = "NAME_TAKEN"
    STAGE_NOT_EMPTY = "STAGE_NOT_EMPTY"
    LAST_STAGE = "LAST_STAGE"
    OWN_DESTINATION = "OWN_DESTINATION"
    LIMIT_REACHED = "LIMIT_REACHED"
    NOTHING_TO_DEPLOY = "NOTHING_TO_DEPLOY"
    NOT_RUNNABLE = "NOT_RUNNABLE"
    TARGET_UNAVAILABLE = "TARGET_UNAVAILABLE"
    ENVIRONMENT_BUSY = "ENVIRONMENT_BUSY"
    DEPLOYMENT_OVER = "DEPLOYMENT_OVER"
    STEP_NOT_DUE = "STEP_NOT_DUE"
    FENCED = "FENCED"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


@strawberry.type(description="A mutation was turned down, and nothing was written.")
class Refusal:
    code: RefusalCode = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What is wrong and what to do, for people.")
    current_version: int | None = strawberry.field(
        default=None, description="With VERSION_MISMATCH: the version that the pipeline has now."
    )


def refusal(refused: Refused) -> Refusal:
    current = refused.details["current"] if isinstance(refused, VersionMismatch) else None
    return Refusal(
        code=RefusalCode(refused.code),
        message=str(refused),
        current_version=current if isinstance(current, int) else None,
    )


class Faults(MaskErrors):
    """Gives every error a code; what nobody expected is logged and masked."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=lambda error: error.original_error is not None)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        original = error.original_error
        if isinstance(original, GraphQLError):
            return error
        match original:
            case Refused():
                message, code = str(original), original.code
            case LogUnavailable():
                message, code = f"The log can't be reached just now; try again. {original}", "UNAVAILABLE"
            case _:
                fault = ids.new()
                logger.error("fault %s at %s", fault, error.path, exc_info=original)
                message, code = f"Something went wrong here; the server's log knows more under {fault}.", "INTERNAL"
        return GraphQLError(
            message,
            nodes=error.nodes,
            source=error.source,
            positions=error.positions,
            path=error.path,
            extensions={"code": code},
        )


def leaves(family: type[Refused] = Refused) -> Iterator[type[Refused]]:
    """Every refusal there is."""
    for kind in family.__subclasses__():
        if kind.__subclasses__():
            yield from leaves(kind)
        else:
            yield kind
