"""
The stored form of events: a name and JSON.

The set of names is closed: `pipeline.ServiceMoved` names that event for good. No name in the database is ever imported.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from domain import access, actor, deployment, instance, pipeline, project, session, webhook
from domain.deployment import queue
from store.log import Author, Event, LogUnavailable

DECIDERS = (
    project.catalog,
    project.decider,
    pipeline.decider,
    queue.decider,
    deployment.decider,
    instance.decider,
    access.decider,
    actor.decider,
    session.decider,
    webhook.decider,
)

LinkField = str | int | UUID | datetime | None
"""A field of an event's link."""

TYPES: dict[str, type[Event]] = {
    f"{decider.name}.{event.__name__}": event for decider in DECIDERS for event in decider.events
}
NAMES: dict[type[Event], str] = {event: name for name, event in TYPES.items()}

_encoder = msgspec.json.Encoder()
_decoders: dict[str, Callable[[bytes], Event]] = {
    name: msgspec.json.Decoder(event).decode for name, event in TYPES.items()
}


class UnknownEvent(LogUnavailable):
    """The log holds an event that this version of Stageline can't decode; a newer version wrote it."""


class DamagedEvent(LogUnavailable):
    """The log holds an event that is no JSON."""


def name(event: Event) -> str:
    return NAMES[type(event)]


def encode(event: Event) -> bytes:
    return _encoder.encode(event)


def decode(name: str, state: bytes) -> Event:
    """Return the event stored as *name* and *state*; raises `UnknownEvent` or `DamagedEvent`."""
    decoder = _decoders.get(name)
    if decoder is None:
        raise UnknownEvent(f"Unknown event {name!r}: a newer version of Stageline wrote it. Update this one.")
    try:
        return decoder(state)
    except msgspec.ValidationError as fault:
        raise UnknownEvent(
            f"Event {name!r} has an unknown form ({fault}): a newer version of Stageline wrote it. Update this one."
        ) from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise DamagedEvent(
            f"Event {name!r} is damaged ({fault}). Run `stageline fsck` for its position, and restore a backup."
        ) from fault


def digest(
    previous: bytes, id_: UUID, stream: UUID, version: int, name: str, state: bytes, recorded_at: datetime, by: Author
) -> bytes:
    """Return the event's hash in the chain of its stream: the SHA-256 of its link.

    The link contains all that is stored of the event except its position, which is assigned at the commit.
    """
    return hashlib.sha256(event_link(previous, id_, stream, version, name, state, recorded_at, by)).digest()


def event_link(
    previous: bytes, id_: UUID, stream: UUID, version: int, name: str, state: bytes, recorded_at: datetime, by: Author
) -> bytes:
    """Return the link of an event."""
    envelope = (by.actor, by.origin, by.token, by.correlation, by.causation, by.reason)
    at = recorded_at if recorded_at.tzinfo is UTC else recorded_at.astimezone(UTC)
    return link(previous.hex(), id_, stream, version, name, state.decode(), at, *envelope)


def link(*fields: LinkField) -> bytes:
    """Return a link as a JSON list.

    Its *fields* are the previous hash and the event's id, stream, version, name, state, time, actor, origin, token,
    correlation, causation and reason. Ids and times may already be text.
    """
    return _encoder.encode(fields)
