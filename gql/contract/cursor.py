"""
Places in the log to resume from, opaque to clients.

A cursor is the log's epoch and a position: one of another log is refused rather than misread, and so is one that the
log does not come to, since it was put back to an earlier state.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from domain.errors import InvalidArgument
from store.log import EventLog

Position = Annotated[int, Meta(ge=0, lt=2**53)]
"""Whatever can be sent back, a database can be asked for it."""


def of_position(epoch: str, position: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((epoch, position))).decode().rstrip("=")


def to_position(epoch: str, cursor: str) -> int:
    """The position that *cursor* names; raises `InvalidArgument` for a damaged one, and for one of another log."""
    try:
        origin, position = _parts(cursor)
    except (binascii.Error, ValueError):
        raise InvalidArgument(argument="The cursor", why="it is damaged, or belongs to another list") from None
    if origin != epoch:
        raise InvalidArgument(argument="The cursor", why="it comes from another log; start again without one")
    return position


BEYOND = "it is beyond the end of the log, which was put back to an earlier state; start again without one"


async def reached(log: EventLog, cursor: str | None) -> int:
    """The position that *cursor* names, 0 if there is none; raises `InvalidArgument`, also beyond the end of *log*."""
    position = 0 if cursor is None else to_position(log.epoch, cursor)
    if position and position > await log.position():
        raise InvalidArgument(argument="The cursor", why=BEYOND)
    return position


def number(cursor: str) -> int:
    """The position in a cursor of our own."""
    return _parts(cursor)[1]


def _parts(cursor: str) -> tuple[str, int]:
    decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return msgspec.json.decode(decoded, type=tuple[str, Position])
