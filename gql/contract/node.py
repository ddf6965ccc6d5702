"""
Global ids: the name of the type and the UUID, as in `stage_0193c1a2b3c4…`.

Where an argument accepts an id or a name, a text in the form of an id of that type is an id.
"""

import re
from uuid import UUID

import strawberry
from strawberry import ID

_ID = re.compile(r"([a-z]+)_([0-9a-f]{32})")


@strawberry.interface(description="An object that can be fetched by its id.")
class Node:
    id: ID = strawberry.field(description="Global id; it never changes.")


def global_id(kind: str, value: UUID) -> ID:
    """Return the global id of an object."""
    return ID(f"{kind}_{value.hex}")


def parse(text: str) -> tuple[str, UUID] | None:
    """Return the kind and the UUID of a global id; None if *text* is not one."""
    match = _ID.fullmatch(text)
    return (match[1], UUID(match[2])) if match else None


def uuid_of(kind: str, text: str) -> UUID | None:
    """Return the UUID in *text* if it is an id of *kind*."""
    match parse(text):
        case (found, value) if found == kind:
            return value
        case _:
            return None


def reference(kind: str, text: str) -> UUID | str:
    """Return the UUID in *text* if it is an id of *kind*, else *text* as a name."""
    return uuid_of(kind, text) or text
