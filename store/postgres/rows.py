"""Conversion of batches to parameters of PostgreSQL, and of rows to events and receipts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from store import archive, audit, codec
from store.archive import Archive, ArchivedEvents, Segment
from store.batch import EventRow, KeyRecord, StreamHead
from store.log import Author, Event, IdempotencyKey, Origin, Receipt, RecordedEvent, StreamChange, StreamMoved
from store.postgres.connection import Record

T = TypeVar("T")
Fetch: TypeAlias = Callable[..., Awaitable[Sequence[Record]]]

APPEND = "SELECT * FROM append($1::believed[], $2::keyed[], $3::stored_events[], $4::timestamptz)"

HEADS = """
    SELECT s.stream, e.originator_version, e.hash, e.recorded_at FROM unnest($1::uuid[]) AS s (stream)
    CROSS JOIN LATERAL (
        SELECT originator_version, hash, recorded_at FROM stored_events
        WHERE originator_id = s.stream ORDER BY originator_version DESC LIMIT 1
    ) AS e
"""
ANSWERS = "SELECT key, request, subject, version, position FROM keys WHERE key = ANY ($1)"

WRITTEN = """
    SELECT e.command, max(s.notification_id) AS position
    FROM unnest($1::int[], $2::uuid[], $3::bigint[], $4::uuid[]) AS e (command, stream, version, id)
    JOIN stored_events s ON s.originator_id = e.stream AND s.originator_version = e.version AND s.id = e.id
    GROUP BY e.command
"""
"""The commands that were written already, with the positions of their last events."""

SEGMENTS = "SELECT number, digest, first, last, events, size FROM segments WHERE number = ANY ($1::bigint[])"
"""The segments of the archive with some numbers; the first archiving creates the table."""

COMMAND, STREAM, VERSION, ID = 0, 1, 2, 5
"""Indexes of the columns of an event's row."""

AppendOutcome = Receipt | StreamMoved | KeyRecord
"""The outcome of a command; a `KeyRecord` is that of an earlier command with the same key."""

COLUMNS = """notification_id, originator_id, originator_version, topic, state, id, recorded_at,
    actor, origin, token, correlation, causation, reason, previous, hash"""


class PreparedAppend(Struct, frozen=True):
    """A command of `append`: its events are numbered as if no other node wrote."""

    changes: Sequence[StreamChange]
    key: IdempotencyKey | None
    rows: Sequence[EventRow]

    def receipt(self, position: int, version: int) -> Receipt:
        """Return the receipt; *position* is the position of the command's last event."""
        first = position - len(self.rows) + 1
        recorded = tuple([row.recorded for row in self.rows])
        if recorded and recorded[0].position != first:
            recorded = tuple([replace(each, position=n) for n, each in enumerate(recorded, first)])
        subject = None if self.key is None else self.key.subject
        return Receipt(position=position, recorded=recorded, subject=subject, version=version)


class AppendRequest:
    """A call of `append` with *commands*, recorded at the time *at*; *heads* are the expected heads of streams."""

    def __init__(self, commands: Sequence[PreparedAppend], heads: dict[UUID, StreamHead], at: datetime) -> None:
        self._commands = commands
        self._at = at
        self._heads: list[tuple[Any, ...]] = []
        self._keys: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []
        for number, command in enumerate(commands, 1):
            first = {change.stream: change for change in reversed(command.changes)}
            for stream, change in first.items():
                self._heads.append((number, stream, change.expected, heads.get(stream, StreamHead()).hash))
            if (key := command.key) is not None:
                self._keys.append((number, key.key, key.request, key.subject))
            self._events += [_row(row, number) for row in command.rows]

    @property
    def parameters(self) -> Sequence[Any]:
        """The parameters of `APPEND`."""
        return self._heads, self._keys, self._events, self._at

    @property
    def events(self) -> Sequence[Any]:
        """The parameters of `WRITTEN`: command, stream, version and id of each event."""
        return [[row[column] for row in self._events] for column in (COMMAND, STREAM, VERSION, ID)]

    def outcomes(self, reply: Sequence[Record], written: Sequence[Record] = ()) -> list[AppendOutcome]:
        """Return the outcome of each command; *written* are those that an earlier call has written."""
        (position,) = (row["position"] for row in reply if row["outcome"] == "base")
        by_command = {row["command"]: row for row in reply if row["outcome"] in ("known", "moved")}
        versions = {row["request"]: row["version"] for row in reply if row["outcome"] == "kept"}
        before = {row["command"]: row["position"] for row in written}
        outcomes: list[AppendOutcome] = []
        for number, command in enumerate(self._commands, 1):
            row = by_command.get(number)
            if row is None:
                position += len(command.rows)
                outcomes.append(command.receipt(position, versions[command.key.key] if command.key else 0))
            elif number in before:  # its key is known by this very command
                outcomes.append(command.receipt(before[number], row["version"] if command.key else 0))
            elif row["outcome"] == "known":
                assert command.key is not None
                outcomes.append(
                    key_record_from_row(command.key.key, row["request"], row["stream"], row["version"], row["position"])
                )
            else:
                expected = next(each.expected for each in command.changes if each.stream == row["stream"])
                outcomes.append(StreamMoved(row["stream"], expected, row["version"]))
        return outcomes


