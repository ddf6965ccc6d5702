"""
The write path: read, decide, append.

A transaction reads streams, decides on them, and appends all events at once, on condition that no stream that it read
has moved on. Otherwise it runs again from the start. A refusal is subject to the same condition. So transactions are
serializable.

Because the append checks the condition, a stale state does no harm. A writer to streams that hardly anybody else writes
to may use cached states, and reads only when they were stale. Other writers read first: a writer with cached states is
so fast that it would starve those who have to read.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from application.weight import state_weight
from cache.lru import Cache, Versions, weight
from domain.decider import Decider
from domain.errors import Refused, VersionMismatch
from store import codec, ids
from store.log import Author, Event, EventLog, IdempotencyKey, Receipt, RecordedEvent, StreamChange, StreamMoved
from tracing.span import annotate, child, is_traced

State = TypeVar("State")
Command = TypeVar("Command")
EventT = TypeVar("EventT", bound=Event)

ATTEMPTS = 50
"""Maximum number of attempts of a transaction.

Three nodes that write to one stream lose two races out of three each; with 20 attempts one of them failed now and then.
"""

STATES_BYTES = 16 * 1024 * 1024
"""Maximum size of the cached states, in bytes."""

RESULT_BYTES = 8 * 1024 * 1024
"""Maximum size of the cached results of ended streams, in bytes."""

PENDING_BYTES = 16 * 1024 * 1024
"""Maximum size of the pending events of all streams, in bytes."""

PENDING_ENTRY = 1000
"""Size of a stream's entry beside its pending events, in bytes."""

CHUNK = 500
"""Maximum number of events that are in memory at once while a state is made of them."""

MAX_PENDING = 8
"""Maximum number of events that are kept to bring a cached state up to date."""


class StreamState(Struct, Generic[State], frozen=True):
    """The state of a stream at *version*."""

    stream: UUID
    version: int
    state: State


class Outcome(Struct, Generic[State], frozen=True, kw_only=True):
    """The outcome of a command: the state of its subject afterwards, and the receipt of the append.

    *events* are those that were decided on the subject's own stream; none if the idempotency key was known. *last* is
    the last event that was decided on any stream, also if the key was known.
    """

    subject: StreamState[State]
    receipt: Receipt
    events: tuple[Event, ...] = ()
    last: Event | None = None

    @property
    def has_changed(self) -> bool:
        """Whether the command changed anything, or in a dry run would change it."""
        return self.last is not None

    @property
    def state(self) -> State:
        return self.subject.state

    def preview(self, by: Author) -> list[RecordedEvent]:
        """Return the events of a dry run as they would be recorded now."""
        before = self.subject.version - len(self.events)
        return [
            RecordedEvent(
                position=self.receipt.position + number,
                stream=self.subject.stream,
                version=before + number,
                id=ids.new(),
                name=codec.name(event),
                event=event,
                recorded_at=datetime.now(UTC),
                by=by,
                previous=b"",
                hash=b"",
            )
            for number, event in enumerate(self.events, 1)
        ]


def _weight(loaded: StreamState[Any]) -> int:
    return state_weight(loaded.state)


def mismatch(stream: UUID, expected: int, current: int) -> VersionMismatch:
    """Return the refusal of a command that expected another version of *stream*, with the events in between."""
    refused = VersionMismatch(expected=expected, current=current)
    refused.about(stream, range(expected + 1, current + 1))
    return refused


class Transaction:
    """The streams that a decision read, and the events that it wants to append.

    *cached* states may be stale, and so may the one that the caller has *held*, if any.
    """

    def __init__(self, states: "States", cached: bool = False, held: StreamState[Any] | None = None) -> None:
        self.states = states
        self._load = states.cached if cached else states.load
        self._held = held
        self._read: dict[UUID, int] = {}
        self._now: dict[UUID, StreamState[Any]] = {}
        if cached and held is not None and held.version:
            self._read[held.stream], self._now[held.stream] = held.version, held
        self._events: dict[UUID, list[Event]] = {}
        self.cause: UUID | None = None  # an event, for the envelope

    async def load(self, decider: Decider[State, Command, EventT], stream: UUID) -> StreamState[State]:
        """Return the state of *stream*, including the events that this transaction has decided."""
        if stream not in self._now:
            self._now[stream] = await self._load(decider, stream)
            self._read[stream] = self._now[stream].version
        return self._now[stream]

    async def do(
        self, decider: Decider[State, Command, EventT], stream: UUID, command: Command, expected: int | None = None
    ) -> StreamState[State]:
        """Decide *command* on *stream*; raises the refusal of the decider, or `VersionMismatch`."""
        loaded = await self.load(decider, stream)
        if expected is not None and expected != loaded.version:
            raise mismatch(stream, expected, loaded.version)
        events, state = decider.carry_out(loaded.state, command)
        self._events.setdefault(stream, []).extend(events)
        after = StreamState(stream, loaded.version + len(events), state)
        self._now[stream] = after
        return after

    def events(self, stream: UUID) -> tuple[Event, ...]:
        """Return the events that were decided on *stream* so far."""
        return tuple(self._events.get(stream, ()))

    @property
    def changes(self) -> list[StreamChange]:
        """The changes to append, one for each stream that was read."""
        return [
            StreamChange(stream=stream, expected=version, events=self.events(stream))
            for stream, version in self._read.items()
        ]

    @property
    def last(self) -> Event | None:
        """The last event to append, or None."""
        return next((change.events[-1] for change in reversed(self.changes) if change.events), None)

    @property
    def reads(self) -> list[StreamChange]:
        """Changes without events: appending them checks that no stream that was read has moved on."""
        return [StreamChange(stream=stream, expected=version) for stream, version in self._read.items()]

    @property
    def loaded(self) -> list[StreamState[Any]]:
        """The states to cache, after the decided events: all that were read but the held one."""
        held = None if self._held is None else self._held.stream
        return [each for stream, each in self._now.items() if stream != held]


