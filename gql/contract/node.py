"""
Global ids: the type's name and the UUID, as in `stage_0193c1a2b3c4…`.

Where an argument may be an id or a name, whatever reads as an id of the right type is taken as one.
"""

import re
from uuid import UUID

import strawberry
from strawberry import ID

_ID = re.compile(r"([a-z]+)_([0-9a-f]{32})")


@strawberry.interface(description="A thing that can be fetched again by its id.")
class Node:
    id: ID = strawberry.field(description="Names the thing among everything in Stageline, for ever.")


def global_id(kind: str, value: UUID) -> ID:
    return ID(f"{kind}_{value.hex}")


def parse(text: str) -> tuple[str, UUID] | None:
    """The kind and the UUID of a global id; None if *text* isn't one."""
    match = _ID.fullmatch(text)
    return (match[1], UUID(match[2])) if match else None


def uuid_of(kind: str, text: str) -> UUID | None:
    """The UUID in *text* if it is an id of *kind*."""
    match parse(text):
        case (found, value) if found == kind:
            return value
        case _:
            return None


def reference(kind: str, text: str) -> UUID | str:
    """What *text* names: an id of *kind*, else a name."""
    return uuid_of(kind, text) or text
