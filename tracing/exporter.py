"""The exporter of traces."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version

from tracing import span


class TracesUnusable(Exception):
    """Traces can't be sent; the message says what to do."""


@asynccontextmanager
async def exporting(url: str | None, ratio: float) -> AsyncIterator[None]:
    """Send the spans of the block to the collector at *url*; None sends nothing, and loads nothing.

    *ratio* of the traces that begin here are sent. Raises `TracesUnusable`.
    """
    if url is None:
        yield
        return
    try:
        otlp = import_module("tracing.otlp")
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("opentelemetry"):
            raise
        raise TracesUnusable(
            "Traces need packages that are not installed: pip install 'stageline[tracing]', or start without --traces."
        ) from None
    tracer = otlp.OtlpTracer(url, ratio, version("stageline"))
    span.use(tracer)
    try:
        yield
    finally:
        span.use(None)
        await asyncio.to_thread(tracer.close)
