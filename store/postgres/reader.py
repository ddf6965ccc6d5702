"""Queries for the events of the log in PostgreSQL."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from store import codec
from store.archive import Archive, ArchivedEvents
from store.batch import KeyRecord
from store.feed import Kinds
from store.log import Event, ExportPage, RecordedEvent
from store.postgres.connection import Pool, Record
from store.postgres.errors import InDoubt
from store.postgres.rows import (
    ANSWERS,
    COLUMNS,
    bodies_from_rows,
    events_from_rows,
    export_lines_from_rows,
    key_record_from_row,
    with_archived,
)
from store.postgres.witness import Witness

T = TypeVar("T")

OF_STREAM = "originator_id = $1 AND originator_version > $2 AND originator_version <= $3 ORDER BY originator_version"

POSITION = "SELECT notification_id FROM stored_events ORDER BY notification_id DESC LIMIT 1"
"""The log's last position. A plan of `max` that was made for an empty index would scan all of it."""

LAST = "SELECT notification_id, hash FROM stored_events ORDER BY notification_id DESC LIMIT 1"

ALL = f"SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1 ORDER BY notification_id LIMIT $2"

SOME = f"""
    SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1 AND notification_id <= $1 + $2 AND (
        topic = ANY ($3)
        OR notification_id = least(({POSITION}), $1 + $2)
    ) ORDER BY notification_id
"""
"""The events of some kinds, and the last event of the window, which tells how far the window reaches."""

NEWEST = 2**63 - 1
"""A number above every version and every position."""

HALVING = """
    WITH RECURSIVE halving (low, high) AS (
        SELECT 0::bigint, coalesce((
            SELECT originator_version FROM stored_events WHERE originator_id = $1
            ORDER BY originator_version DESC LIMIT 1
        ), 0)
        UNION ALL
        SELECT CASE WHEN notification_id <= $2 THEN originator_version ELSE low END,
            CASE WHEN notification_id <= $2 THEN high ELSE originator_version - 1 END
        FROM halving CROSS JOIN LATERAL (
            SELECT * FROM stored_events WHERE originator_id = $1 AND originator_version = (low + high + 1) / 2 LIMIT 1
        ) AS middle WHERE low < high
    )
"""
"""Binary search for a stream's last version up to a position: the one row where `low` is not below `high`."""
VERSION = "(SELECT low FROM halving WHERE low >= high)"
"""The result of a binary search."""

BEFORE = """
    WITH RECURSIVE halving (low, high) AS (
        SELECT 0::bigint, coalesce(max(notification_id), 0) FROM stored_events
        UNION ALL
        SELECT CASE WHEN recorded_at < $1 THEN notification_id ELSE low END,
            CASE WHEN recorded_at < $1 THEN high ELSE notification_id - 1 END
        FROM halving CROSS JOIN LATERAL (
            SELECT * FROM stored_events WHERE notification_id = (low + high + 1) / 2 LIMIT 1
        ) AS middle WHERE low < high
    )
"""
"""Binary search for the last position of an event before a time: the one row where `low` is not below `high`."""

EXPIRED_KEYS = f"""
    {BEFORE} SELECT key FROM keys WHERE position <= {VERSION}
        OR position <= (SELECT position FROM keys ORDER BY position DESC LIMIT 1 OFFSET $2::bigint)
"""
"""The keys of events before a time, and those beyond a number of keys."""


class EventReader:
    """Reads events over a pool of connections, and those in the *archive* from its files.

    *check* raises `LogUnavailable` if the log must not be read.
    """

    def __init__(self, pool: Pool, witness: Witness, check: Callable[[], None], archive: Archive) -> None:
        self._pool = pool
        self._archive = archive
        self._witness = witness
        self._check = check

    async def stream(self, stream: UUID, after: int, until: int) -> Sequence[RecordedEvent]:
        """Return the stream's events with versions above *after*, up to and including *until*."""
        statement = f"SELECT {COLUMNS} FROM stored_events WHERE {OF_STREAM}"
        return await self._converted(events_from_rows, statement, stream, after, until)

    async def stream_events(self, stream: UUID, after: int, until: int) -> Sequence[Event]:
        """Return the events of `stream` without their envelopes."""
        statement = f"SELECT topic, state, notification_id, hash FROM stored_events WHERE {OF_STREAM}"
        return await self._converted(bodies_from_rows, statement, stream, after, until)

    async def page(self, after: int, limit: int, stream: UUID | None) -> Sequence[RecordedEvent]:
        """Return at most *limit* events with positions above *after*, of *stream* or of all."""
        if stream is None:
            return await self._converted(events_from_rows, ALL, after, limit)
        of_stream = f"originator_id = $1 AND originator_version > {VERSION} ORDER BY originator_version LIMIT $3"
        statement = f"{HALVING} SELECT {COLUMNS} FROM stored_events WHERE {of_stream}"
        return await self._converted(events_from_rows, statement, stream, after, limit)

    async def page_of_kinds(self, after: int, window: int, kinds: Kinds) -> Sequence[RecordedEvent]:
        """Return those of *kinds* among the next *window* events, and the last event of the window."""
        names = [codec.NAMES[kind] for kind in kinds]
        return await self._converted(events_from_rows, SOME, after, window, names)

    async def export(self, after: int, limit: int) -> ExportPage:
        """See `EventLog.export`."""
        rows = await self._events(ALL, after, limit)
        position = rows[-1]["notification_id"] if rows else 0
        lines = await with_archived(self._rows, self._archive, rows, export_lines_from_rows)
        return ExportPage(position=position, lines=b"".join(lines))

    async def version(self, stream: UUID, position: int) -> int:
        """Return the stream's version when the log was at *position*."""
        [(version,)] = await self._rows(f"{HALVING} SELECT {VERSION}", stream, position)
        return int(version)

    async def key_record(self, key: str) -> KeyRecord | None:
        """Return the record of an idempotency key, if any."""
        rows = await self._rows(ANSWERS, [key])
        return key_record_from_row(*rows[0]) if rows else None

    async def expired_keys(self, before: datetime, count: int) -> Sequence[str]:
        """See `PrunableKeys`."""
        return [key for (key,) in await self._rows(EXPIRED_KEYS, before, count)]

    async def forget_keys(self, keys: Collection[str]) -> None:
        """Delete idempotency keys."""
        await self._rows("DELETE FROM keys WHERE key = ANY ($1)", list(keys))

    async def close(self) -> None:
        await self._pool.close()

    async def _converted(
        self, convert: Callable[[Sequence[Record], ArchivedEvents], list[T]], statement: str, *parameters: Any
    ) -> Sequence[T]:
        rows = await self._events(statement, *parameters)
        return await with_archived(self._rows, self._archive, rows, convert)

    async def _events(self, statement: str, *parameters: Any) -> Sequence[Record]:
        """Return rows with the positions and hashes of events, in order of position."""
        rows = await self._rows(statement, *parameters)
        if rows:
            self._witness.observe(rows[-1]["notification_id"], rows[-1]["hash"])
        return rows

    async def _rows(self, statement: str, *parameters: Any) -> Sequence[Record]:
        self._check()
        try:
            return await self._pool.fetch(statement, *parameters)
        except InDoubt as broken:
            if isinstance(broken.__cause__, TimeoutError):  # a second timeout would be too long
                raise
        return await self._pool.fetch(statement, *parameters)  # an idle connection may have been broken for long
