"""
Errors of queries and subscriptions, explained to the endpoint.

A mutation returns a refusal as data. In queries and subscriptions a refusal is a GraphQL error with the same code in
`extensions.code`.
"""

from domain.errors import Refused
from endpoint.port import Explanation, Unavailable
from store.log import LogRewound, LogUnavailable, OutcomeUnknown, StreamMoved


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
        str(fault), may_be_done=isinstance(fault, OutcomeUnknown), allows_stale=not isinstance(fault, LogRewound)
    )
