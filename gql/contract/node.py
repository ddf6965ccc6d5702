"""
Global ids: the name of the type and the UUID, as in `stage_0193c1a2b3c4…`.

Some objects are parts of others. Their ids have a second part: `event_<id>_<position>`, and
`deploymentstage_<deployment>_<stage>`.

Where an argument accepts an id or a name, a text in the form of an id of that type is an id.
"""

import re
from uuid import UUID

import strawberry
from msgspec import Struct
from strawberry import ID

_ID = re.compile(r"([a-z]+)_([0-9a-f]{32})(?:_([0-9a-f]{1,32}))?")


class GlobalId(Struct, frozen=True):
    """A global id in its parts; *part* is empty for an object that is not a part of another."""

    kind: str
    value: UUID
    part: str = ""


@strawberry.interface(description="An object that can be fetched by its id.")
class Node:
    id: ID = strawberry.field(description="Global id; it never changes.")


def global_id(kind: str, value: UUID, part: UUID | int | None = None) -> ID:
    """Return the global id of an object, or of a *part* of it."""
    if part is None:
        return ID(f"{kind}_{value.hex}")
    return ID(f"{kind}_{value.hex}_{part.hex if isinstance(part, UUID) else part}")


def parse(text: str) -> GlobalId | None:
    """Return the parts of a global id; None if *text* is not one."""
    match = _ID.fullmatch(text)
    return GlobalId(match[1], UUID(match[2]), match[3] or "") if match else None


def uuid_of(kind: str, text: str) -> UUID | None:
    """Return the UUID in *text* if it is an id of *kind*."""
    match parse(text):
        case GlobalId(kind=found, value=value, part="") if found == kind:
            return value
        case _:
            return None


def reference(kind: str, text: str) -> UUID | str:
    """Return the UUID in *text* if it is an id of *kind*, else *text* as a name."""
    return uuid_of(kind, text) or text
