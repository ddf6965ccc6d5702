"""
Answers kept as bytes, for as long as they are right.

An answer is made of streams of the log, and stays what it is until one of them gets another event. This node is told
of every event (`EventFeed.watch`), and drops what was made of its stream. So a kept answer is as of the position that
we were told up to: it is given to whoever asked when the log had nothing beyond that.

Only what says of which streams it is made is kept (see `RequestContext.reads`).
"""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from cache.lru import Cache
from endpoint.port import EventFeed, StreamEvent, Unavailable

WHOLE = UUID(int=0)
"""Stands for all streams of the log."""

LIMIT = 64 * 1024 * 1024
"""Bytes of kept answers on one node, by default."""

OVERHEAD = 1000
"""Bytes that an answer takes beside its own and its request's."""

STREAM = 400
"""Bytes that an answer takes for each stream that it was made of."""


class Answer:
    """The body of an answer; *packed* is the same compressed, once somebody wants it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.packed: bytes | None = None

    @cached_property
    def tag(self) -> str:
        """Tells it from any other."""
        return urlsafe_b64encode(hashlib.sha256(self.body).digest()[:18]).decode()


class CachedAnswer(Struct):
    """An answer, and the streams that it was made of."""

    answer: Answer
    reads: frozenset[UUID]


class Computation:
    """An answer that is being made; *touched* are the streams that got events meanwhile."""

    def __init__(self) -> None:
        self.touched: set[UUID] = set()


class AnswerCache:
    """The answers of one node, *limit* bytes of them; those that are asked for least recently go first.

    *known_at* is when the log was last seen to have nothing that we weren't told of.
    """

    def __init__(self, feed: EventFeed, limit: int = LIMIT) -> None:
        self._feed = feed
        self._kept: Cache[Hashable, CachedAnswer] = Cache(limit, self._dropped)
        self._made_of: dict[UUID, set[Hashable]] = {}
        self._makings: set[Computation] = set()
        self.known_at = datetime.now(UTC)
        self.position = feed.watch(self._news)

    async def ask(self, patience: float | None = None) -> int:
        """A position up to which the log is known just now; raises `Unavailable`, at the latest in *patience* s."""
        asked_at = datetime.now(UTC)
        if self._feed.is_shared:
            position = await self._asked(patience)
        else:
            position = await self._feed.position()  # at once: to set a time for it would cost more than all the rest
        if position <= self.position:
            self.known_at = asked_at
        return max(position, self.position)

    async def _asked(self, patience: float | None) -> int:
        try:
            async with asyncio.timeout(patience):
                return await self._feed.position()
        except TimeoutError:
            raise Unavailable(f"The log has not said in {patience:g} s how far it is.") from None

    def find(self, key: Hashable, position: int = 0) -> Answer | None:
        """The answer that is kept under *key*, if it is right at *position*."""
        kept = self._kept.get(key)
        if kept is None or position > self.position:
            return None
        return kept.answer

    @contextmanager
    def making(self) -> Iterator[Computation]:
        """While an answer is made of what there is at the position that `ask` has just given, and later."""
        making = Computation()
        self._makings.add(making)
        try:
            yield making
        finally:
            self._makings.discard(making)

    def keep(
        self, key: Hashable, answer: Answer, reads: frozenset[UUID], making: Computation, request: int = 0
    ) -> None:
        """Keep *answer* to a request of so many bytes, unless one of the streams that it was made of has moved on."""
        if not making.touched.isdisjoint(reads):
            return
        kept = CachedAnswer(answer, reads)
        size = len(answer.body) * 2 + request + OVERHEAD + len(reads) * STREAM  # with room for the same compressed
        self._kept.put(key, kept, size)
        if self._kept.get(key) is kept:  # it isn't too large
            for stream in reads:
                self._made_of.setdefault(stream, set()).add(key)

    def _news(self, events: Sequence[StreamEvent]) -> None:
        streams = {event.stream for event in events} | {WHOLE}
        self.position = events[-1].position
        for making in self._makings:
            making.touched |= streams
        for stream in streams:
            for key in list(self._made_of.get(stream, ())):
                self._kept.pop(key)

    def _dropped(self, key: Hashable, kept: CachedAnswer) -> None:
        for stream in kept.reads:
            of_stream = self._made_of[stream]
            of_stream.discard(key)
            if not of_stream:
                del self._made_of[stream]
