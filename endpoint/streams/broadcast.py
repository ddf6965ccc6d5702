"""
One reader for all who follow the same thing: each payload is rendered once, and its bytes are everybody's.

A follower keeps its place and nothing else. At the end of the ring it is written to as soon as there is something; if
its client takes no more, it goes on from the ring when there is room again, and where the ring has moved on, from the
store. Where only the newest counts, the ring has room for one, and so has nothing to catch up with.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

from graphql import GraphQLError
from msgspec import Struct

from endpoint.streams.ring import ENTRIES, Budget, Ring, RingEntry
from endpoint.streams.subscription import SourceFailure, SubscriptionOperation

UNSEEN = 200
"""Payloads at most that are rendered while nobody is near the end."""

BUSY = 0.1
"""Seconds within which a broadcast that has something to render has rendered it."""

TURN = 500
"""Followers that are written to before others have their turn."""

IN_A_ROW = 16
"""Payloads that a follower that is behind is sent before others have their turn."""


class Completion(Struct, frozen=True):
    """How an operation ended: by itself, or with *errors*."""

    errors: tuple[dict[str, Any], ...] = ()


class Outlet(Protocol):
    """Where the payloads of one operation go. `send` and `ready` raise when the client is gone."""

    async def send(self, entry: RingEntry) -> None:
        """Waits until the client takes more."""
        ...


@runtime_checkable
class DirectOutlet(Outlet, Protocol):
    """One that can be written to without a coroutine for each payload."""

    def write(self, entry: RingEntry) -> bool:
        """Writes at once; whether the client takes more. Not to be called again before `ready` if it doesn't."""
        ...

    async def ready(self) -> None:
        """Returns when the client takes more."""
        ...


class Follower:
    """One operation's way along a broadcast."""

    def __init__(self, subscription: SubscriptionOperation, outlet: Outlet) -> None:
        self.subscription = subscription
        self.outlet = outlet
        self.direct = outlet if isinstance(outlet, DirectOutlet) else None
        self.position = subscription.start
        self.cursor = subscription.cursor
        self._sent = 0
        self.released: asyncio.Future[None]  # while it is written to directly

    @property
    def has_begun(self) -> bool:
        return self.position > self.subscription.start

    async def send(self, entry: RingEntry) -> None:
        """Send *entry*; after some of them others have their turn, however fast the client reads."""
        await self.outlet.send(entry)
        self.position, self.cursor = entry.position, entry.cursor
        self._sent += 1
        if self._sent % IN_A_ROW == 0:
            await asyncio.sleep(0)

    def over(self, errors: Sequence[GraphQLError] = ()) -> Completion:
        """Its end; errors of a lossless subscription say where to resume."""
        place = {"cursor": self.cursor} if self.subscription.is_lossless else {}
        return Completion(
            tuple({**error.formatted, "extensions": {**(error.extensions or {}), **place}} for error in errors)
        )


class Broadcast:
    """The payloads of *subscription*, from its start on, for all that have its key.

    With *other*, the ring that somebody else fills from later on, it ends where that one begins.
    """

    def __init__(self, subscription: SubscriptionOperation, budget: Budget, other: Ring | None = None) -> None:
        self.followers = 0
        self.is_over = False
        self.has_met = False  # it is over because *other* goes on from there
        self._is_held = False  # it waits for its followers: none of them is near the end
        self.broken: SourceFailure | None = None
        self.ring = Ring(budget, subscription.start, ENTRIES if subscription.is_lossless else 1)
        self._subscription = subscription
        self._other = other
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._direct: dict[Follower, DirectOutlet] = {}
        self._unseen = 0
        self._published = 0.0
        self._reader = asyncio.create_task(self._read())

    def lags(self, position: int) -> bool:
        """Whether there is much to be rendered before what comes after *position*."""
        return self._is_held or (position > self.ring.end + UNSEEN and time.monotonic() < self._published + BUSY)

    def covers(self, follower: Follower) -> bool:
        """Whether all that comes next for *follower* is in the ring, or still to come."""
        return follower.position >= self.ring.start or not self._subscription.is_lossless

    async def more(self, follower: Follower) -> None:
        """Waits at the end of the ring; a direct follower is written to meanwhile, as long as its client takes more."""
        self._wanted.set()
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
        self._reader.cancel()
        self.ring.clear()

    async def _read(self) -> None:
        find = self._other.find if self._other else lambda position: None
        try:
            async with aclosing(self._subscription.entries(self._subscription.cursor, find)) as entries:
                async for entry in entries:
                    await self._publish(entry)
                    if self._other is not None and entry.position >= self._other.start:
                        self.has_met = True
                        break
                    if self._unseen > UNSEEN:
                        await self._hold()
                    await asyncio.sleep(0)  # a long replay lets others have their turn
        except SourceFailure as broken:
            self.broken = broken
        self.is_over = True
        self._wake()

    async def _hold(self) -> None:
        self._wanted.clear()
        self._is_held = True
        await self._wanted.wait()
        self._is_held = False

    async def _publish(self, entry: RingEntry) -> None:
        self.ring.append(entry)
        self._published = time.monotonic()
        self._unseen = 0 if self._direct or self._waiting else self._unseen + 1
        self._news.set()
        self._news = asyncio.Event()
        for count, follower in enumerate(list(self._direct), 1):
            outlet = self._direct.get(follower)
            if outlet is not None and follower.position < entry.position:
                follower.position, follower.cursor = entry.position, entry.cursor
                if not outlet.write(entry):
                    self._release(follower)
            if count % TURN == 0:
                await asyncio.sleep(0)

    def _wake(self) -> None:
        self._news.set()
        for follower in list(self._direct):
            self._release(follower)

    def _release(self, follower: Follower) -> None:
        del self._direct[follower]
        if not follower.released.done():
            follower.released.set_result(None)