def key_record_from_row(key: str, request: str, subject: UUID, version: int, position: int) -> KeyRecord:
    """Return the record of a row of the table of keys."""
    return KeyRecord(IdempotencyKey(key=key, request=request, subject=subject), version, position)


def events_from_rows(rows: Sequence[Record], archived: ArchivedEvents) -> list[RecordedEvent]:
    """Return the events of rows of the table of events; *archived* are those that are in the archive."""
    return [
        archived.recorded(row["state"], row["notification_id"], row["hash"])
        if archive.is_archived(row["state"])
        else event_from_row(row)
        for row in rows
    ]


def bodies_from_rows(rows: Sequence[Record], archived: ArchivedEvents) -> list[Event]:
    """Return the events of rows with topic and state first, without their envelopes."""
    return [
        archived.event(row["state"], row["notification_id"], row["hash"])
        if archive.is_archived(row["state"])
        else codec.decode(row[0], row[1])
        for row in rows
    ]


def export_lines_from_rows(rows: Sequence[Record], archived: ArchivedEvents) -> list[bytes]:
    """Return the export lines of rows of the table of events, without verifying them."""
    return [
        archived.line(row["state"], row["notification_id"], row["hash"])
        if archive.is_archived(row["state"])
        else export_line_from_row(row)
        for row in rows
    ]


async def with_archived(
    fetch: Fetch, files: Archive, rows: Sequence[Record], convert: Callable[[Sequence[Record], ArchivedEvents], T]
) -> T:
    """Return *convert* of *rows* and of their archived events; raises `SegmentUnreadable`.

    *fetch* queries the database for the segments.
    """
    numbers = archive.numbers(row["state"] for row in rows)
    if not numbers:
        return convert(rows, archive.NOTHING)
    segments = [Segment(**row) for row in await fetch(SEGMENTS, numbers)]
    return await asyncio.to_thread(lambda: convert(rows, files.load(segments)))


def event_from_row(row: Record) -> RecordedEvent:
    """Return the event of a row of the table of events."""
    position, stream, version, name, state, id_, recorded_at, actor, origin, token, *others, previous, hash_ = row
    correlation, causation, reason = others
    return RecordedEvent(
        position=position,
        stream=stream,
        version=version,
        id=id_,
        name=name,
        event=codec.decode(name, state),
        recorded_at=recorded_at,
        by=_author(actor, origin, token, correlation, causation, reason),
        previous=previous,
        hash=hash_,
    )


@lru_cache(1_000)  # authors repeat
def _author(
    actor: str, origin: str, token: UUID | None, correlation: UUID | None, causation: UUID | None, reason: str | None
) -> Author:
    return Author(
        actor=actor,
        origin=Origin(origin),
        token=token,
        correlation=correlation,
        causation=causation,
        reason=reason,
    )


def export_line_from_row(row: Record) -> bytes:
    """Return the export line of a row of the table of events, without verifying it."""
    position, stream, version, name, state, id_, recorded_at, *envelope, previous, hash_ = row
    link = codec.link(
        previous.hex(), id_, stream, version, name, state.decode(errors="replace"), recorded_at, *envelope
    )
    return audit.export_line(position, hash_, link)


def _row(row: EventRow, command: int) -> tuple[Any, ...]:
    """Return a row of the table of events with the command for the position; `append` adds position and time."""
    recorded, by = row.recorded, row.recorded.by
    return (
        command,
        recorded.stream,
        recorded.version,
        recorded.name,
        row.state,
        recorded.id,
        None,
        by.actor,
        by.origin.value,
        by.token,
        by.correlation,
        by.causation,
        by.reason,
        recorded.previous,
        recorded.hash,
    )
