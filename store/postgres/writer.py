"""
Appending on PostgreSQL: what waits is sent as one transaction, and one such is on its way at a time.

A node works everything out beforehand, with the streams' heads as it believes them to be. The database's own `append`
gives the positions, and refuses what was built on a head that isn't one any more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import asyncpg

from store.batch import AppendBatch, Clock, KeyRecord, PendingAppend, StreamHead, Tip
from store.log import Author, Change, Key, LogRewound, LogUnavailable, OutcomeUnknown, Receipt, Recorded, StreamMoved
from store.postgres.connection import DedicatedConnection, InDoubt
from store.postgres.rows import (
    ANSWERS,
    APPEND,
    HEADS,
    WRITTEN,
    AppendOutcome,
    AppendRequest,
    PreparedAppend,
    key_record_from_row,
)

KNOWN_HEADS = 10_000

MAX_BATCH = 256
"""Appends at most in a batch."""

DOUBT_TIMEOUT = 5.0
"""Seconds that are spent on finding out what became of a batch whose connection broke."""

RETRY_INTERVAL = 0.2
"""Seconds between two attempts at that."""

DATA_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says of one append's own contents."""


class Writer:
    """Carries appends out; *publish* is given the events of every batch, before anybody gets a receipt."""

    def __init__(self, line: DedicatedConnection, clock: Clock, publish: Callable[[Sequence[Recorded]], None]) -> None:
        self._line = line
        self._clock = clock
        self._publish = publish
        self._tip = Tip()  # as it is believed to be: positions are the others' too
        self._heads: dict[UUID, StreamHead] = {}  # as they are believed to be
        self._waiting: list[PendingAppend] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, changes: Sequence[Change], by: Author, key: Key | None) -> Receipt:
        waiting = PendingAppend(changes, by, key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())  # a task of its own: who waits may be cancelled
        return await waiting.receipt

    async def close(self) -> None:
        """Carries out what was to be appended."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def learn(self, events: Sequence[Recorded]) -> None:
        """Takes the heads of streams, and the log's time, from its newest events."""
        for stream, last in {each.stream: each for each in events}.items():
            known = self._heads.get(stream)
            if known is None or last.version > known.version:
                self._believe(stream, StreamHead(last.version, last.hash))
        if events:
            position, at = events[-1].position, events[-1].recorded_at
            self._tip = Tip(max(self._tip.position, position), max(self._tip.recorded_at, at))

    def _believe(self, stream: UUID, head: StreamHead) -> None:
        self._heads.pop(stream, None)  # so that the dict is in the order of the last writing
        self._heads[stream] = head
        if len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]

    async def _write(self) -> None:
        """Carries out what waits, then what has come to wait meanwhile, until nothing does."""
        try:
            while self._waiting:
                taken = self._take()
                for one, outcome in zip(taken, await self._outcomes(taken), strict=True):
                    one.settle(outcome)
        finally:
            self._writing = None

    def _take(self) -> list[PendingAppend]:
        """Those that need no stream and no key which one before them writes; the others wait for the next batch."""
        taken: list[PendingAppend] = []
        left: list[PendingAppend] = []
        written: set[UUID | str] = set()
        for one in self._waiting:
            is_free = len(taken) < MAX_BATCH and written.isdisjoint(_needs(one))
            (taken if is_free else left).append(one)
            written |= _writes(one)
        self._waiting = left
        return taken

    async def _outcomes(self, taken: Sequence[PendingAppend]) -> Sequence[Receipt | Exception]:
        try:
            return await self._carry_out(taken)
        except DATA_ERRORS as refusal:
            if len(taken) == 1:
                return [refusal]
            return [outcome for one in taken for outcome in await self._outcomes([one])]
        except Exception as failure:
            return [failure] * len(taken)

    async def _carry_out(self, taken: Sequence[PendingAppend]) -> Sequence[Receipt | Exception]:
        heads, answers = await self._look_up(taken)
        batch = AppendBatch(self._tip, self._clock, lambda stream: heads.get(stream, StreamHead()), answers.get)
        outcomes: list[Receipt | Exception] = []
        sent: dict[int, PreparedAppend] = {}
        for number, one in enumerate(taken):
            begin = len(batch.stored)
            outcome = one.attempt(batch)
            outcomes.append(outcome)
            if isinstance(outcome, Receipt) and not outcome.is_repeat:
                sent[number] = PreparedAppend(one.changes, one.key, batch.stored[begin:])
        if sent:
            letter = AppendRequest(list(sent.values()), heads, batch.tip.recorded_at)
            for number, became in zip(sent, await self._send(letter), strict=True):
                outcomes[number] = self._told(taken[number], became)
        events = [each for outcome in outcomes if isinstance(outcome, Receipt) for each in outcome.recorded]
        self.learn(events)
        self._publish(events)
        return outcomes

    async def _look_up(self, taken: Sequence[PendingAppend]) -> tuple[dict[UUID, StreamHead], Mapping[str, KeyRecord]]:
        """The heads of the streams, read anew where they are not believed to be where they are expected; and the
        answers to the keys of those who expect it."""
        heads: dict[UUID, StreamHead] = {}  # the batch's own: those that are kept may be forgotten meanwhile
        streams: set[UUID] = set()
        keys: set[str] = set()
        for one in taken:
            heads |= {each.stream: self._heads[each.stream] for each in one.changes if each.stream in self._heads}
            doubtful = [change.stream for change in one.changes if self._is_doubtful(change)]
            streams.update(doubtful)
            if doubtful and one.key is not None:
                keys.add(one.key.key)
        if streams:
            for stream in streams:
                self._heads.pop(stream, None)
                heads.pop(stream, None)
            for stream, version, hash_, recorded_at in await self._line.fetch(HEADS, list(streams)):
                heads[stream] = StreamHead(version, hash_)
                self._believe(stream, heads[stream])
                self._tip = Tip(self._tip.position, max(self._tip.recorded_at, recorded_at))
        answers = (
            {row["key"]: key_record_from_row(*row) for row in await self._line.fetch(ANSWERS, list(keys))}
            if keys
            else {}
        )
        return heads, answers

    def _is_doubtful(self, change: Change) -> bool:
        head = self._heads.get(change.stream)
        return (head.version if head else 0) != change.expected

    def _told(self, one: PendingAppend, became: AppendOutcome) -> Receipt | Exception:
        match became:
            case StreamMoved():
                self._heads.pop(became.stream, None)
                return became
            case KeyRecord():
                assert one.key is not None
                try:
                    return became.again(one.key.request)
                except Exception as refusal:
                    return refusal
            case _:
                return became

    async def _send(self, letter: AppendRequest) -> Sequence[AppendOutcome]:
        """Sends *letter*, and sends it again when it isn't known whether it arrived: what was written is not written
        twice, since the streams have moved on."""
        deadline = asyncio.get_running_loop().time() + DOUBT_TIMEOUT
        is_in_doubt = False
        while True:
            try:
                reply = await self._line.fetch(APPEND, *letter.parameters)
                found = await self._line.fetch(WRITTEN, *letter.events) if is_in_doubt else ()
                return letter.outcomes(reply, found)
            except LogRewound:  # what was sent isn't there, if it ever was
                raise
            except LogUnavailable as away:
                is_in_doubt = is_in_doubt or isinstance(away, InDoubt)
                if not is_in_doubt:
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise OutcomeUnknown(f"{away} Whether it was recorded isn't known: ask again.") from away
            await asyncio.sleep(RETRY_INTERVAL)


def _needs(one: PendingAppend) -> set[UUID | str]:
    """The streams and the key whose present state it depends upon."""
    names: set[UUID | str] = {change.stream for change in one.changes}
    return names if one.key is None else names | {one.key.key, one.key.subject}


def _writes(one: PendingAppend) -> set[UUID | str]:
    names: set[UUID | str] = {change.stream for change in one.changes if change.events}
    return names if one.key is None else names | {one.key.key}
