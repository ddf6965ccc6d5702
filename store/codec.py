"""
Events as they are stored: a name and JSON.

The table of names is closed: `pipeline.ServiceMoved` is the name of that event for ever, and nothing that a
database says is ever imported.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from domain import access, actor, deployment, pipeline, project, queue, session
from store.log import Author, Event, LogUnavailable

DECIDERS = (
    project.catalog,
    project.decider,
    pipeline.decider,
    queue.decider,
    deployment.decider,
    access.decider,
    actor.decider,
    session.decider,
)

Kept = str | int | UUID | datetime | None

TYPES: dict[str, type[Event]] = {
    f"{decider.name}.{event.__name__}": event for decider in DECIDERS for event in decider.events
}
NAMES: dict[type[Event], str] = {event: name for name, event in TYPES.items()}

_encoder = msgspec.json.Encoder()
_decoders: dict[str, Callable[[bytes], Event]] = {
    name: msgspec.json.Decoder(event).decode for name, event in TYPES.items()
}


class UnknownEvent(LogUnavailable):
    """The log holds an event that this version of Stageline does not know, or not as it is: a newer one does."""


def name(event: Event) -> str:
    return NAMES[type(event)]


def encode(event: Event) -> bytes:
    return _encoder.encode(event)


def decode(name: str, state: bytes) -> Event:
    """The event stored as *name* and *state*; raises `UnknownEvent`."""
    decoder = _decoders.get(name)
    if decoder is None:
        raise UnknownEvent(f"{name!r} is no event of this version of Stageline: a newer one wrote it. Update this one.")
    try:
        return decoder(state)
    except msgspec.ValidationError as fault:
        raise UnknownEvent(
            f"{name!r} is not as this version of Stageline knows it ({fault}): a newer one wrote it. Update this one."
        ) from fault


def digest(
    previous: bytes, id_: UUID, stream: UUID, version: int, name: str, state: bytes, recorded_at: datetime, by: Author
) -> bytes:
    """The event's link in its stream's chain: SHA-256 over everything that is kept of it.

    Its position is left out: it is given at commit, and the positions' own order proves it.
    """
    return hashlib.sha256(linked(previous, id_, stream, version, name, state, recorded_at, by)).digest()


def linked(
    previous: bytes, id_: UUID, stream: UUID, version: int, name: str, state: bytes, recorded_at: datetime, by: Author
) -> bytes:
    """What is hashed of the event."""
    envelope = (by.actor, by.origin, by.token, by.correlation, by.causation, by.reason)
    at = recorded_at if recorded_at.tzinfo is UTC else recorded_at.astimezone(UTC)
    return link(previous.hex(), id_, stream, version, name, state.decode(), at, *envelope)


def link(*kept: Kept) -> bytes:
    """The JSON list of the hash before an event, its id, stream, version, name, state, time, actor, origin, token,
    correlation, causation and reason; what JSON has as text may be text already."""
    return _encoder.encode(kept)
