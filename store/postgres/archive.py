"""The archiving of events of a log in PostgreSQL, while nodes use it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from store import archive
from store.archive import ArchivableEvent, SealedFile, Segment
from store.log import LogUnavailable
from store.postgres.connection import Connection, Record, connect
from store.postgres.errors import describe_database, translate_errors
from store.postgres.locks import LOCK_TABLES, TRY_LOCK_ARCHIVE
from store.postgres.reader import BEFORE, VERSION
from store.postgres.rows import COLUMNS, export_line_from_row

TIMEOUT = 60.0
"""Maximum time for a statement, in seconds."""

TABLES = """
    CREATE TABLE segments (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        digest text NOT NULL UNIQUE,
        first bigint NOT NULL,
        last bigint NOT NULL,
        events bigint NOT NULL,
        size bigint NOT NULL
    );
    CREATE TRIGGER segments_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON segments
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

    CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        was stored_events := OLD;
    BEGIN
        was.state := NEW.state;
        was.actor := NEW.actor;
        was.origin := NEW.origin;
        was.token := NEW.token;
        was.correlation := NEW.correlation;
        was.causation := NEW.causation;
        was.reason := NEW.reason;
        was.previous := NEW.previous;
        IF was IS DISTINCT FROM NEW OR substring(OLD.state FROM 1 FOR 1) IS DISTINCT FROM '{'
            OR encode(NEW.state, 'escape') !~ '^[0-9]{1,18}$' OR NOT EXISTS (
                SELECT FROM segments WHERE number = encode(NEW.state, 'escape')::bigint
                AND OLD.notification_id BETWEEN first AND last
            )
        THEN
            RAISE EXCEPTION '% are kept as they are: no %', TG_TABLE_NAME, lower(TG_OP);
        END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER stored_events_are_kept BEFORE DELETE OR TRUNCATE ON stored_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER stored_events_are_not_rewritten BEFORE UPDATE ON stored_events
        FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
"""
"""Statements of the first archiving. Earlier versions run beside it, and refuse the archived events.

An event can only be updated in one way: the number of a segment that covers its position takes the place of its body.
"""

HAS_TABLES = "SELECT to_regclass('segments') IS NOT NULL"
LISTED = "SELECT number, digest, first, last, events, size FROM segments ORDER BY number"

ENDED = """
    SELECT originator_id FROM stored_events WHERE notification_id > $1 AND notification_id <= $2
    AND topic = ANY ($3) AND substring(state FROM 1 FOR 1) = '{' ORDER BY notification_id
"""

ARCHIVABLE = f"""
    SELECT {COLUMNS} FROM stored_events WHERE originator_id = $1 AND originator_version > $2 AND notification_id <= $3
    AND substring(state FROM 1 FOR 1) = '{{' ORDER BY originator_version LIMIT $4
"""
"""The events of a stream with a body: a number takes its place in the archived ones."""

LIST = "INSERT INTO segments (digest, first, last, events, size) VALUES ($1, $2, $3, $4, $5) RETURNING number"

EMPTY = """
    UPDATE stored_events SET state = $1::text::bytea, actor = '', origin = '', token = NULL, correlation = NULL,
    causation = NULL, reason = NULL, previous = '' WHERE notification_id = ANY ($2)
"""
EMPTIED = "state", "actor", "origin", "reason", "previous"
"""The columns that it empties, without those of fixed sizes."""

UUIDS = "token", "correlation", "causation"
"""The columns with a UUID that it empties."""

SIZE = "SELECT pg_total_relation_size('stored_events')"


class PostgresArchiving:
    """See `ArchivableLog`; *connection* is to the database *dsn*."""

    def __init__(self, connection: Connection, dsn: str) -> None:
        self._connection = connection
        self._dsn = dsn

    async def segments(self) -> Sequence[Segment]:
        return await _segments(self._connection)

    async def end(self, before: datetime) -> int:
        return int(await self._connection.fetchval(f"{BEFORE} SELECT {VERSION}", before))

    async def closed(self, after: int, until: int) -> Sequence[UUID]:
        return [stream for (stream,) in await self._connection.fetch(ENDED, after, until, archive.CLOSED)]

    async def archivable(self, stream: UUID, after: int, until: int) -> Sequence[ArchivableEvent]:
        return list(map(_archivable, await self._connection.fetch(ARCHIVABLE, stream, after, until, archive.PAGE)))

    async def record(self, sealed: SealedFile, positions: Sequence[int]) -> None:
        async with self._connection.transaction():
            if not await self._connection.fetchval(HAS_TABLES):
                await self._connection.execute(LOCK_TABLES)
                await self._connection.execute(TABLES)
            span = positions[0], positions[-1], len(positions)
            number = await self._connection.fetchval(LIST, sealed.digest, *span, sealed.size)
            await self._connection.execute(EMPTY, str(number), positions)

    async def size(self) -> int:
        """Return the size of the table of events with its indexes, in bytes."""
        return int(await self._connection.fetchval(SIZE))

    async def shrink(self) -> None:
        """Leave the free space to later events: to return it to the disk would lock the table."""


@asynccontextmanager
async def archiving(dsn: str) -> AsyncIterator[PostgresArchiving]:
    """Open the log in the database *dsn*; raises `LogUnavailable`, also if another archiving runs."""
    with translate_errors(dsn):
        connection = await connect(dsn, TIMEOUT)
        try:
            if not await connection.fetchval(TRY_LOCK_ARCHIVE):
                raise LogUnavailable(f"Another `stageline archive` uses {describe_database(dsn)}: let it end first.")
            yield PostgresArchiving(connection, dsn)
        finally:
            await connection.close(timeout=1)


async def archive_findings(connection: Connection, folder: Path | None) -> list[str]:
    """Return what is wrong with the files of the archive in *folder*."""
    return archive.findings(folder, await _segments(connection))


async def _segments(connection: Connection) -> list[Segment]:
    is_used = await connection.fetchval(HAS_TABLES)
    return [Segment(**row) for row in await connection.fetch(LISTED)] if is_used else []


def _archivable(row: Record) -> ArchivableEvent:
    size = sum(len(row[column] or "") for column in EMPTIED) + sum(16 for column in UUIDS if row[column])
    position, version, hash_ = row["notification_id"], row["originator_version"], row["hash"]
    return archive.archivable(position, version, hash_, export_line_from_row(row), size)
