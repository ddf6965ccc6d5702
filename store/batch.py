"""
What a batch of appends comes to, worked out before any of it is written.

Every store numbers, dates and chains its events here, and knows here what it refuses: so they can't differ in it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from domain.errors import IdempotencyKeyReused
from store import codec, ids
from store.log import Author, Change, Event, Key, Receipt, Recorded, StreamMoved

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


class Tip(Struct, frozen=True, gc=False):
    """The log's last event: its position and its time."""

    position: int = 0
    recorded_at: datetime = datetime.min.replace(tzinfo=UTC)


class StreamHead(Struct, frozen=True, gc=False):
    """A stream's last event: its version and its hash."""

    version: int = 0
    hash: bytes = b""


class KeyRecord(Struct, frozen=True, gc=False):
    """What an idempotency key was first answered with: its subject at *version*, and the log's *position* then."""

    key: Key
    version: int
    position: int

    def again(self, request: str) -> Receipt:
        if request != self.key.request:
            raise IdempotencyKeyReused(key=self.key.key)
        return Receipt(position=self.position, subject=self.key.subject, version=self.version, is_repeat=True)


class EventRow(Struct, frozen=True, gc=False):
    """An event as the library's recorders keep it (`StoredEvent`), with the envelope that they know nothing of."""

    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes
    recorded: Recorded


class AppendBatch:
    """Appends that are written together, each as if it had come after the one before.

    *head* and *answer* look up what is written already; *answer* gives None for a key that is new.
    """

    def __init__(
        self, tip: Tip, clock: Clock, head: Callable[[UUID], StreamHead], answer: Callable[[str], KeyRecord | None]
    ) -> None:
        self.tip = Tip(tip.position, max(clock(), tip.recorded_at))
        self.heads: dict[UUID, StreamHead] = {}
        self.answers: dict[str, KeyRecord] = {}
        self.stored: list[EventRow] = []
        self._written_head = head
        self._written_answer = answer

    def add(self, changes: Sequence[Change], by: Author, key: Key | None) -> Receipt:
        """Takes an append in; raises `StreamMoved` or `IdempotencyKeyReused`, and then has taken in nothing of it."""
        if key is not None:
            known = self.answers.get(key.key) or self._written_answer(key.key)
            if known is not None:
                return known.again(key.request)
        heads: dict[UUID, StreamHead] = {}
        stored: list[EventRow] = []
        for change in changes:
            head: StreamHead | Recorded = heads.get(change.stream) or self._head(change.stream)
            if head.version != change.expected:
                raise StreamMoved(change.stream, change.expected, head.version)
            for event in change.events:
                stored.append(self._link(event, change.stream, head, self.tip.position + len(stored) + 1, by))
                head = stored[-1].recorded
            heads[change.stream] = StreamHead(head.version, head.hash)
        self.tip = Tip(self.tip.position + len(stored), self.tip.recorded_at)
        self.heads |= heads
        self.stored += stored
        recorded = tuple(link.recorded for link in stored)
        if key is None:
            return Receipt(position=self.tip.position, recorded=recorded)
        answer = KeyRecord(key, self._head(key.subject).version, self.tip.position)
        self.answers[key.key] = answer
        return Receipt(position=answer.position, recorded=recorded, subject=key.subject, version=answer.version)

    @property
    def recorded(self) -> list[Recorded]:
        return [stored.recorded for stored in self.stored]

    def _head(self, stream: UUID) -> StreamHead:
        return self.heads.get(stream) or self._written_head(stream)

    def _link(self, event: Event, stream: UUID, head: StreamHead | Recorded, position: int, by: Author) -> EventRow:
        id_, version, recorded_at = ids.new(), head.version + 1, self.tip.recorded_at
        name, state = codec.name(event), codec.encode(event)
        recorded = Recorded(
            position=position,
            stream=stream,
            version=version,
            id=id_,
            name=name,
            event=codec.decode(name, state),  # as every reader will have it: a number may have been of another type
            recorded_at=recorded_at,
            by=by,
            previous=head.hash,
            hash=codec.digest(head.hash, id_, stream, version, name, state, recorded_at, by),
        )
        return EventRow(stream, version, name, state, recorded)


class PendingAppend(Struct, frozen=True):
    """An append that waits to be carried out, and the one who waits for its receipt."""

    changes: Sequence[Change]
    by: Author
    key: Key | None
    receipt: asyncio.Future[Receipt]

    def attempt(self, batch: AppendBatch, faults: tuple[type[Exception], ...] = ()) -> Receipt | Exception:
        """What *batch* says to it. *faults* are the whole batch's, and raised."""
        try:
            return batch.add(self.changes, self.by, self.key)
        except faults:
            raise
        except Exception as refusal:  # of this append, and of no other in the batch
            return refusal

    def settle(self, outcome: Receipt | Exception) -> None:
        if self.receipt.done():  # who waited has gone
            return
        if isinstance(outcome, Receipt):
            self.receipt.set_result(outcome)
        else:
            self.receipt.set_exception(outcome)
