"""
Appending on PostgreSQL: what waits is sent as one transaction, and one such is on its way at a time. Meanwhile the next
one is worked out, of appends that need nothing of what is on its way.

A node works everything out beforehand, with the streams' heads as it believes them to be. The database's own `append`
gives the positions, and refuses what was built on a head that isn't one any more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from store.batch import Answer, Batch, Clock, Head, Tip, Waiting
from store.log import Author, Change, Key, LogUnavailable, OutcomeUnknown, Receipt, Recorded, StreamMoved
from store.postgres_connection import InDoubt, Line
from store.postgres_recorder import ANSWERS, APPEND, FOUND, HEADS, Became, Letter, Sent, answer

if TYPE_CHECKING:
    from store.postgres_connection import Record

KNOWN_HEADS = 10_000
NEW = Head()

MOST = 256
"""Appends at most in a batch."""

ENOUGH = 12
"""So many appends are worth a transaction of their own: working them out takes as long as one more takes."""

DOUBT = 5.0
"""Seconds that are spent on finding out what became of a batch whose connection broke."""

AGAIN = 0.2
"""Seconds between two attempts at that."""

UNWRITABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says of one append's own contents."""


class Writer:
    """Carries appends out; *publish* is given the events of every batch, before anybody gets a receipt."""

    def __init__(self, line: Line, clock: Clock, publish: Callable[[Sequence[Recorded]], None]) -> None:
        self.pid: int | None = None  # of the database's process that carries out what we send
        self._line = line
        self._clock = clock
        self._publish = publish
        self._tip = Tip()  # as it is believed to be: positions are the others' too
        self._heads: dict[UUID, Head] = {}  # as they are believed to be
        self._waiting: list[Waiting] = []
        self._ahead = 0  # events that are on their way
        self._busy: set[UUID | str] = set()  # the streams and the keys that are being written
        self._writing: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()  # the line is for one at a time
        self._telling = asyncio.Lock()  # and what was sent first is told of first

    async def append(self, changes: Sequence[Change], by: Author, key: Key | None) -> Receipt:
        waiting = Waiting(changes, by, key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._begin()
        return await waiting.receipt

    async def close(self) -> None:
        """Carries out what was to be appended."""
        while self._writing:
            await asyncio.wait(self._writing)
        self._line.close()

    def learn(self, events: Sequence[Recorded]) -> None:
        """Takes the heads of streams, and the log's time, from its newest events."""
        for each in events:
            known = self._heads.get(each.stream)
            if known is None or each.version > known.version:
                self._believe(each.stream, Head(each.version, each.hash))
        if events:
            position, at = events[-1].position, events[-1].recorded_at
            self._tip = Tip(max(self._tip.position, position), max(self._tip.recorded_at, at))

    def _believe(self, stream: UUID, head: Head) -> None:
        self._heads.pop(stream, None)  # so that the dict is in the order of the last writing
        self._heads[stream] = head
        if len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]

    def _begin(self) -> None:
        """Sees to it that what waits is carried out, by tasks of their own: who waits may be cancelled."""
        if not self._writing or (len(self._writing) == 1 and len(self._waiting) >= ENOUGH):
            self._writing.add(asyncio.create_task(self._write()))

    async def _write(self) -> None:
        """Carries out what waits, then what has come to wait meanwhile, until nothing does or another sees to it."""
        me = asyncio.current_task()
        assert me is not None
        try:
            while taken := self._take():
                self._begin()
                names = {name for one in taken for name in _writes(one)}
                self._busy |= names
                for one, outcome in zip(taken, await self._outcomes(taken), strict=True):
                    one.settle(outcome)
                self._busy -= names
                await asyncio.sleep(0)  # so that those who were answered come back together
        finally:
            self._writing.remove(me)

    def _take(self) -> list[Waiting]:
        """Those that need no stream and no key which is being written, or which one before them writes; the others
        wait for the next batch. Of many, half is left: to be worked out while these are on their way."""
        count = len(self._waiting)
        if len(self._writing) > 1 and count < ENOUGH:
            return []
        most = min(MOST, count // 2 if len(self._writing) == 1 and count >= 2 * ENOUGH else count)
        taken: list[Waiting] = []
        left: list[Waiting] = []
        written = set(self._busy)
        for one in self._waiting:
            is_free = len(taken) < most and written.isdisjoint(_needs(one))
            (taken if is_free else left).append(one)
            written |= _writes(one)
        self._waiting = left
        return taken

    async def _outcomes(self, taken: Sequence[Waiting]) -> Sequence[Receipt | Exception]:
        try:
            return await self._carry_out(taken)
        except UNWRITABLE as refusal:
            if len(taken) == 1:
                return [refusal]
            return [outcome for one in taken for outcome in await self._outcomes([one])]
        except Exception as failure:
            return [failure] * len(taken)

    async def _carry_out(self, taken: Sequence[Waiting]) -> Sequence[Receipt | Exception]:
        heads, answers = await self._look_up(taken)
        tip = Tip(self._tip.position + self._ahead, self._tip.recorded_at)
        batch = Batch(tip, self._clock, lambda stream: heads.get(stream, NEW), answers.get)
        outcomes: list[Receipt | Exception] = []
        sent: dict[int, Sent] = {}
        for number, one in enumerate(taken):
            begin = len(batch.stored)
            outcome = one.attempt(batch)
            outcomes.append(outcome)
            if isinstance(outcome, Receipt) and not outcome.is_repeat:
                sent[number] = Sent(one.changes, one.key, batch.stored[begin:])
        if not sent:
            return outcomes
        self._tip = Tip(self._tip.position, batch.tip.recorded_at)  # the next batch's time isn't before this one's
        self._ahead += len(batch.stored)
        try:
            became = await self._send(Letter(list(sent.values()), heads))
        finally:
            self._ahead -= len(batch.stored)
        async with self._telling:
            if len(self._writing) > 1:
                await asyncio.sleep(0)  # the next letter goes out before this one's answers do
            for number, each in zip(sent, became, strict=True):
                outcomes[number] = self._told(taken[number], each)
            events = [each for outcome in outcomes if isinstance(outcome, Receipt) for each in outcome.recorded]
            self.learn(events)
            self._publish(events)
        return outcomes

    async def _look_up(self, taken: Sequence[Waiting]) -> tuple[dict[UUID, Head], Mapping[str, Answer]]:
        """The heads of the streams, read where they are not believed to be as expected; and the answers to the keys of
        those who expect it. What another batch finds out meanwhile changes nothing for this one."""
        heads: dict[UUID, Head] = {}
        doubtful: set[UUID] = set()
        keys: set[str] = set()
        for one in taken:
            for change in one.changes:
                head = heads[change.stream] = self._heads.get(change.stream) or NEW
                if head.version != change.expected:
                    doubtful.add(change.stream)
                    if one.key is not None:
                        keys.add(one.key.key)
        if not doubtful:
            return heads, {}
        async with self._sending:
            read = await self._line.fetch(HEADS, list(doubtful))
            answers = await self._line.fetch(ANSWERS, list(keys)) if keys else ()
        for stream in doubtful:
            heads[stream] = NEW
            self._heads.pop(stream, None)
        for stream, version, hash_, recorded_at in read:
            heads[stream] = Head(version, hash_)
            self._believe(stream, heads[stream])
            self._tip = Tip(self._tip.position, max(self._tip.recorded_at, recorded_at))
        return heads, {row["key"]: answer(*row) for row in answers}

    def _told(self, one: Waiting, became: Became) -> Receipt | Exception:
        match became:
            case StreamMoved():
                self._heads.pop(became.stream, None)
                return became
            case Answer():
                assert one.key is not None
                try:
                    return became.again(one.key.request)
                except Exception as refusal:
                    return refusal
            case _:
                return became

    async def _send(self, letter: Letter) -> Sequence[Became]:
        """Sends *letter* when its turn comes."""
        async with self._sending:
            return await self._send_at_last(letter)

    async def _send_at_last(self, letter: Letter) -> Sequence[Became]:
        """Sends *letter*, and sends it again when it isn't known whether it arrived: what was written is not written
        twice, since the streams have moved on."""
        deadline = asyncio.get_running_loop().time() + DOUBT
        is_in_doubt = False
        while True:
            try:
                async with self._line.connection() as connection:
                    self.pid = connection.get_server_pid()
                    reply: Sequence[Record] = await connection.fetch(APPEND, *letter.parameters)
                    found = await connection.fetch(FOUND, *letter.events) if is_in_doubt else ()
                return letter.outcomes(reply, found)
            except LogUnavailable as away:
                is_in_doubt = is_in_doubt or isinstance(away, InDoubt)
                if not is_in_doubt:
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise OutcomeUnknown(f"{away} Whether it was recorded isn't known: ask again.") from away
            await asyncio.sleep(AGAIN)


def _needs(one: Waiting) -> set[UUID | str]:
    """The streams and the key whose present state it depends upon."""
    names: set[UUID | str] = {change.stream for change in one.changes}
    return names if one.key is None else names | {one.key.key, one.key.subject}


def _writes(one: Waiting) -> set[UUID | str]:
    names: set[UUID | str] = {change.stream for change in one.changes if change.events}
    return names if one.key is None else names | {one.key.key}
