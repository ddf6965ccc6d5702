"""
The write path: read, decide, append.

A transaction reads streams, decides on them, and appends everything at once, on condition that every stream it
read is still where it was; if one has moved on, it is run again from the start. What it refuses counts on the same
condition. So transactions come to what they would have come to one after another.

That condition is all that is needed of a state. So who writes to streams that hardly anybody else writes to may take
them as they were last seen, and read only when that was wrong. Others read first: who doesn't is so quick that those
who have to would never have their turn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID
from weakref import WeakValueDictionary

from msgspec import Struct

from domain.decider import Decider
from domain.errors import Refused, VersionMismatch
from store import codec, ids
from store.cache import Cache, Versions, weight
from store.log import Author, Change, Event, EventLog, Key, Receipt, Recorded, StreamMoved

State = TypeVar("State")
Command = TypeVar("Command")
EventT = TypeVar("EventT", bound=Event)

ATTEMPTS = 50
"""Of three nodes that all want the same stream each loses it two times out of three: after 20 now and then for good."""

STATES_BYTES = 64 * 1024 * 1024
"""Maximum size of the states that are kept, in bytes."""

TOLD_BYTES = 16 * 1024 * 1024
"""Maximum size of the events that are kept until the states of their streams are asked for, in bytes."""

TOLD = 1000
"""Size of a stream's entry beside its events, in bytes."""

FEW = 8
"""Events at most that are kept for a state that may be asked for: who writes more to a stream has it already."""


class Loaded(Struct, Generic[State], frozen=True):
    """A stream's state at *version*."""

    stream: UUID
    version: int
    state: State


