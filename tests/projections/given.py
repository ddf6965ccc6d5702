"""Recorded events for tests, one second and one position apart."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from projections.engine.projection import Projection, View
from store import codec
from store.log import Author, Event, Origin, RecordedEvent

STREAM = UUID(int=1)
BY = Author(actor="ada", origin=Origin.CLI, reason="because")


def at(position: int) -> datetime:
    """Return the time of the event at *position*."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=position)


def recorded(event: Event, version: int = 1, *, position: int | None = None, stream: UUID = STREAM) -> RecordedEvent:
    place = version if position is None else position
    return RecordedEvent(
        position=place,
        stream=stream,
        version=version,
        id=UUID(int=place),
        name=codec.name(event),
        event=codec.decode(codec.name(event), codec.encode(event)),
        recorded_at=at(place),
        by=BY,
        previous=b"",
        hash=place.to_bytes(32, "big"),
    )


def history(*events: Event, stream: UUID = STREAM, after: int = 0) -> list[RecordedEvent]:
    """Return *events* of one stream, the first at position *after* + 1."""
    return [
        recorded(event, version, position=after + version, stream=stream) for version, event in enumerate(events, 1)
    ]


def folded(projection: Projection[View], *events: Event) -> View | None:
    return replayed(projection, history(*events))


def replayed(projection: Projection[View], events: Sequence[RecordedEvent]) -> View | None:
    """Return the view after *events*, encoded and decoded after each of them."""
    view: View | None = None
    for each in events:
        view = projection.replay([each], view)
        if view is not None:
            view = projection.decode(projection.encode(view))
    return view
