"""
The newest events, kept in memory for those who follow the log.

Followers that are near the end share one tail of recent events; one that is further behind reads the store until it
has come near. Nothing is kept for any follower but its own position: a slow one grows nothing.

As long as nobody follows, those who watch may want events of a few kinds only. Then the others need not be read.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from uuid import UUID
from weakref import WeakValueDictionary

from store.cache import weight
from store.ends import Ends
from store.log import Event, LogUnavailable, Recorded

KEPT = 5_000
"""Events at most in the tail; when it is full, the older half goes."""

KEPT_BYTES = 64 * 1024 * 1024
"""Maximum size of the events in the tail, in bytes; then the older ones go, too."""

BATCH = 1000
"""Events at most in a batch that a follower gets."""

POLL = 1.0
"""Seconds after which the store is looked at although nothing was published."""

Fetch = Callable[[int, int, UUID | None], Awaitable[Sequence[Recorded]]]
Told = Callable[[Sequence[Recorded]], None]
Kinds = Collection[type[Event]]


class News:
    """Wakes those who wait for news of a subject. When nobody waits for it, nothing is kept of it."""

    def __init__(self) -> None:
        self._waited_for: WeakValueDictionary[Hashable, asyncio.Event] = WeakValueDictionary()

    def of(self, subject: Hashable) -> asyncio.Event:
        """Is set at the subject's next news. Ask for it before looking, then wait: so no news is lost between."""
        event = self._waited_for.get(subject)
        if event is None:
            event = self._waited_for[subject] = asyncio.Event()
        return event

    def spread(self, subjects: Iterable[Hashable]) -> None:
        for subject in subjects if self._waited_for else ():
            event = self._waited_for.pop(subject, None)
            if event is not None:
                event.set()

    def spread_all(self) -> None:
        self.spread(list(self._waited_for))


class Feed:
    """Hands a log's events to its followers.

    *fetch* reads the store: at most so many events after a position, of a stream or of all, in order. *position* is
    the log's when the feed begins.
    """

    def __init__(self, fetch: Fetch, position: int, poll: float = POLL) -> None:
        self._fetch = fetch
        self._tail: list[Recorded] = []
        self._weights: list[int] = []  # of the events in the tail
        self._weight = 0
        self._first = position + 1  # the position of the tail's first event, there already or still to come
        self._poll = poll
        self._news = News()
        self.ends = Ends()
        self._watching: list[tuple[Told, frozenset[type[Event]] | None]] = []
        self._followers = 0
        self._poller: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def position(self) -> int:
        """The position up to which events were published."""
        return self._first + len(self._tail) - 1

    def publish(self, recorded: Sequence[Recorded]) -> None:
        """Adds the events that come next. Those that are known are passed over; if some are missing, so is all.

        What is passed over for a gap is found by the poll.
        """
        end = self.position
        new = [event for event in recorded if event.position > end]
        if not new or new[0].position != end + 1 or new[-1].position != end + len(new):
            return
        self._tail += new
        weights = [weight(event.event) for event in new]
        self._weights += weights
        self._weight += sum(weights)
        if len(self._tail) > KEPT or self._weight > KEPT_BYTES:
            self._cut()
        self.ends.told(new)
        self._tell(new)
        self._news.spread(chain([None], (event.stream for event in new)))

    def _cut(self) -> None:
        """Drop the older half of the tail, by number or by bytes."""
        cut = 0
        while len(self._tail) - cut > KEPT // 2 or self._weight > KEPT_BYTES // 2:
            self._weight -= self._weights[cut]
            cut += 1
        del self._tail[:cut], self._weights[:cut]
        self._first += cut

    @property
    def wanted(self) -> frozenset[type[Event]] | None:
        """The kinds of events that anybody wants just now; None if that is all."""
        wanted: set[type[Event]] = set()
        for _, kinds in self._watching:
            if kinds is None:
                return None
            wanted |= kinds
        return None if self._followers else frozenset(wanted)

    def pass_on(self, some: Sequence[Recorded], until: int) -> None:
        """Goes on to position *until*; up to there *some* are all that is wanted, and nobody follows."""
        end = self.position
        if until > end:
            self._tail, self._first = [], until + 1  # who follows later reads what is missing
            self.ends.forget()  # of the streams of the others nothing is known
            self._tell([event for event in some if event.position > end])

    def _tell(self, new: Sequence[Recorded]) -> None:
        for told, kinds in self._watching:
            wanted = new if kinds is None else [event for event in new if type(event.event) in kinds]
            if wanted:
                told(wanted)

    def watch(self, told: Told, kinds: Kinds | None = None) -> int:
        """See `EventLog.watch`."""
        self._watching.append((told, None if kinds is None else frozenset(kinds)))
        return self.position

    def recent(self, after: int) -> AsyncGenerator[Sequence[Recorded], None]:
        """See `EventLog.recent`."""
        return self.follow(after, reads=False)

    async def follow(
        self, after: int = 0, stream: UUID | None = None, *, reads: bool = True
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """See `EventLog.follow`; raises `LogUnavailable` if the log is closed already.

        If it *reads* not, it ends where the tail begins later.
        """
        if self._is_closed:
            raise LogUnavailable("The log is closed.")
        with self._polling():
            while not self._is_closed:
                news = self._news.of(stream)
                end = self.position
                if after >= end:
                    await news.wait()
                    continue
                if after + 1 >= self._first:
                    start = after + 1 - self._first
                    batch: Sequence[Recorded] = self._tail[start : start + BATCH]
                    after = batch[-1].position
                    if stream is not None:
                        batch = [event for event in batch if event.stream == stream]
                elif not reads:
                    return
                else:
                    batch = await self._fetch(after, BATCH, stream)
                    last = batch[-1].position if batch else end
                    after = last if len(batch) == BATCH else max(last, end)  # fewer than asked for: no more up to *end*
                if batch:
                    yield batch

    def close(self) -> None:
        """Ends every follower."""
        self._is_closed = True
        self._news.spread_all()

    @contextmanager
    def _polling(self) -> Iterator[None]:
        """Has the store looked at every now and then, as long as anyone follows."""
        self._followers += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._poller.cancel()
                self._poller = None

    async def _look(self) -> None:
        while not self._is_closed:
            end = self.position
            await asyncio.sleep(self._poll)
            if self.position > end:
                continue
            with suppress(LogUnavailable):  # then the next look may find it well again
                while await self._catch_up():
                    pass

    async def _catch_up(self) -> bool:
        """Publishes what was written without a word; whether there may be more of it."""
        end = self.position
        found = await self._fetch(end, BATCH, None)
        self.publish(found)
        return len(found) == BATCH and self.position > end
