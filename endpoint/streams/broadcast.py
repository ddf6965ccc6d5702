"""
Broadcasts: one execution for all followers of a subscription, with each payload rendered once.

A follower holds its position and nothing else. At the end of the ring, new payloads are written to it at once. When its
client takes no more, the follower waits, then continues from the ring. If the ring has dropped its position, it reads
the store. If only the newest payload counts, the ring holds one entry, so nobody catches up.

An execution for each client collapses at 500 clients (decision 0014); `bench.subscriptions` measures thousands. There
is no switch.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

from graphql import GraphQLError
from msgspec import Struct

from endpoint.metrics import DELIVERIES
from endpoint.streams.ring import ENTRIES, Budget, Ring, RingEntry
from endpoint.streams.subscription import SourceFailure, SubscriptionOperation

UNSEEN = 200
"""Maximum number of payloads that are rendered while no follower is near the end."""

BUSY = 0.1
"""Time since the last payload after which a broadcast has nothing left to render, in seconds."""

TURN = 500
"""Number of followers that are written to before other tasks run."""

IN_A_ROW = 16
"""Number of payloads that are sent to a follower that is behind before other tasks run."""


class Completion(Struct, frozen=True):
    """The end of an operation: normal, or with *errors*."""

    errors: tuple[dict[str, Any], ...] = ()


class Outlet(Protocol):
    """The destination of an operation's payloads. `send` and `ready` raise when the client is gone."""

    async def send(self, entry: RingEntry) -> None:
        """Send *entry*; return when the client takes more."""
        ...


@runtime_checkable
class DirectOutlet(Outlet, Protocol):
    """An outlet that is written to without a coroutine for each payload."""

    def write(self, entry: RingEntry) -> bool:
        """Write at once; return whether the client takes more. If not, wait for `ready` before the next call."""
        ...

    async def ready(self) -> None:
        """Wait until the client takes more."""
        ...


class Follower:
    """One operation that follows a broadcast, and its position."""

    def __init__(self, subscription: SubscriptionOperation, outlet: Outlet) -> None:
        self.subscription = subscription
        self.outlet = outlet
        self.direct = outlet if isinstance(outlet, DirectOutlet) else None
        self.position = subscription.start
        self.cursor = subscription.cursor
        self._sent = 0
        self.released: asyncio.Future[None]  # set while it is written to directly

    @property
    def has_begun(self) -> bool:
        """Whether a payload was sent."""
        return self.position > self.subscription.start

    async def send(self, entry: RingEntry) -> None:
        """Send *entry*; let other tasks run after some of them, however fast the client reads."""
        await self.outlet.send(entry)
        DELIVERIES.inc()
        self.position, self.cursor = entry.position, entry.cursor
        self._sent += 1
        if self._sent % IN_A_ROW == 0:
            await asyncio.sleep(0)

    def completion(self, errors: Sequence[GraphQLError] = ()) -> Completion:
        """Return the end of the operation; errors of a lossless subscription have the cursor to resume from."""
        place = {"cursor": self.cursor} if self.subscription.is_lossless else {}
        return Completion(
            tuple({**error.formatted, "extensions": {**(error.extensions or {}), **place}} for error in errors)
        )


class Broadcast:
    """The payloads of *subscription*, from its start on, for all subscriptions with its key.

    With *other*, the ring of a broadcast that started later, it ends where that ring begins.
    """

    def __init__(self, subscription: SubscriptionOperation, budget: Budget, other: Ring | None = None) -> None:
        self.followers = 0
        self.is_finished = False
        self.has_met = False  # finished because *other* continues from there
        self._is_paused = False  # waits for its followers: none of them is near the end
        self.failure: SourceFailure | None = None
        self.ring = Ring(budget, subscription.start, ENTRIES if subscription.is_lossless else 1)
        self._subscription = subscription
        self._cursor = subscription.cursor
        self._other = other
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._direct: dict[Follower, DirectOutlet] = {}
        self._unseen = 0
        self._published = 0.0
        self._reader: asyncio.Task[None] | None = asyncio.create_task(self._read())

    def lags(self, position: int) -> bool:
        """Whether many payloads must be rendered before the one after *position*."""
        return self._is_paused or (position > self.ring.end + UNSEEN and time.monotonic() < self._published + BUSY)

    def covers(self, follower: Follower) -> bool:
        """Whether the next payload for *follower* is in the ring or still to come."""
        return follower.position >= self.ring.start or not self._subscription.is_lossless

    async def more(self, follower: Follower) -> None:
        """Wait at the end of the ring for a payload; a direct follower is written to until its client takes no more."""
        self._wanted.set()
        if self._is_paused:
            self._subscription = follower.subscription  # the first one's token may be revoked
        if follower.direct is None:
            self._waiting += 1
            try:
                await self._news.wait()
            finally:
                self._waiting -= 1
            return
        follower.released = asyncio.get_running_loop().create_future()
        self._direct[follower] = follower.direct
        try:
            await follower.released
        finally:
            self._direct.pop(follower, None)
        await follower.direct.ready()

    def close(self) -> None:
        """Stop the execution and free the ring."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None  # a cancelled task keeps its exception, and so the frame that refers to this broadcast
        self.ring.clear()

    async def _read(self) -> None:
        try:
            while not await self._publish_all():
                await self._wanted.wait()
                self._is_paused = False
        except SourceFailure as failure:
            self.failure = failure.with_traceback(None)  # the traceback would keep this broadcast
        if self._reader is None:  # a field that failed at the same time hid the cancellation
            return
        self.is_finished = True
        self._wake()

    async def _publish_all(self) -> bool:
        """Publish the payloads to the end; return False for a pause, which closes the source with all that it has read.

        A newest-wins source has read nothing ahead, and stays open.
        """
        find = self._other.find if self._other else lambda position: None
        async with aclosing(self._subscription.entries(self._cursor, find, self.ring.end)) as entries:
            async for entry in entries:
                if self._reader is None:
                    return True
                await self._publish(entry)
                self._cursor = entry.cursor
                if self._other is not None and entry.position >= self._other.start:
                    self.has_met = True
                    return True
                if self._unseen > UNSEEN:
                    self._wanted.clear()
                    self._is_paused = True
                    if self._subscription.is_lossless:
                        return False
                    await self._wanted.wait()
                    self._is_paused = False
                await asyncio.sleep(0)  # other tasks run during a long replay
        return True

    async def _publish(self, entry: RingEntry) -> None:
        self.ring.append(entry)
        self._published = time.monotonic()
        self._unseen = 0 if self._direct or self._waiting else self._unseen + 1
        self._news.set()
        self._news = asyncio.Event()
        delivered = 0
        for count, follower in enumerate(list(self._direct), 1):
            outlet = self._direct.get(follower)
            if outlet is not None and follower.position < entry.position:
                follower.position, follower.cursor = entry.position, entry.cursor
                delivered += 1
                if not outlet.write(entry):
                    self._release(follower)
            if count % TURN == 0:
                await asyncio.sleep(0)
        DELIVERIES.inc(delivered)

    def _wake(self) -> None:
        self._news.set()
        for follower in list(self._direct):
            self._release(follower)

    def _release(self, follower: Follower) -> None:
        del self._direct[follower]
        if not follower.released.done():
            follower.released.set_result(None)
