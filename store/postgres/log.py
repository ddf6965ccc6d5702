"""
The log on PostgreSQL, for any number of nodes.

Times are in the order of positions in every stream and on every node; between nodes as far as their clocks agree.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from store import codec
from store.batch import Clock, now
from store.feed import BATCH, POLL, Feed, Kinds, Observer
from store.log import Author, Change, Event, ExportPage, Key, Link, LogUnavailable, Receipt, Recorded
from store.postgres.connection import InDoubt, Pool
from store.postgres.listener import PROBE_INTERVAL, Listener
from store.postgres.rows import ANSWERS, COLUMNS, event_from_row, export_line_from_row, key_record_from_row
from store.postgres.schema import migrate
from store.postgres.witness import Witness
from store.postgres.writer import Writer
from store.shared import SingleFlight

if TYPE_CHECKING:
    from store.postgres.connection import Record

logger = logging.getLogger(__name__)

READERS = 6

WINDOW = 10_000
"""Events at most that are gone through at once for those that are wanted."""

PAUSE = 0.02
"""Seconds at least between two such readings: a worker's own writing alone would have it read all the time."""

AHEAD = 100
"""Batches that this node has written and that are kept until what is before them is read; more are read as well."""

PATIENCE = 60.0
"""Seconds that a server waits for its database at the start."""

RETRY_INTERVAL = 0.2
"""Seconds between two attempts to read for a follower from a database that is away."""

OF_STREAM = "originator_id = $1 AND originator_version > $2 AND originator_version <= $3 ORDER BY originator_version"
POSITION = "SELECT notification_id FROM stored_events ORDER BY notification_id DESC LIMIT 1"
"""The log's. Its `max` would go through the whole index where that was empty when it was planned."""

LAST = "SELECT notification_id, hash FROM stored_events ORDER BY notification_id DESC LIMIT 1"

ALL = f"SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1 ORDER BY notification_id LIMIT $2"
SOME = f"""
    SELECT {COLUMNS} FROM stored_events WHERE notification_id > $1 AND notification_id <= $1 + $2 AND (
        topic = ANY ($3)
        OR notification_id = least(({POSITION}), $1 + $2)
    ) ORDER BY notification_id
"""
"""The last is there whatever it is: it says how far this is all."""

LINKS = """
    SELECT notification_id, hash FROM stored_events WHERE notification_id > $1 AND notification_id <= $2
    ORDER BY notification_id
"""
NEWEST = 2**63 - 1  # above every version and every position

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
"""A stream's last version up to a position, as the one `low` that isn't below its `high`: both go up together."""
VERSION = "(SELECT low FROM halving WHERE low >= high)"


