"""
Refusals are data, faults are not.

A mutation answers a refusal as a member of its union. Queries and subscriptions have no such union: there a refusal
is a GraphQL error with the same code in `extensions.code`. Anything unexpected is masked: the client gets an id,
and the log the cause.
"""

import logging
import traceback
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError, StreamExecutionResult

from domain.errors import Refused
from store import ids
from store.log import LogUnavailable, OutcomeUnknown, StreamMoved

PASSING = frozenset({"UNAVAILABLE", "BEHIND"})
"""Codes of what may well be over in a moment: asking again is safe."""

logger = logging.getLogger("stageline.gql")


ASKED_WRONG = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)
"""What strawberry raises for a request without an operation that could be carried out."""


class Faults(MaskErrors):
    """Gives the errors of resolvers a code; what nobody expected is logged and masked.

    Errors in the request itself (its syntax, its variables) are graphql-core's, and say what is wrong as they are.
    """

    def __init__(self) -> None:
        super().__init__(should_mask_error=lambda error: not _is_of_request(error))
        self._told: dict[Hashable, tuple[str, str]] = {}

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        self._told.clear()
        yield from super().on_stream_result(result)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        original = error.original_error
        if isinstance(original, Refused):
            message, code = str(original), original.code
        else:  # many fields of an answer fail in the same way: it is logged once, and has one id in all of them
            place = _place(original)
            if place not in self._told:
                self._told[place] = _logged(error)
            message, code = self._told[place]
        return GraphQLError(
            message,
            nodes=error.nodes,
            source=error.source,
            positions=error.positions,
            path=error.path,
            extensions={"code": code},
        )


def _place(fault: BaseException | None) -> Hashable:
    """Where it was raised, and as what."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(fault.__traceback__ if fault else None)]
    return type(fault), frames[-1] if frames else None


def _logged(error: GraphQLError) -> tuple[str, str]:
    """Logs it; what clients may know of it, and its code."""
    original = error.original_error
    if isinstance(original, LogUnavailable | StreamMoved):
        return unavailable(original)
    fault = ids.new()
    logger.error("fault %s at %s", fault, error.path, exc_info=original)
    return f"Something went wrong here; the server's log knows more under {fault}.", "INTERNAL"


def is_request_error(result: ExecutionResult) -> bool:
    """Whether nothing was carried out: then the answer has no `data`, not even null (GraphQL, 7.1)."""
    errors = result.errors or []
    nowhere = result.data is None and all(error.path is None for error in errors)
    return bool(errors) and (nowhere or isinstance(result, PreExecutionError))


def answered(result: ExecutionResult) -> dict[str, Any]:
    """What a client gets of *result*."""
    data = {} if is_request_error(result) else {"data": result.data}
    return data | ({"errors": [error.formatted for error in result.errors]} if result.errors else {})


def shown(errors: Iterable[GraphQLError]) -> list[GraphQLError]:
    """*errors* as clients may see them."""
    faults = Faults()
    return [error if _is_of_request(error) else faults.anonymise_error(error) for error in errors]


def told(fault: Exception) -> list[GraphQLError]:
    """What clients may see of what kept an operation from being carried out."""
    return shown([fault if isinstance(fault, GraphQLError) else GraphQLError(str(fault), original_error=fault)])


def _is_of_request(error: GraphQLError) -> bool:
    original = error.original_error
    return original is None or isinstance(original, (GraphQLError, *ASKED_WRONG))


def unavailable(fault: Exception) -> tuple[str, str]:
    """Message and code for something that may well be over in a moment; what it is, is for the server's log."""
    known = ids.new()
    logger.error("unavailable %s: %s", known, fault)
    message = "That can't be done just now, and nothing was written: try again"
    if isinstance(fault, OutcomeUnknown):
        message = "Whether that was done isn't known: try again with the same idempotencyKey, or look first"
    return f"{message}; the server's log knows more under {known}.", "UNAVAILABLE"