class States:
    """A cache of stream states, so that only newer events are read.

    The cache is bounded by `STATES_BYTES`; the least recently used states go first.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._states: Versions[UUID, StreamState[Any]] = Versions(STATES_BYTES, _weight)
        self._pending: Cache[UUID, tuple[RecordedEvent, ...]] = Cache(PENDING_BYTES)
        self.results: Cache[UUID, bytes] = Cache(RESULT_BYTES)
        """Encoded results about streams that have ended, and so never change; their reader encodes them."""

    async def load(
        self, decider: Decider[State, Command, EventT], stream: UUID, *, has_asked: bool = False
    ) -> StreamState[State]:
        """Return the current state of *stream*.

        A caller that *has_asked* for the log's position gets the state of that moment, or a later one.
        """
        kept: StreamState[State] = self._states.get(stream) or StreamState(stream, 0, decider.initial)
        loaded = await self.advance(decider, kept, has_asked=has_asked)
        self.keep(loaded)
        return loaded

    async def advance(
        self, decider: Decider[State, Command, EventT], kept: StreamState[State], *, has_asked: bool = False
    ) -> StreamState[State]:
        """Return the current state of a stream from one that the caller has *kept*, as `load` does."""
        if has_asked and self._log.ends_at(kept.stream, kept.version):
            return kept
        return await self._advanced(decider, kept)

    async def cached(self, decider: Decider[State, Command, EventT], stream: UUID) -> StreamState[State]:
        """Return the cached state, which may be stale; read it if there is none."""
        kept: StreamState[State] = self._states.get(stream) or StreamState(stream, 0, decider.initial)
        pending = self._pending.pop(stream)
        if pending and pending[0].version == kept.version + 1:
            events = cast("Sequence[EventT]", [each.event for each in pending])
            kept = StreamState(stream, pending[-1].version, decider.replay(events, kept.state))
        return kept if kept.version else await self.load(decider, stream)

    async def first(self, stream: UUID) -> RecordedEvent | None:
        """Return the first event of *stream*; the next decision need not read the events that were read for it."""
        pending = self._pending.get(stream)
        if pending and pending[0].version == 1:
            return pending[0]
        events = await self._log.read(stream, until=MAX_PENDING)
        if self._pending.get(stream) is None and len(events) < MAX_PENDING:  # otherwise there may be more
            self.learn(events)
        return events[0] if events else None

    def learn(self, events: Sequence[RecordedEvent]) -> None:
        """Keep the first `MAX_PENDING` new events of each stream, so that the next decision need not read them."""
        for each in events:
            pending = self._pending.get(each.stream)
            if pending is None:
                kept = self._states.get(each.stream)
                if each.version == (kept.version if kept else 0) + 1:
                    self._hold((each,))
            elif len(pending) < MAX_PENDING and each.version == pending[-1].version + 1:
                self._hold((*pending, each))
            else:
                self._pending.pop(each.stream)

    def _hold(self, pending: tuple[RecordedEvent, ...]) -> None:
        size = PENDING_ENTRY + sum(weight(each.event) for each in pending)
        self._pending.put(pending[0].stream, pending, size)

    async def load_at(self, decider: Decider[State, Command, EventT], stream: UUID, version: int) -> StreamState[State]:
        """Return the state of *stream* at *version*, or the current one if it has not come that far."""
        kept = self._states.get(stream)
        if kept is not None and kept.version == version:
            return kept
        return await self._advanced(decider, StreamState(stream, 0, decider.initial), version)

    async def _advanced(
        self, decider: Decider[State, Command, EventT], kept: StreamState[State], until: int = sys.maxsize
    ) -> StreamState[State]:
        """Fold the events after *kept*, at most `CHUNK` at a time: a stream can have thousands."""
        while kept.version < until:
            last = min(kept.version + CHUNK, until)
            events = cast("Sequence[EventT]", await self._log.events(kept.stream, kept.version, last))
            if events:
                kept = StreamState(kept.stream, kept.version + len(events), decider.replay(events, kept.state))
            if kept.version < last:
                break
        return kept

    def keep(self, loaded: StreamState[Any]) -> None:
        """Cache a state, unless a newer one is cached."""
        kept = self._states.get(loaded.stream)
        if kept is None or kept.version <= loaded.version:
            self._states.put(loaded.stream, loaded, loaded.version)
            self._pending.pop(loaded.stream)


class Handler:
    """Runs transactions against the log."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.states = States(log)
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def transact(
        self,
        work: Callable[[Transaction], Awaitable[UUID]],
        answer: Decider[State, Any, Any],
        by: Author,
        key: str | None = None,
        request: str = "",
        dry_run: bool = False,
        cached: bool = False,
        held: StreamState[Any] | None = None,
    ) -> Outcome[State]:
        """Run *work*, which decides in its transaction and returns the subject's stream; append the decided events.

        An idempotency *key* that is known for the same *request* gives the first outcome again; each key needs a
        correlation of its own in *by*. *dry_run* writes nothing. With *cached* the first attempt uses cached states and
        the one that the caller has *held*. That is not cached, because the caller holds the next one, too.
        Raises the refusal of *work*, `IdempotencyKeyReused`, or `StreamMoved` after `ATTEMPTS` conflicts.
        """
        turn: asyncio.Lock | nullcontext[None] = nullcontext()
        for left in reversed(range(ATTEMPTS)):
            async with turn:
                try:
                    transaction = Transaction(self.states, cached and left == ATTEMPTS - 1, held)
                    return await self._attempt(transaction, work, answer, by, key, request, dry_run)
                except StreamMoved as moved:
                    if not left:
                        raise
                    # writers that lost a race for this stream retry in turn
                    turn = self._turns.setdefault(moved.stream, asyncio.Lock())
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        transaction: Transaction,
        work: Callable[[Transaction], Awaitable[UUID]],
        answer: Decider[State, Any, Any],
        by: Author,
        key: str | None,
        request: str,
        dry_run: bool,
    ) -> Outcome[State]:
        if key and (first := await self.log.find(key, request)):
            return await self._again(answer, first, by)
        try:
            subject = await work(transaction)
        except Refused:
            if key and (first := await self.log.find(key, request)):  # a concurrent duplicate was executed meanwhile
                return await self._again(answer, first, by)
            await self.log.append(transaction.reads, by)
            raise
        loaded = await transaction.load(answer, subject)
        if transaction.cause is not None:
            by = replace(by, causation=transaction.cause)
        if dry_run:
            receipt = await self.log.append(transaction.reads, by)
            return Outcome(subject=loaded, receipt=receipt, events=transaction.events(subject), last=transaction.last)
        receipt = await self._append(
            transaction.changes, by, IdempotencyKey(key=key, request=request, subject=subject) if key else None
        )
        if receipt.is_repeat:
            return await self._again(answer, receipt, by)
        for each in transaction.loaded:
            self.states.keep(each)
        return Outcome(subject=loaded, receipt=receipt, events=transaction.events(subject), last=transaction.last)

    async def _append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None) -> Receipt:
        """Append *changes*, and show new events in the trace."""
        with child("append"):
            receipt = await self.log.append(changes, by, key)
            if receipt.recorded and is_traced():
                annotate(events=[each.name for each in receipt.recorded], position=receipt.position)
            return receipt

    async def handle(
        self, decider: Decider[State, Command, EventT], stream: UUID, command: Command, by: Author
    ) -> Outcome[State]:
        """Decide one command on one stream and append its events."""

        async def work(transaction: Transaction) -> UUID:
            await transaction.do(decider, stream, command)
            return stream

        return await self.transact(work, decider, by)

    async def _again(self, answer: Decider[State, Any, Any], first: Receipt, by: Author) -> Outcome[State]:
        """Return the outcome of the *first* request with a key.

        The requests with a key have a correlation of their own, which tells the first one's last event from an event
        that was there before it.
        """
        assert first.subject is not None
        last = await self.log.read_all(after=first.position - 1, limit=1) if first.position else ()
        own = next((each.event for each in last if each.by.correlation == by.correlation), None)
        subject = await self.states.load_at(answer, first.subject, first.version)
        return Outcome(subject=subject, receipt=first, last=own)
