"""
A tracer that sends spans to a collector, by OTLP over HTTP.

This is the only module that imports OpenTelemetry, and `tracing.exporter` the only one that imports this one: the
libraries are an extra of the package, and take 0.3 s and 15 MB.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing.span import Attribute, Kind

SEND_TIMEOUT = 5.0
"""Maximum time for sending a batch of spans, in seconds; then it is dropped."""

SEND_INTERVAL = 1.0
"""Interval at which spans are sent, in seconds."""

MAX_QUEUE = 2048
"""Maximum number of spans that wait to be sent; further ones are dropped."""

CLOSE_TIMEOUT = 3.0
"""Maximum time for sending the last spans when the program stops, in seconds."""

PARENT = "traceparent"

KINDS = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.REQUEST: SpanKind.SERVER, Kind.JOB: SpanKind.CONSUMER}

logger = logging.getLogger(__name__)


class OtlpTracer:
    """A tracer that sends the spans of this process to *url*.

    *ratio* of the traces that begin here are sampled. The others follow the decision of their parent.
    """

    def __init__(self, url: str, ratio: float, version: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `CollectorLog` says what goes wrong, once
        identity = {"service.name": "stageline", "service.version": version, "service.instance.id": str(uuid4())}
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(ratio)), Resource.create(identity), shutdown_on_exit=False
        )
        exporter = ReportedExporter(OTLPSpanExporter(url, timeout=SEND_TIMEOUT), url)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, MAX_QUEUE, SEND_INTERVAL * 1000))
        self._tracer = self._provider.get_tracer("stageline", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str | None) -> Iterator[None]:
        # The empty context starts from no present span.
        above = None if parent is None else self._propagator.extract({PARENT: parent}, Context())
        with self._tracer.start_as_current_span(
            name, above, KINDS[kind], record_exception=False, set_status_on_exception=False
        ) as started:
            try:
                yield
            except Exception as error:  # its message may have a text of a user
                started.set_status(Status(StatusCode.ERROR))
                started.set_attribute("error.type", type(error).__name__)
                raise

    def annotate(self, attributes: dict[str, Attribute]) -> None:
        get_current_span().set_attributes({f"stageline.{key}": value for key, value in attributes.items()})

    def fail(self, error: str) -> None:
        present = get_current_span()
        present.set_status(Status(StatusCode.ERROR))
        present.set_attribute("error.type", error)

    def context(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get(PARENT)

    def close(self) -> None:
        """Send the last spans, for at most `CLOSE_TIMEOUT`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)  # it may take 30 s by itself
        closing.start()
        closing.join(CLOSE_TIMEOUT)


class ReportedExporter(SpanExporter):
    """An exporter that logs when the collector goes away, and when it is back; *url* names the collector."""

    def __init__(self, exporter: SpanExporter, url: str) -> None:
        self._exporter, self._url = exporter, url
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            logger.warning("Traces can't be sent to %(url)s; spans are dropped until it answers", {"url": self._url})
        if self._is_away and not is_away:
            logger.info("Traces are sent again to %(url)s", {"url": self._url})
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
