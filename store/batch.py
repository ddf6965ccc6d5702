"""
Batches of appends, prepared before anything is written.

Every log numbers, dates and chains its events here and detects conflicts here, so the logs can't differ.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from msgspec import Struct

from domain.errors import IdempotencyKeyReused
from store import codec, ids
from store.log import Author, Event, IdempotencyKey, Receipt, RecordedEvent, StreamChange, StreamMoved

Clock = Callable[[], datetime]

CLOCK_TOLERANCE = timedelta(seconds=2)
"""Time by which a clock may be behind the last event without a log line."""

logger = logging.getLogger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


class Tip(Struct, frozen=True, gc=False):
    """The position and the time of the log's last event."""

    position: int = 0
    recorded_at: datetime = datetime.min.replace(tzinfo=UTC)


class StreamHead(Struct, frozen=True, gc=False):
    """The version and the hash of a stream's last event."""

    version: int = 0
    hash: bytes = b""


class KeyRecord(Struct, frozen=True, gc=False):
    """The stored first receipt of an idempotency key: the *version* of its subject, and the log's *position* then."""

    key: IdempotencyKey
    version: int
    position: int

    def repeat(self, request: str) -> Receipt:
        """Return the first receipt again; raises `IdempotencyKeyReused` if *request* is another one."""
        if request != self.key.request:
            raise IdempotencyKeyReused(key=self.key.key)
        return Receipt(position=self.position, subject=self.key.subject, version=self.version, is_repeat=True)


class EventRow(Struct, frozen=True, gc=False):
    """The fields of the `eventsourcing` library's `StoredEvent`, and the recorded event with its envelope."""

    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes
    recorded: RecordedEvent


@lru_cache(1)  # logged once for each last event, whose time the next ones get
def _warn_of_clock(last: datetime) -> None:
    logger.warning(
        "The clock has gone back: the last event was recorded at %(last)s, which is in the future. New events get that "
        "time until the clock has reached it. Check the system's clock",
        {"last": last.isoformat()},
    )


class AppendBatch:
    """Appends that are written in one transaction, each as if it came after the one before.

    *head* and *key_record* look up what is already stored; *key_record* returns None for a new key.
    """

    def __init__(
        self,
        tip: Tip,
        clock: Clock,
        head: Callable[[UUID], StreamHead],
        key_record: Callable[[str], KeyRecord | None],
    ) -> None:
        at = clock()
        if tip.recorded_at - at > CLOCK_TOLERANCE:
            _warn_of_clock(tip.recorded_at)
        self.tip = Tip(tip.position, max(at, tip.recorded_at))
        self.heads: dict[UUID, StreamHead] = {}
        self.key_records: dict[str, KeyRecord] = {}
        self.rows: list[EventRow] = []
        self._stored_head = head
        self._stored_key_record = key_record

    def add(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None) -> Receipt:
        """Add an append; raises `StreamMoved` or `IdempotencyKeyReused`, and then adds nothing."""
        if key is not None:
            known = self.key_records.get(key.key) or self._stored_key_record(key.key)
            if known is not None:
                return known.repeat(key.request)
        heads: dict[UUID, StreamHead] = {}
        rows: list[EventRow] = []
        for change in changes:
            head: StreamHead | RecordedEvent = heads.get(change.stream) or self._head(change.stream)
            if head.version != change.expected:
                raise StreamMoved(change.stream, change.expected, head.version)
            for event in change.events:
                rows.append(self._link(event, change.stream, head, self.tip.position + len(rows) + 1, by))
                head = rows[-1].recorded
            heads[change.stream] = StreamHead(head.version, head.hash)
        self.tip = Tip(self.tip.position + len(rows), self.tip.recorded_at)
        self.heads |= heads
        self.rows += rows
        recorded = tuple(row.recorded for row in rows)
        if key is None:
            return Receipt(position=self.tip.position, recorded=recorded)
        record = KeyRecord(key, self._head(key.subject).version, self.tip.position)
        self.key_records[key.key] = record
        return Receipt(position=record.position, recorded=recorded, subject=key.subject, version=record.version)

    @property
    def recorded(self) -> list[RecordedEvent]:
        return [row.recorded for row in self.rows]

    def _head(self, stream: UUID) -> StreamHead:
        return self.heads.get(stream) or self._stored_head(stream)

    def _link(
        self, event: Event, stream: UUID, head: StreamHead | RecordedEvent, position: int, by: Author
    ) -> EventRow:
        id_, version, recorded_at = ids.new(), head.version + 1, self.tip.recorded_at
        name, state = codec.name(event), codec.encode(event)
        recorded = RecordedEvent(
            position=position,
            stream=stream,
            version=version,
            id=id_,
            name=name,
            event=codec.decode(name, state),  # as readers will see it: the type of a number may differ
            recorded_at=recorded_at,
            by=by,
            previous=head.hash,
            hash=codec.digest(head.hash, id_, stream, version, name, state, recorded_at, by),
        )
        return EventRow(stream, version, name, state, recorded)


class PendingAppend(Struct, frozen=True):
    """An append in the queue, and the future of its receipt."""

    changes: Sequence[StreamChange]
    by: Author
    key: IdempotencyKey | None
    receipt: asyncio.Future[Receipt]

    def attempt(self, batch: AppendBatch, faults: tuple[type[Exception], ...] = ()) -> Receipt | Exception:
        """Add this append to *batch*; return its receipt or its refusal. *faults* are raised."""
        try:
            return batch.add(self.changes, self.by, self.key)
        except faults:
            raise
        except Exception as refusal:  # of this append only
            return refusal

    def settle(self, outcome: Receipt | Exception) -> None:
        """Give *outcome* to the caller."""
        if self.receipt.done():  # the caller was cancelled
            return
        if isinstance(outcome, Receipt):
            self.receipt.set_result(outcome)
        else:
            self.receipt.set_exception(outcome)
