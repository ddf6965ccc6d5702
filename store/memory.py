"""The event log and the keys in memory, for tests and trials; the log keeps every promise but durability."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.popo import POPOApplicationRecorder

from store import audit, codec
from store.batch import AppendBatch, Clock, EventRow, KeyRecord, StreamHead, Tip, now
from store.feed import Feed, Kinds, Observer
from store.keys import KEY_LENGTH
from store.log import Author, Event, ExportPage, IdempotencyKey, LogUnavailable, Receipt, RecordedEvent, StreamChange


class MemoryRecorder(POPOApplicationRecorder):
    """The library's recorder, which keeps `EventRow`s with their envelopes."""

    def all(self, after: int, limit: int) -> list[RecordedEvent]:
        """Return at most *limit* events with positions above *after*."""
        with self._database_lock:
            return [row.recorded for row in cast("list[EventRow]", self._stored_events[after : after + limit])]

    def of_stream(self, stream: UUID, after: int = 0, until: int | None = None) -> list[RecordedEvent]:
        """Return the stream's events with versions above *after*, up to and including *until*."""
        return [row.recorded for row in cast("list[EventRow]", self.select_events(stream, gt=after, lte=until))]

    def export(self, after: int, limit: int) -> ExportPage:
        """Return at most *limit* events with positions above *after*."""
        with self._database_lock:
            rows = cast("list[EventRow]", self._stored_events[after : after + limit])
        return ExportPage(position=after + len(rows) if rows else 0, lines=b"".join(map(_export_line, rows)))


def _export_line(row: EventRow) -> bytes:
    event = row.recorded
    link = codec.event_link(
        event.previous, event.id, event.stream, event.version, event.name, row.state, event.recorded_at, event.by
    )
    return audit.export_line(event.position, event.hash, link)


class MemoryLog:
    """The log in memory; see `EventLog`."""

    is_shared = False

    def __init__(self, clock: Clock = now) -> None:
        self.epoch = secrets.token_hex(8)
        self._clock = clock
        self._recorder = MemoryRecorder()
        self._tip = Tip()
        self._heads: dict[UUID, StreamHead] = {}
        self._key_records: dict[str, KeyRecord] = {}
        self._feed = Feed(self._fetch, position=0)
        self._is_closed = False

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        await self._yield()
        batch = AppendBatch(self._tip, self._clock, self._head, self._key_records.get)
        receipt = batch.add(changes, by, key)
        self._recorder.insert_events(cast("list[StoredEvent]", batch.rows))
        self._tip = batch.tip
        self._heads |= batch.heads
        self._key_records |= batch.key_records
        self._feed.publish(receipt.recorded)
        return receipt

    async def find(self, key: str, request: str) -> Receipt | None:
        await self._yield()
        record = self._key_records.get(key)
        return None if record is None else record.repeat(request)

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[RecordedEvent]:
        await self._yield()
        return self._recorder.of_stream(stream, after, until)

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        return [recorded.event for recorded in await self.read(stream, after, until)]

    def ends_at(self, stream: UUID, version: int) -> bool:
        return self._head(stream).version <= version

    async def read_all(self, after: int = 0, limit: int = 1000) -> Sequence[RecordedEvent]:
        return await self._fetch(after, limit, None)

    async def export(self, after: int = 0, limit: int = 1000) -> ExportPage:
        await self._yield()
        return self._recorder.export(after, limit)

    async def position(self) -> int:
        await self._yield()
        return self._tip.position

    async def version(self, stream: UUID, position: int | None = None) -> int:
        events = await self.read(stream)
        return len([recorded for recorded in events if position is None or recorded.position <= position])

    def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        return self._feed.follow(after, stream)

    def recent(self, after: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        return self._feed.recent(after)

    def watch(self, observer: Observer, kinds: Kinds | None = None) -> int:
        return self._feed.watch(observer, kinds)

    async def close(self) -> None:
        self._is_closed = True
        self._feed.close()

    def _head(self, stream: UUID) -> StreamHead:
        return self._heads.get(stream, StreamHead())

    async def _yield(self) -> None:
        """Let other tasks run first, as a database would."""
        if self._is_closed:
            raise LogUnavailable("The log is closed.")
        await asyncio.sleep(0)

    async def _fetch(self, after: int, limit: int, stream: UUID | None) -> Sequence[RecordedEvent]:
        await self._yield()
        if stream is None:
            return self._recorder.all(after, limit)
        return [recorded for recorded in self._recorder.of_stream(stream) if recorded.position > after][:limit]


class MemoryKeys:
    """The encryption keys in memory; see `Keys`."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}

    async def make(self, id: str) -> bytes:
        return self._keys.setdefault(id, secrets.token_bytes(KEY_LENGTH))

    async def get(self, ids: Collection[str]) -> Mapping[str, bytes]:
        return {id_: self._keys[id_] for id_ in ids if id_ in self._keys}

    async def find(self, prefix: str) -> Collection[str]:
        return [id_ for id_ in self._keys if id_.startswith(prefix)]

    async def destroy(self, ids: Collection[str]) -> None:
        for id_ in ids:
            self._keys.pop(id_, None)

    async def close(self) -> None: ...
