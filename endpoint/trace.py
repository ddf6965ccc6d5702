"""The ids that all log lines of a request have; empty in tasks of no request."""

from contextvars import ContextVar

request: ContextVar[bytes] = ContextVar("request", default=b"")
"""The id of the request, which its client or the server chose."""

correlation: ContextVar[str] = ContextVar("correlation", default="")
"""The correlation id of the events that the request recorded last."""
