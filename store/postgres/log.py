"""
The event log in PostgreSQL, for any number of nodes.

The times of events are in the order of their positions within a stream and within a node. Between nodes they are as
exact as the nodes' clocks.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

from store import codec
from store.archive import Archive
from store.batch import Clock, now
from store.feed import BATCH, POLL, Feed, Kinds, Observer
from store.log import Author, Event, ExportPage, IdempotencyKey, LogUnavailable, Receipt, RecordedEvent, StreamChange
from store.postgres.connection import Pool
from store.postgres.listener import PROBE_INTERVAL, Listener
from store.postgres.reader import LAST, NEWEST, EventReader
from store.postgres.schema import migrate
from store.postgres.witness import Witness
from store.postgres.writer import Writer
from store.single_flight import SingleFlight

READERS = 6
"""Maximum number of connections for reading."""

WINDOW = 10_000
"""Maximum number of events that are searched at once for those of some kinds."""

PAUSE = 0.02
"""Minimum time between two such searches, in seconds: the appends of one worker would make it search all the time."""

AHEAD = 100
"""Maximum number of batches of this node that wait for earlier events of other nodes; later ones are read instead."""

PATIENCE = 60.0
"""Maximum time for which a starting server waits for its database, in seconds."""

RETRY_INTERVAL = 0.2
"""Interval of the attempts to read for a follower while the database can't be reached, in seconds."""

logger = logging.getLogger(__name__)


