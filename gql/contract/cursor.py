"""
Cursors: positions in the log, opaque to clients.

A cursor holds the epoch of the log and a position. So a cursor of another log is refused, and so is a position beyond
the end of a log that was restored from an earlier backup.
"""

from typing import Annotated

import strawberry
from msgspec.structs import replace

from domain.errors import InvalidArgument
from endpoint.streams import cursor as places
from endpoint.streams.cursor import BEYOND, InvalidCursor, number
from endpoint.streams.cursor import encode as of_position
from endpoint.streams.mark import DELIVERY, Lossless
from store.log import EventLog

__all__ = ["BEYOND", "CHANGES", "LOSSLESS", "AfterEvent", "number", "of_position", "reached", "to_position"]

AfterEvent = Annotated[
    str | None,
    strawberry.argument(description="Begin after this cursor, of any answer; null for the first event."),
]
"""The argument of lossless subscriptions of events."""


def to_position(epoch: str, cursor: str) -> int:
    """Return the position of *cursor*; raises `InvalidArgument` for a damaged one and for one of another log."""
    try:
        return places.decode(epoch, cursor)
    except InvalidCursor as invalid:
        raise InvalidArgument(argument="cursor", why=invalid.why) from None


async def reached(log: EventLog, cursor: str | None) -> int:
    """Return the position of *cursor*, 0 if there is none; raises `InvalidArgument`, also beyond the end of *log*."""
    position = 0 if cursor is None else to_position(log.epoch, cursor)
    if position and position > await log.position():
        raise InvalidArgument(argument="cursor", why=BEYOND)
    return position


_LOG = Lossless(
    origin=lambda context, _: context.application.log.epoch,
    end=lambda context, _: context.application.log.position(),
)

LOSSLESS = {DELIVERY: _LOG}
"""The mark of subscriptions that follow the log."""

CHANGES = {DELIVERY: replace(_LOG, is_shared=False)}
"""The mark of a subscription whose payloads depend on the cursor that the subscriber began after."""
