"""Batches on their way into the tables on PostgreSQL, and rows on their way out."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from store import audit, codec
from store.batch import Answer, Head, Stored
from store.log import Author, Change, Key, Origin, Receipt, Recorded, StreamMoved

if TYPE_CHECKING:
    from store.postgres_connection import Record

APPEND = "SELECT * FROM append($1::believed[], $2::keyed[], $3::stored_events[], $4::timestamptz)"

HEADS = """
    SELECT s.stream, e.originator_version, e.hash, e.recorded_at FROM unnest($1::uuid[]) AS s (stream)
    CROSS JOIN LATERAL (
        SELECT originator_version, hash, recorded_at FROM stored_events
        WHERE originator_id = s.stream ORDER BY originator_version DESC LIMIT 1
    ) AS e
"""
ANSWERS = "SELECT key, request, subject, version, position FROM keys WHERE key = ANY ($1)"

FOUND = """
    SELECT e.command, max(s.notification_id) AS position
    FROM unnest($1::int[], $2::uuid[], $3::bigint[], $4::uuid[]) AS e (command, stream, version, id)
    JOIN stored_events s ON s.originator_id = e.stream AND s.originator_version = e.version AND s.id = e.id
    GROUP BY e.command
"""
"""Which commands were written already, and where their last events are."""

COMMAND, STREAM, VERSION, ID = 0, 1, 2, 5
"""Which columns they are."""

Became = Receipt | StreamMoved | Answer
"""What a command came to; an answer is an earlier one's with the same key."""

COLUMNS = """notification_id, originator_id, originator_version, topic, state, id, recorded_at,
    actor, origin, token, correlation, causation, reason, previous, hash"""


class Sent(Struct, frozen=True):
    """A command as the node has worked it out: its events are numbered as if nobody else wrote."""

    changes: Sequence[Change]
    key: Key | None
    stored: Sequence[Stored]

    def receipt(self, position: int, version: int) -> Receipt:
        """What it did, when the log's last position is now *position*."""
        first = position - len(self.stored) + 1
        recorded = tuple([each.recorded for each in self.stored])
        if recorded and recorded[0].position != first:
            recorded = tuple([replace(each, position=n) for n, each in enumerate(recorded, first)])
        subject = None if self.key is None else self.key.subject
        return Receipt(position=position, recorded=recorded, subject=subject, version=version)


class Letter:
    """Commands in the form in which the database takes them, and its reply in theirs; they are recorded *at* a time."""

    def __init__(self, commands: Sequence[Sent], heads: dict[UUID, Head], at: datetime) -> None:
        self._commands = commands
        self._at = at
        self._heads: list[tuple[Any, ...]] = []
        self._keys: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []
        for number, command in enumerate(commands, 1):
            first = {change.stream: change for change in reversed(command.changes)}
            for stream, change in first.items():
                self._heads.append((number, stream, change.expected, heads.get(stream, Head()).hash))
            if (key := command.key) is not None:
                self._keys.append((number, key.key, key.request, key.subject))
            self._events += [_row(stored, number) for stored in command.stored]

    @property
    def parameters(self) -> Sequence[Any]:
        return self._heads, self._keys, self._events, self._at

    @property
    def events(self) -> Sequence[Any]:
        """By which command, which stream's which version is which event."""
        return [[row[column] for row in self._events] for column in (COMMAND, STREAM, VERSION, ID)]

    def outcomes(self, reply: "Sequence[Record]", found: "Sequence[Record]" = ()) -> list[Became]:
        """What became of each command; *found* are those that were written when they were sent before."""
        (position,) = (row["position"] for row in reply if row["outcome"] == "base")
        by_command = {row["command"]: row for row in reply if row["outcome"] in ("known", "moved")}
        versions = {row["request"]: row["version"] for row in reply if row["outcome"] == "kept"}
        before = {row["command"]: row["position"] for row in found}
        outcomes: list[Became] = []
        for number, command in enumerate(self._commands, 1):
            row = by_command.get(number)
            if row is None:
                position += len(command.stored)
                outcomes.append(command.receipt(position, versions[command.key.key] if command.key else 0))
            elif number in before:  # its key, too, is known by this very command
                outcomes.append(command.receipt(before[number], row["version"] if command.key else 0))
            elif row["outcome"] == "known":
                assert command.key is not None
                outcomes.append(answer(command.key.key, row["request"], row["stream"], row["version"], row["position"]))
            else:
                expected = next(each.expected for each in command.changes if each.stream == row["stream"])
                outcomes.append(StreamMoved(row["stream"], expected, row["version"]))
        return outcomes


def answer(key: str, request: str, subject: UUID, version: int, position: int) -> Answer:
    """A row of the keys' table."""
    return Answer(Key(key=key, request=request, subject=subject), version, position)


def recorded(row: "Record") -> Recorded:
    """A row of the events' table."""
    position, stream, version, name, state, id_, recorded_at, actor, origin, token, *others, previous, hash_ = row
    correlation, causation, reason = others
    return Recorded(
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


@lru_cache(1_000)  # the same few come again and again
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


def line(row: "Record") -> bytes:
    """A row of the events' table, whoever wrote it, as it is in an export."""
    position, stream, version, name, state, id_, recorded_at, *envelope, previous, hash_ = row
    link = codec.link(
        previous.hex(), id_, stream, version, name, state.decode(errors="replace"), recorded_at, *envelope
    )
    return audit.line(position, hash_, link)


def _row(stored: Stored, command: int) -> tuple[Any, ...]:
    """As the events' table has it, with the command for the position, and without the time: both are given there."""
    recorded, by = stored.recorded, stored.recorded.by
    return (
        command,
        recorded.stream,
        recorded.version,
        recorded.name,
        stored.state,
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