class PostgresLog:
    """The log in a database; see `EventLog`. Any number of processes can open it."""

    is_shared = True

    def __init__(
        self,
        dsn: str,
        epoch: str,
        position: int,
        readers: Pool,
        witness: Witness,
        clock: Clock,
        probe: float,
        archive: Archive,
    ) -> None:
        self.epoch = epoch
        self.witness = witness
        self._reader = EventReader(readers, witness, self._check_open, archive)
        self._feed = Feed(self._fetch_patiently, position)
        self._catch_up = SingleFlight(self._read_news)
        self._notified = asyncio.Event()  # other nodes may have written
        self._ahead: deque[Sequence[RecordedEvent]] = deque(maxlen=AHEAD)
        self._reading = asyncio.create_task(self._read_on(), name="log-reader")
        self._listener = Listener(dsn, ["stored_events"], lambda _: self._notified.set(), probe, witness.check)
        self._writer = Writer(self._listener.connection, clock, self._publish)
        self._logged = ""
        self._is_closed = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        clock: Clock = now,
        *,
        patience: float = PATIENCE,
        probe: float = PROBE_INTERVAL,
        archive: Path | None = None,
    ) -> "PostgresLog":
        """Open the log in the database *dsn*, and migrate its tables.

        Retries for *patience* seconds while the database can't be reached; *probe* is the interval of the `Listener`.
        *archive* is the folder of archived events.
        Raises `LogUnavailable`, also if a newer version of Stageline has migrated the tables.
        """
        epoch = await migrate(dsn, patience)
        witness = Witness(dsn, epoch)
        readers = await Pool.open(dsn, READERS, witness.check)
        position = 0
        for position, hash_ in await readers.fetch(LAST):
            witness.observe(position, hash_)
        return cls(dsn, epoch, position, readers, witness, clock, probe, Archive(archive))

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        self._check_open()
        return await self._writer.append(changes, by, key)

    async def find(self, key: str, request: str) -> Receipt | None:
        record = await self._reader.key_record(key)
        return None if record is None else record.repeat(request)

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[RecordedEvent]:
        if until is not None:
            return await self._reader.stream(stream, after, until)
        end = self._feed.ends.track(stream)
        events = await self._reader.stream(stream, after, NEWEST)
        end.advance(after + len(events))
        return events

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        end = self._feed.ends.track(stream)
        events = await self._reader.stream_events(stream, after, NEWEST if until is None else until)
        if until is None or after + len(events) < until:  # versions have no gaps, so these are all
            end.advance(after + len(events))
        return events

    def ends_at(self, stream: UUID, version: int) -> bool:
        self._check_open()
        return 0 <= self._feed.ends.version(stream) <= version

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[RecordedEvent]:
        return await self._reader.page(after, limit, None)

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        return await self._reader.export(after, limit)

    async def expired_keys(self, before: datetime, count: int) -> Sequence[str]:
        return await self._reader.expired_keys(before, count)

    async def forget_keys(self, keys: Collection[str]) -> None:
        await self._reader.forget_keys(keys)

    async def position(self) -> int:
        """See `EventLog.position`. Concurrent callers share one statement, which also reads other nodes' events."""
        self._check_open()
        return await self._catch_up()

    async def version(self, stream: UUID, position: int | None = None) -> int:
        return await self._reader.version(stream, NEWEST if position is None else position)

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        self.witness.ensure_intact()
        return self._feed.follow(after, stream)

    def recent(self, after: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        self.witness.ensure_intact()
        return self._feed.recent(after)

    def watch(self, observer: Observer, kinds: Kinds | None = None) -> int:
        return self._feed.watch(observer, kinds)

    async def close(self) -> None:
        """End the followers, write the pending appends, and close the connections."""
        if self._is_closed:
            return
        self._is_closed = True
        self._feed.close()
        await self._writer.close()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._listener.close()
        await self._reader.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable("The log is closed.")
        self.witness.ensure_intact()

    async def _fetch_patiently(self, after: int, limit: int, stream: UUID | None) -> Sequence[RecordedEvent]:
        """Read events; retry while the database can't be reached."""
        while True:
            try:
                return await self._reader.page(after, limit, stream)
            except LogUnavailable as fault:
                self._check_open()
                self._log(fault)
                await asyncio.sleep(RETRY_INTERVAL)

    def _publish(self, events: Sequence[RecordedEvent]) -> None:
        """Publish events that this node has written, once all events before them are published."""
        if events:
            self.witness.observe(events[-1].position, events[-1].hash)
            self._ahead.append(events)
            self._publish_ahead()
        if self._ahead:
            self._notified.set()

    def _publish_ahead(self) -> None:
        while self._ahead and self._ahead[0][0].position <= self._feed.position + 1:
            self._feed.publish(self._ahead.popleft())

    async def _read_news(self) -> int:
        """Publish the events of other nodes; return the position up to which all are published."""
        while True:
            end, wanted = self._feed.position, self._feed.wanted
            if wanted is None:
                limit, found = BATCH, await self._reader.page(end, BATCH, None)
                self._publish_all(found)
            else:
                limit, found = WINDOW, await self._reader.page_of_kinds(end, WINDOW, wanted)
                if self._feed.wanted != wanted:  # a new follower or observer may want other events
                    continue
                self._publish_some(found)
            last = found[-1].position if found else end
            if last < end + limit:
                return last

    async def _read_on(self) -> None:
        """Publish the events of other nodes as they come."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._notified.wait()
            self._notified.clear()
            try:
                if self._feed.wanted is None:
                    await self._read_all_news()
                else:
                    await self._read_news()
                    await asyncio.sleep(PAUSE)
            except LogUnavailable as fault:
                self._log(fault)

    def _log(self, fault: LogUnavailable) -> None:
        """Log an unknown event once; the listener logs that the database can't be reached."""
        if isinstance(fault, codec.UnknownEvent) and str(fault) != self._logged:
            self._logged = str(fault)
            values = {"position": self._feed.position, "error": self._logged}
            logger.error("Cannot read events after position %(position)s: %(error)s", values)

    async def _read_all_news(self) -> None:
        """Publish all missing events, also those before this node's own; raises when the log is closed."""
        found: Sequence[RecordedEvent] = ()
        limit = 0
        while limit < BATCH or len(found) == BATCH:  # there may be more events after this node's own
            self._publish_ahead()
            missing = self._ahead[0][0].position - self._feed.position - 1 if self._ahead else BATCH
            limit = min(missing, BATCH)
            found = await self._fetch_patiently(self._feed.position, limit, None)
            self._publish_all(found)
            if not found:
                self._ahead.clear()

    def _publish_all(self, found: Sequence[RecordedEvent]) -> None:
        self._writer.learn(found)
        self._feed.publish(found)
        self._publish_ahead()

    def _publish_some(self, found: Sequence[RecordedEvent]) -> None:
        """Publish *found*, which are all wanted events up to the last of them."""
        if found:
            self._writer.learn(found)
            self._feed.skip_to(found[-1].position, found)
            self._publish_ahead()