class Handled(Struct, Generic[State], frozen=True, kw_only=True):
    """The answer to a command: the subject's state at the version it was left at, and the log's position then.

    *events* are what was decided on the subject's own stream (none when the idempotency key was known).
    """

    subject: Loaded[State]
    receipt: Receipt
    events: tuple[Event, ...] = ()

    @property
    def state(self) -> State:
        return self.subject.state

    def imagined(self, by: Author) -> list[Recorded]:
        """The events of a dry run, as they would be recorded now."""
        before = self.subject.version - len(self.events)
        return [
            Recorded(
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


class Transaction:
    """What a decision read, and what it wants recorded. It takes states as they were last seen, or reads *anew*."""

    def __init__(self, states: "States", anew: bool = True) -> None:
        self._load = states.load if anew else states.last_seen
        self._read: dict[UUID, int] = {}
        self._now: dict[UUID, Loaded[Any]] = {}
        self._events: dict[UUID, list[Event]] = {}

    async def load(self, decider: Decider[State, Command, EventT], stream: UUID) -> Loaded[State]:
        """The stream's state, with what this transaction has decided so far."""
        if stream not in self._now:
            self._now[stream] = await self._load(decider, stream)
            self._read[stream] = self._now[stream].version
        return self._now[stream]

    async def do(
        self, decider: Decider[State, Command, EventT], stream: UUID, command: Command, expected: int | None = None
    ) -> Loaded[State]:
        """Decides *command* on *stream*; raises what the decider refuses, or `VersionMismatch`."""
        loaded = await self.load(decider, stream)
        if expected is not None and expected != loaded.version:
            raise VersionMismatch(expected=expected, current=loaded.version)
        events, state = decider.carry_out(loaded.state, command)
        self._events.setdefault(stream, []).extend(events)
        after = Loaded(stream, loaded.version + len(events), state)
        self._now[stream] = after
        return after

    def events(self, stream: UUID) -> tuple[Event, ...]:
        """What was decided on *stream* so far."""
        return tuple(self._events.get(stream, ()))

    @property
    def changes(self) -> list[Change]:
        return [
            Change(stream=stream, expected=version, events=self.events(stream))
            for stream, version in self._read.items()
        ]

    @property
    def reads(self) -> list[Change]:
        """Changes that write nothing, and only make sure that what was read still stands."""
        return [Change(stream=stream, expected=version) for stream, version in self._read.items()]

    @property
    def loaded(self) -> list[Loaded[Any]]:
        """Every stream that was read, with what was decided on it."""
        return list(self._now.values())


class States:
    """States of streams by version: the newest ones are kept, so that only what came since is read again."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._kept: Versions[UUID, Loaded[Any]] = Versions(STATES_BYTES)
        self._told: Cache[UUID, tuple[Recorded, ...]] = Cache(TOLD_BYTES)

    async def load(
        self, decider: Decider[State, Command, EventT], stream: UUID, *, has_asked: bool = False
    ) -> Loaded[State]:
        """The stream's state now; for who *has_asked* for the log's position, as it was then, or later."""
        kept: Loaded[State] = self._kept.get(stream) or Loaded(stream, 0, decider.initial)
        if has_asked and self._log.ends_at(stream, kept.version):
            self.keep(kept)  # as what was used last
            return kept
        events = await self._log.events(stream, after=kept.version)
        if events:
            kept = Loaded(
                stream, kept.version + len(events), decider.replay(cast("Sequence[EventT]", events), kept.state)
            )
        self.keep(kept)
        return kept

    async def last_seen(self, decider: Decider[State, Command, EventT], stream: UUID) -> Loaded[State]:
        """The state as it was when it was seen here last, or told of: it may have moved on."""
        kept: Loaded[State] = self._kept.get(stream) or Loaded(stream, 0, decider.initial)
        told = self._told.pop(stream)
        if told and told[0].version == kept.version + 1:
            events = cast("Sequence[EventT]", [each.event for each in told])
            kept = Loaded(stream, told[-1].version, decider.replay(events, kept.state))
            self.keep(kept)
        return kept if kept.version else await self.load(decider, stream)

    def learn(self, events: Sequence[Recorded]) -> None:
        """Keeps what the log tells of, unless it is much: who wants to see its state next need not read it then."""
        for each in events:
            told = self._told.get(each.stream)
            if told is None:
                kept = self._kept.get(each.stream)
                if each.version == (kept.version if kept else 0) + 1:
                    self._tell((each,))
            elif len(told) < FEW and each.version == told[-1].version + 1:
                self._tell((*told, each))
            else:
                self._told.pop(each.stream)

    def _tell(self, told: tuple[Recorded, ...]) -> None:
        self._told.put(told[0].stream, told, TOLD + sum(weight(each.event) for each in told))

    async def load_at(self, decider: Decider[State, Command, EventT], stream: UUID, version: int) -> Loaded[State]:
        """The state that the stream had at *version*, or has now if that is still to come."""
        kept = self._kept.get(stream)
        if kept is not None and kept.version == version:
            return kept
        events = await self._log.events(stream, until=version)
        return Loaded(stream, len(events), decider.replay(cast("Sequence[EventT]", events)))

    def keep(self, loaded: Loaded[Any]) -> None:
        kept = self._kept.get(loaded.stream)
        if kept is None or kept.version <= loaded.version:
            self._kept.put(loaded.stream, loaded, loaded.version)
            self._told.pop(loaded.stream)


class Handler:
    """Carries commands to the log."""

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
        anew: bool = True,
    ) -> Handled[State]:
        """Runs *work*, which decides in its transaction and says which stream answers; appends what it decided.

        With a *key* known for the same *request* the first answer is given again. *dry_run* writes nothing. If not
        *anew*, the first try is on states as they were last seen here.
        Raises what *work* refuses, `IdempotencyKeyReused`, and `StreamMoved` when others kept coming first.
        """
        turn: asyncio.Lock | nullcontext[None] = nullcontext()
        for left in reversed(range(ATTEMPTS)):
            async with turn:
                try:
                    return await self._attempt(work, answer, by, key, request, dry_run, anew or left < ATTEMPTS - 1)
                except StreamMoved as moved:
                    if not left:
                        raise
                    # who lost a stream to another tries again when those who lost it before have had their turn
                    turn = self._turns.setdefault(moved.stream, asyncio.Lock())
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        work: Callable[[Transaction], Awaitable[UUID]],
        answer: Decider[State, Any, Any],
        by: Author,
        key: str | None,
        request: str,
        dry_run: bool,
        anew: bool,
    ) -> Handled[State]:
        if key and (first := await self.log.find(key, request)):
            return await self._again(answer, first)
        transaction = Transaction(self.states, anew)
        try:
            subject = await work(transaction)
        except Refused:
            if key and (first := await self.log.find(key, request)):  # the same request, carried out meanwhile
                return await self._again(answer, first)
            await self.log.append(transaction.reads, by)
            raise
        loaded = await transaction.load(answer, subject)
        if dry_run:
            receipt = await self.log.append(transaction.reads, by)
            return Handled(subject=loaded, receipt=receipt, events=transaction.events(subject))
        receipt = await self.log.append(
            transaction.changes, by, Key(key=key, request=request, subject=subject) if key else None
        )
        if receipt.is_repeat:
            return await self._again(answer, receipt)
        for each in transaction.loaded:
            self.states.keep(each)
        return Handled(subject=loaded, receipt=receipt, events=transaction.events(subject))

    async def handle(
        self, decider: Decider[State, Command, EventT], stream: UUID, command: Command, by: Author
    ) -> Handled[State]:
        """One command on one stream."""

        async def work(transaction: Transaction) -> UUID:
            await transaction.do(decider, stream, command)
            return stream

        return await self.transact(work, decider, by)

    async def _again(self, answer: Decider[State, Any, Any], first: Receipt) -> Handled[State]:
        assert first.subject is not None
        return Handled(subject=await self.states.load_at(answer, first.subject, first.version), receipt=first)
