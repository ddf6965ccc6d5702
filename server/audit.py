"""The export of the log by GET /audit/export, with a line for each event (see `store.audit`)."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.errors import InvalidArgument
from gql.contract import cursor as cursors
from server.refusal import log_unavailable, refused
from store.log import EventLog, LogUnavailable

BATCH = 500
"""Number of events that are read at once: a few hundred kilobytes, in two milliseconds of a thread."""


async def export(log: EventLog, request: Request) -> Response:
    """Return the events after the position or cursor `after`; a header has the log's position, where they end."""
    try:
        after = _after(log, request.query_params.get("after", "0"))
        until = await log.position()
    except InvalidArgument as refusal:
        return refused(refusal)
    except LogUnavailable as fault:
        return log_unavailable(fault)
    headers = {"stageline-position": str(until), "stageline-epoch": log.epoch, "cache-control": "no-store"}
    return StreamingResponse(_lines(log, after, until), media_type="application/x-ndjson", headers=headers)


def _after(log: EventLog, text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    return cursors.to_position(log.epoch, text)


async def _lines(log: EventLog, after: int, until: int) -> AsyncIterator[bytes]:
    while after < until:
        part = await log.export(after, min(BATCH, until - after))
        if not part.lines:  # events are missing, which the verification of the export reports
            return
        yield part.lines
        after = part.position
