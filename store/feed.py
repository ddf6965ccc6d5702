"""
The feed of a log: its newest events in memory, for followers and observers.

Followers near the end share one tail of recent events. A follower that is further behind reads the database until it
has caught up. A follower has no state but its position, so a slow one uses no memory.

While nobody follows, the observers may want only a few kinds of events. The log need not read the others then.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from uuid import UUID
from weakref import WeakValueDictionary

from cache.lru import weight
from store.ends import StreamEnds
from store.log import Event, LogUnavailable, RecordedEvent

TAIL_SIZE = 2_000
"""Maximum number of events in the tail; when it is full, the older half goes."""

TAIL_BYTES = 8 * 1024 * 1024
"""Maximum size of the events in the tail, in bytes; then the older ones go, too."""

RECORDED = 1000
"""Size of an event in the tail, in bytes, beside its fields."""

BATCH = 1000
"""Maximum number of events in a batch for a follower of the whole log."""

STREAM_BATCH = 200
"""Maximum number of events in a batch for a follower of one stream. A slow client keeps a batch in memory."""

POLL = 1.0
"""Interval at which the database is polled while nothing is published, in seconds."""

Fetch = Callable[[int, int, UUID | None], Awaitable[Sequence[RecordedEvent]]]
"""Reads at most so many events after a position, of a stream or of all, in order."""

Observer = Callable[[Sequence[RecordedEvent]], None]
"""Is called with new events; see `EventLog.watch`."""

Kinds = Collection[type[Event]]
"""Kinds of events."""


class Notifier:
    """Wakes the tasks that wait for a subject. A subject that nobody waits for uses no memory."""

    def __init__(self) -> None:
        self._events: WeakValueDictionary[Hashable, asyncio.Event] = WeakValueDictionary()

    def event(self, subject: Hashable) -> asyncio.Event:
        """Return an event that is set when *subject* is next notified.

        Get it before you check the condition, then wait for it; no notification is lost in between.
        """
        event = self._events.get(subject)
        if event is None:
            event = self._events[subject] = asyncio.Event()
        return event

    def notify(self, subjects: Iterable[Hashable]) -> None:
        for subject in subjects if self._events else ():
            event = self._events.pop(subject, None)
            if event is not None:
                event.set()

    def notify_all(self) -> None:
        self.notify(list(self._events))


class Feed:
    """Delivers a log's events to its followers and observers.

    *fetch* reads the database; *position* is the log's position when the feed begins.
    """

    def __init__(self, fetch: Fetch, position: int, poll: float = POLL) -> None:
        self._fetch = fetch
        self._tail: list[RecordedEvent] = []
        self._weights: list[int] = []  # of the events in the tail
        self._weight = 0
        self._first = position + 1  # position of the tail's first event, or of the next one
        self._poll = poll
        self._notifier = Notifier()
        self.ends = StreamEnds()
        self._observers: list[tuple[Observer, frozenset[type[Event]] | None]] = []
        self._followers = 0
        self._poller: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def position(self) -> int:
        """The position of the last published event."""
        return self._first + len(self._tail) - 1

    def publish(self, recorded: Sequence[RecordedEvent]) -> None:
        """Publish the next events. Known events are ignored; after a gap all are ignored, and the poll finds them."""
        end = self.position
        new = [event for event in recorded if event.position > end]
        if not new or new[0].position != end + 1 or new[-1].position != end + len(new):
            return
        if self._observers and self.wanted is not None:  # a worker's: nobody follows, so a tail would cost for nothing
            self._restart(new[-1].position)
        else:
            self._extend(new)
        self.ends.update(new)
        self._call_observers(new)
        self._notifier.notify(chain([None], (event.stream for event in new)))

    def _extend(self, new: Sequence[RecordedEvent]) -> None:
        """Add *new* events to the tail."""
        self._tail += new
        weights = [weight(event.event) + RECORDED for event in new]
        self._weights += weights
        self._weight += sum(weights)
        if len(self._tail) > TAIL_SIZE or self._weight > TAIL_BYTES:
            self._cut()

    def _restart(self, position: int) -> None:
        """Begin an empty tail after *position*; later followers read the events before it."""
        if self._tail:
            self._tail, self._weights, self._weight = [], [], 0
        self._first = position + 1

    def _cut(self) -> None:
        """Drop the older half of the tail, by number or by bytes."""
        cut = 0
        while len(self._tail) - cut > TAIL_SIZE // 2 or self._weight > TAIL_BYTES // 2:
            self._weight -= self._weights[cut]
            cut += 1
        del self._tail[:cut], self._weights[:cut]
        self._first += cut

    @property
    def wanted(self) -> frozenset[type[Event]] | None:
        """The kinds of events that followers and observers want now; None for all."""
        wanted: set[type[Event]] = set()
        for _, kinds in self._observers:
            if kinds is None:
                return None
            wanted |= kinds
        return None if self._followers else frozenset(wanted)

    def skip_to(self, position: int, events: Sequence[RecordedEvent]) -> None:
        """Advance to *position* while nobody follows; *events* are all wanted events up to there."""
        end = self.position
        if position > end:
            self._restart(position)
            self.ends.clear()  # the skipped events may be of any stream
            self._call_observers([event for event in events if event.position > end])

    def _call_observers(self, new: Sequence[RecordedEvent]) -> None:
        for observer, kinds in self._observers:
            wanted = new if kinds is None else [event for event in new if type(event.event) in kinds]
            if wanted:
                observer(wanted)

    def watch(self, observer: Observer, kinds: Kinds | None = None) -> int:
        """See `EventLog.watch`."""
        self._observers.append((observer, None if kinds is None else frozenset(kinds)))
        return self.position

    def recent(self, after: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        """See `EventLog.recent`."""
        return self.follow(after, from_memory=True)

    async def follow(
        self, after: int = 0, stream: UUID | None = None, *, from_memory: bool = False
    ) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        """See `EventLog.follow`; raises `LogUnavailable` if the log is closed.

        With *from_memory* the iterator ends where the database must be read.
        """
        if self._is_closed:
            raise LogUnavailable("The log is closed.")
        limit = BATCH if stream is None else STREAM_BATCH
        with self._polling():
            while not self._is_closed:
                notified = self._notifier.event(stream)
                end = self.position
                if after >= end:
                    await notified.wait()
                    continue
                if after + 1 >= self._first:
                    start = after + 1 - self._first
                    batch: Sequence[RecordedEvent] = self._tail[start : start + limit]
                    after = batch[-1].position
                    if stream is not None:
                        batch = [event for event in batch if event.stream == stream]
                elif from_memory:
                    return
                else:
                    batch = await self._fetch(after, limit, stream)
                    last = batch[-1].position if batch else end
                    after = last if len(batch) == limit else max(last, end)  # a short batch has all up to *end*
                if batch:
                    yield batch
                batch = ()  # while it waits, it keeps no events

    def close(self) -> None:
        """End every follower."""
        self._is_closed = True
        self._notifier.notify_all()

    @contextmanager
    def _polling(self) -> Iterator[None]:
        """Poll the database while there are followers."""
        self._followers += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll_database())
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._poller.cancel()
                self._poller = None

    async def _poll_database(self) -> None:
        while not self._is_closed:
            end = self.position
            await asyncio.sleep(self._poll)
            if self.position > end:
                continue
            with suppress(LogUnavailable):  # the next poll tries again
                while await self._catch_up():
                    pass

    async def _catch_up(self) -> bool:
        """Publish events that were written without a notification; return whether there may be more."""
        end = self.position
        found = await self._fetch(end, BATCH, None)
        self.publish(found)
        return len(found) == BATCH and self.position > end
