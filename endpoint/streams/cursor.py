"""
Cursors: opaque places in a list to resume from.

A cursor is the list's name (*origin*) and a position. A cursor of another list is refused.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from graphql import GraphQLError
from msgspec import Meta

Position = Annotated[int, Meta(ge=0, lt=2**53)]
"""A position that every database takes as a number."""

DAMAGED = "it is damaged, or belongs to another list"
OTHER_ORIGIN = "it belongs to another list or log; start again without a cursor"
BEYOND = "it is beyond the end of the log, which was restored from an earlier backup; start again without a cursor"


class InvalidCursor(GraphQLError):
    """A cursor that cannot be resumed from; *why* completes the message."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Invalid cursor: {why}.", extensions={"code": "INVALID_ARGUMENT"})
        self.why = why


def encode(origin: str, position: int) -> str:
    """Return the cursor of a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode((origin, position))).decode().rstrip("=")


def decode(origin: str, cursor: str) -> int:
    """Return the position of *cursor*; raises `InvalidCursor` for a damaged one and for one of another origin."""
    name, dot, _ = cursor.partition(".")
    if dot and name.isidentifier():
        raise InvalidCursor(f"it is a cursor of the list {name:.50}, not of events or lines")
    try:
        own, position = _parts(cursor)
    except (binascii.Error, ValueError):
        raise InvalidCursor(DAMAGED) from None
    if own != origin:
        raise InvalidCursor(OTHER_ORIGIN)
    return position


def number(cursor: str) -> int:
    """Return the position of a cursor of our own."""
    return _parts(cursor)[1]


def _parts(cursor: str) -> tuple[str, int]:
    decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return msgspec.json.decode(decoded, type=tuple[str, Position])
