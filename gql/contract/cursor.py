"""
Cursors: positions in the log, opaque to clients.

A cursor holds the epoch of the log and a position. So a cursor of another log is refused, and so is a position beyond
the end of a log that was restored from an earlier backup.
"""

import base64
import binascii
from typing import Annotated

import msgspec
import strawberry
from msgspec import Meta

from domain.errors import InvalidArgument
from store.log import EventLog

Position = Annotated[int, Meta(ge=0, lt=2**53)]
"""A position that both databases accept."""

AfterEvent = Annotated[
    str | None,
    strawberry.argument(description="Begin after this cursor, of any answer; null for the first event."),
]
"""The argument of lossless subscriptions of events."""

BEYOND = "it is beyond the end of the log, which was restored from an earlier backup; start again without a cursor"
"""Why a cursor beyond the end of the log is refused."""


def of_position(epoch: str, position: int) -> str:
    """Return the cursor of *position*."""
    return base64.urlsafe_b64encode(msgspec.json.encode((epoch, position))).decode().rstrip("=")


def to_position(epoch: str, cursor: str) -> int:
    """Return the position of *cursor*; raises `InvalidArgument` if it is damaged or of another log."""
    try:
        origin, position = _parts(cursor)
    except (binascii.Error, ValueError):
        raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list") from None
    if origin != epoch:
        raise InvalidArgument(argument="cursor", why="it belongs to another log; start again without a cursor")
    return position


async def reached(log: EventLog, cursor: str | None) -> int:
    """Return the position of *cursor*, 0 for None; raises `InvalidArgument`, also beyond the end of *log*."""
    position = 0 if cursor is None else to_position(log.epoch, cursor)
    if position and position > await log.position():
        raise InvalidArgument(argument="cursor", why=BEYOND)
    return position


def number(cursor: str) -> int:
    """Return the position of a cursor that this server made."""
    return _parts(cursor)[1]


def _parts(cursor: str) -> tuple[str, int]:
    decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return msgspec.json.decode(decoded, type=tuple[str, Position])
