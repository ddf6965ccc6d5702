"""
Errors as clients get them.

An expected error has a message and a code, which the application explains. A temporary failure has the code
UNAVAILABLE. Any other error is a fault: the client gets an id, and the server's log has the cause under it.
"""

import logging
import traceback
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError, StreamExecutionResult

from endpoint.metrics import FAULTS, Outcome
from endpoint.port import Explain, Explanation, Unavailable

TEMPORARY = frozenset({"UNAVAILABLE", "BEHIND"})
"""Codes of errors that may be over in a moment: a retry is safe."""

INTERNAL = "INTERNAL"
"""Code of a fault."""

INVALID_REQUESTS = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)
"""Exceptions of strawberry for a request without an operation that can be executed."""

logger = logging.getLogger("stageline.gql")


class MaskFaults(MaskErrors):
    """Gives the errors of resolvers a message and a code; logs and masks faults.

    Errors of the request itself (its syntax, its variables) are graphql-core's and stay as they are.
    """

    def __init__(self, explain: Explain) -> None:
        super().__init__(should_mask_error=lambda error: not _is_of_request(error))
        self._explain = explain
        self._logged: dict[Hashable, Explanation] = {}

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        self._logged.clear()
        yield from super().on_stream_result(result)

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:  # read from strawberry 0.341.2
        processed = super()._process_errors(errors)
        for error in errors:
            clear_tracebacks(error)
        return processed

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        explained = explanation(error.original_error, self._explain)
        if not isinstance(explained, Explanation):
            # Many fields of an answer may fail in the same way: the fault is logged once, under one id.
            place = _place(error.original_error)
            if place not in self._logged:
                self._logged[place] = unavailable(explained) if explained is not None else _fault(error)
            explained = self._logged[place]
        return GraphQLError(
            explained.message,
            nodes=error.nodes,
            source=error.source,
            positions=error.positions,
            path=error.path,
            extensions={"code": explained.code},
        )


def explanation(fault: BaseException | None, explain: Explain) -> Explanation | Unavailable | None:
    """Explain *fault*; None if nobody expected it."""
    return fault if isinstance(fault, Unavailable) else explain(fault)


def mask_errors(errors: Iterable[GraphQLError], explain: Explain) -> list[GraphQLError]:
    """Return *errors* as clients may see them."""
    mask = MaskFaults(explain)
    return [error if _is_of_request(error) else mask.anonymise_error(error) for error in errors]


def mask_fault(fault: Exception, explain: Explain) -> list[GraphQLError]:
    """Return what clients may see of an exception that ended an operation."""
    error = fault if isinstance(fault, GraphQLError) else GraphQLError(str(fault), original_error=fault)
    return mask_errors([error], explain)


def unavailable(failure: Unavailable) -> Explanation:
    """Log a temporary failure and explain it without its cause, which is for the operator."""
    known = uuid4()
    logger.error("unavailable %s: %s", known, failure)
    message = "Temporarily unavailable, and nothing was written: try again"
    if failure.may_be_done:
        message = "The outcome is unknown: try again with the same idempotencyKey, or read the current state first"
    return Explanation(f"{message}; the server's log has details under {known}.", "UNAVAILABLE")


def is_request_error(result: ExecutionResult) -> bool:
    """Whether nothing was executed: then the answer has no `data`, not even null (GraphQL, 7.1)."""
    errors = result.errors or []
    nowhere = result.data is None and all(error.path is None for error in errors)
    return bool(errors) and (nowhere or isinstance(result, PreExecutionError))


def payload(result: ExecutionResult) -> dict[str, Any]:
    """Return the JSON object that a client gets for *result*."""
    data = {} if is_request_error(result) else {"data": result.data}
    return data | ({"errors": [error.formatted for error in result.errors]} if result.errors else {})


def outcome(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the outcome of an operation whose client gets *errors*; see `Outcome`."""
    codes = {error.get("extensions", {}).get("code") for error in errors}
    if codes & TEMPORARY:
        return Outcome.UNAVAILABLE
    if INTERNAL in codes:
        return Outcome.FAULT
    if any("path" in error for error in errors):
        return Outcome.ERROR
    return Outcome.INVALID if errors else Outcome.OK


def clear_tracebacks(fault: BaseException | None) -> None:
    """Clear the tracebacks of *fault* and its causes: their frames refer to the execution, and it to the errors."""
    seen: set[int] = set()
    while fault is not None and id(fault) not in seen:
        seen.add(id(fault))
        fault.__traceback__ = None
        fault = getattr(fault, "original_error", None) or fault.__cause__ or fault.__context__


def _place(fault: BaseException | None) -> Hashable:
    """Return the type of *fault* and the line that raised it."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(fault.__traceback__ if fault else None)]
    return type(fault), frames[-1] if frames else None


def _fault(error: GraphQLError) -> Explanation:
    known = uuid4()
    FAULTS.inc()
    logger.error("fault %s at %s", known, error.path, exc_info=error.original_error)
    return Explanation(f"Internal error; the server's log has details under {known}.", INTERNAL)


def _is_of_request(error: GraphQLError) -> bool:
    original = error.original_error
    return original is None or isinstance(original, (GraphQLError, *INVALID_REQUESTS))