class PostgresLog:
    """See `EventLog`. Any number of processes may have it open."""

    is_shared = True

    def __init__(
        self, dsn: str, epoch: str, position: int, readers: Pool, witness: Witness, clock: Clock, probe: float
    ) -> None:
        self.epoch = epoch
        self.witness = witness
        self._readers = readers
        self._feed = Feed(self._fetch_at_last, position)
        self._catch_up = SingleFlight(self._read_news)
        self._news = asyncio.Event()  # others have written, or may have: what this node writes is published as it is
        self._ahead: deque[Sequence[Recorded]] = deque(maxlen=AHEAD)
        self._reading = asyncio.create_task(self._read_on(), name="log-reader")
        self._listener = Listener(dsn, ["stored_events"], lambda _: self._news.set(), probe, witness.check)
        self._writer = Writer(self._listener.line, clock, self._publish)
        self._said = ""
        self._is_closed = False

    @classmethod
    async def open(
        cls, dsn: str, clock: Clock = now, *, patience: float = PATIENCE, probe: float = PROBE_INTERVAL
    ) -> "PostgresLog":
        """The log in the database *dsn*, whose tables are made or brought up to date.

        Waits for *patience* seconds at most if it can't be reached; *probe* is that of the `Listener`. Raises
        `LogUnavailable`, also if a newer version of Stageline wrote it.
        """
        epoch = await migrate(dsn, patience)
        witness = Witness(dsn, epoch)
        readers = await Pool.open(dsn, READERS, witness.check)
        position = 0
        for position, hash_ in await readers.fetch(LAST):
            witness.saw(position, hash_)
        return cls(dsn, epoch, position, readers, witness, clock, probe)

    async def append(self, changes: Sequence[Change], by: Author, key: Key | None = None) -> Receipt:
        self._check_open()
        return await self._writer.append(changes, by, key)

    async def find(self, key: str, request: str) -> Receipt | None:
        for row in await self._select(ANSWERS, [key]):
            return key_record_from_row(*row).again(request)
        return None

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Recorded]:
        statement = f"SELECT {COLUMNS} FROM stored_events WHERE {OF_STREAM}"
        return [event_from_row(row) for row in await self._of_stream(statement, stream, after, until)]

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        statement = f"SELECT topic, state, notification_id, hash FROM stored_events WHERE {OF_STREAM}"
        return [codec.decode(row[0], row[1]) for row in await self._of_stream(statement, stream, after, until)]

    def ends_at(self, stream: UUID, version: int) -> bool:
        self._check_open()
        return 0 <= self._feed.ends.of(stream) <= version

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[Recorded]:
        return await self._fetch(after, limit, None)

    async def links(self, after: int, until: int) -> Sequence[Link]:
        """Those of the events from behind position *after* up to *until*."""
        return [(position, hash_) for position, hash_ in await self._events(LINKS, after, until)]

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        rows = await self._events(ALL, after, limit)
        return ExportPage(
            position=rows[-1]["notification_id"] if rows else 0, lines=b"".join(map(export_line_from_row, rows))
        )

    async def position(self) -> int:
        """All who ask at the same time share one statement: it reads what this node hasn't heard of yet."""
        self._check_open()
        return await self._catch_up()

    async def version(self, stream: UUID, position: int | None = None) -> int:
        wanted = NEWEST if position is None else position
        [(version,)] = await self._select(f"{HALVING} SELECT {VERSION}", stream, wanted)
        return int(version)

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[Recorded], None]:
        self.witness.stand()
        return self._feed.follow(after, stream)

    def recent(self, after: int) -> AsyncGenerator[Sequence[Recorded], None]:
        self.witness.stand()
        return self._feed.recent(after)

    def watch(self, told: Observer, kinds: Kinds | None = None) -> int:
        return self._feed.watch(told, kinds)

    async def close(self) -> None:
        """Ends the followers, carries out what was to be appended, and lets go of the database."""
        if self._is_closed:
            return
        self._is_closed = True
        self._feed.close()
        await self._writer.close()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._listener.close()
        await self._readers.close()

    # Reading

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The log is closed.")
        self.witness.stand()

    async def _of_stream(self, statement: str, stream: UUID, after: int, until: int | None) -> "Sequence[Record]":
        if until is not None:
            return await self._events(statement, stream, after, until)
        end = self._feed.ends.reading(stream)
        rows = await self._events(statement, stream, after, NEWEST)
        end.seen(after + len(rows))
        return rows

    async def _events(self, statement: str, *parameters: Any) -> "Sequence[Record]":
        """Rows of events in the order of their positions, which they have, with their hashes."""
        rows = await self._select(statement, *parameters)
        if rows:
            self.witness.saw(rows[-1]["notification_id"], rows[-1]["hash"])
        return rows

    async def _select(self, statement: str, *parameters: Any) -> "Sequence[Record]":
        self._check_open()
        try:
            return await self._readers.fetch(statement, *parameters)
        except InDoubt as broken:
            if isinstance(broken.__cause__, TimeoutError):  # nobody is to wait for that twice
                raise
        return await self._readers.fetch(statement, *parameters)  # one that had been idle may have been broken for long

    async def _fetch(self, after: int, limit: int, stream: UUID | None) -> Sequence[Recorded]:
        if stream is None:
            rows = await self._events(ALL, after, limit)
        else:
            of_stream = f"originator_id = $1 AND originator_version > {VERSION} ORDER BY originator_version LIMIT $3"
            statement = f"{HALVING} SELECT {COLUMNS} FROM stored_events WHERE {of_stream}"
            rows = await self._events(statement, stream, after, limit)
        return [event_from_row(row) for row in rows]

    async def _fetch_some(self, after: int, kinds: Kinds) -> Sequence[Recorded]:
        """Those of *kinds* among the `WINDOW` events after *after*, and the last of them whatever it is."""
        rows = await self._events(SOME, after, WINDOW, [codec.NAMES[kind] for kind in kinds])
        return [event_from_row(row) for row in rows]

    async def _fetch_at_last(self, after: int, limit: int, stream: UUID | None) -> Sequence[Recorded]:
        """Keeps followers waiting while the database is away."""
        while True:
            try:
                return await self._fetch(after, limit, stream)
            except LogUnavailable as fault:
                self._check_open()
                self._say(fault)
                await asyncio.sleep(RETRY_INTERVAL)

    # Following

    def _publish(self, events: Sequence[Recorded]) -> None:
        """Hands on what this node has written, once what others wrote before it was read: it isn't read itself."""
        if events:
            self.witness.saw(events[-1].position, events[-1].hash)
            self._ahead.append(events)
            self._go_on()
        if self._ahead:
            self._news.set()

    def _go_on(self) -> None:
        while self._ahead and self._ahead[0][0].position <= self._feed.position + 1:
            self._feed.publish(self._ahead.popleft())

    async def _read_news(self) -> int:
        """Hands on what others have written; the position up to which that is everything."""
        while True:
            end, wanted = self._feed.position, self._feed.wanted
            if wanted is None:
                most, found = BATCH, await self._fetch(end, BATCH, None)
                self._hand_on(found)
            else:
                most, found = WINDOW, await self._fetch_some(end, wanted)
                if self._feed.wanted != wanted:  # somebody else has come meanwhile, who may miss what wasn't read
                    continue
                self._pass_on(found)
            last = found[-1].position if found else end
            if last < end + most:
                return last

    async def _read_on(self) -> None:
        """Reads what others have written, for all of this node who want it."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._news.wait()
            self._news.clear()
            try:
                if self._feed.wanted is None:
                    await self._read_all_news()
                else:
                    await self._read_news()
                    await asyncio.sleep(PAUSE)
            except LogUnavailable as fault:
                self._say(fault)

    def _say(self, fault: LogUnavailable) -> None:
        """Says once what isn't over by itself; that the database is away others say."""
        if isinstance(fault, codec.UnknownEvent) and str(fault) != self._said:
            self._said = str(fault)
            logger.error("Nothing that comes after it in the log is heard of here: %s", fault)

    async def _read_all_news(self) -> None:
        """Reads until nothing is missing, also before what this node wrote; raises when the log is closed."""
        found: Sequence[Recorded] = ()
        limit = 0
        while limit < BATCH or len(found) == BATCH:  # behind what this node wrote there may be more
            self._go_on()
            missing = self._ahead[0][0].position - self._feed.position - 1 if self._ahead else BATCH
            limit = min(missing, BATCH)
            found = await self._fetch_at_last(self._feed.position, limit, None)
            self._hand_on(found)
            if not found:
                self._ahead.clear()

    def _hand_on(self, found: Sequence[Recorded]) -> None:
        self._writer.learn(found)
        self._feed.publish(found)
        self._go_on()

    def _pass_on(self, some: Sequence[Recorded]) -> None:
        """*some* are all that is wanted up to the last of them."""
        if some:
            self._writer.learn(some)
            self._feed.pass_on(some, some[-1].position)
            self._go_on()
