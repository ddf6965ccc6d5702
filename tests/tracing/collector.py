"""A collector of traces: an HTTP server that reads OTLP with the protocol's own messages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

PATIENCE = 60.0
"""Maximum time that spans may take to arrive, in seconds."""


class Span(Struct, frozen=True):
    """A span, with *node*, the instance of the program that sent it; ids are hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    node: str
    has_failed: bool
    attributes: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.attributes[f"stageline.{key}"]


class Collector:
    """The spans that arrived at *url* so far, and the *bytes* of all requests."""

    def __init__(self) -> None:
        self.url = ""
        self.bytes = b""
        self.spans: list[Span] = []
        self._changed = Condition()

    def receive(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        spans = list(_spans(ExportTraceServiceRequest.FromString(body)))
        with self._changed:
            self.bytes += body
            self.spans += spans
            self._changed.notify_all()

    def wait(self, is_there: Callable[[list[Span]], bool]) -> list[Span]:
        """Return all spans, once *is_there* is true of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(self.spans), PATIENCE), self.spans
            return list(self.spans)

    def named(self, name: str, count: int = 1) -> list[Span]:
        """Return the spans called *name*, once there are *count*."""
        spans = self.wait(lambda spans: sum(span.name == name for span in spans) >= count)
        return [span for span in spans if span.name == name]


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        about = {each.key: _value(each.value) for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=span.kind,
                    node=about["service.instance.id"],
                    has_failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes={each.key: _value(each.value) for each in span.attributes},
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector that listens meanwhile, on *port* if it is given."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.receive(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
