"""The ids that all log lines of a request have; empty in tasks of no request."""

from contextvars import ContextVar

request: ContextVar[bytes] = ContextVar("request", default=b"")
"""The id of the request, which its client or the server chose."""

client: ContextVar[str] = ContextVar("client", default="")
"""The network address of the client of the request; empty if it has none."""

correlation: ContextVar[str] = ContextVar("correlation", default="")
"""The correlation id of the events that the request recorded last."""
