"""
One reader for all who follow the same thing: each payload is rendered once, and its bytes are everybody's.

A follower keeps its place and nothing else. At the end of the ring it is written to as soon as there is something; if
its client takes no more, it goes on from the ring when there is room again, and where the ring has moved on, from the
store. Where only the newest counts, the ring has room for one, and so has nothing to catch up with.
"""

import asyncio
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Protocol

from graphql import GraphQLError
from msgspec import Struct

from gql.ring import ENTRIES, Budget, Entry, Ring
from gql.subscription import Broken, Subscription

LINGER = 60.0
"""Seconds that a broadcast goes on when nobody follows it: those whose connection broke come back to its ring."""

UNSEEN = 200
"""Payloads at most that are rendered while nobody is near the end."""

BUSY = 0.1
"""Seconds within which a broadcast that has something to render has rendered it."""

BROADCASTS = 1000
"""Different subscriptions at most that are shared at a time; what is beyond is carried out for each client anew."""

BATCH = 100
BATCH_BYTES = 64 * 1024
"""What a follower that is behind gets from the store at a time."""

READERS = 8
"""Followers at most that read the store at the same time; the others wait in order."""

BEHIND = 1000
"""Followers at most that are behind their ring; the next one is told to come back."""

TURN = 500
"""Followers that are written to before others have their turn."""


class Full(Exception):
    """No more can be shared."""


class Over(Struct, frozen=True):
    """How an operation ended: by itself, or with *errors*."""

    errors: tuple[dict[str, Any], ...] = ()


class Outlet(Protocol):
    """Where the payloads of one operation go. `send` and `ready` raise when the client is gone."""

    is_direct: bool  # can `write`

    async def send(self, entry: Entry) -> None:
        """Waits until the client takes more."""
        ...

    def write(self, entry: Entry) -> bool:
        """Writes at once; whether the client takes more. Not to be called again before `ready` if it doesn't."""
        ...

    async def ready(self) -> None:
        """Returns when the client takes more."""
        ...


class Follower:
    """One operation's way along a broadcast."""

    def __init__(self, subscription: Subscription, outlet: Outlet) -> None:
        self.subscription = subscription
        self.outlet = outlet
        self.position = subscription.start
        self.cursor = subscription.cursor
        self.released: asyncio.Future[None]  # while it is written to directly

    @property
    def has_begun(self) -> bool:
        return self.position > self.subscription.start

    async def send(self, entry: Entry) -> None:
        await self.outlet.send(entry)
        self.position, self.cursor = entry.position, entry.cursor

    def write(self, entry: Entry) -> bool:
        self.position, self.cursor = entry.position, entry.cursor
        return self.outlet.write(entry)

    def over(self, errors: Sequence[GraphQLError] = ()) -> Over:
        """Its end; errors of a lossless subscription say where to resume."""
        place = {"cursor": self.cursor} if self.subscription.is_lossless else {}
        return Over(tuple({**error.formatted, "extensions": {**(error.extensions or {}), **place}} for error in errors))


class Broadcast:
    """The payloads of *subscription*, from its start on, for all that have its key.

    With *other*, the ring that somebody else fills from later on, it ends where that one begins.
    """

    def __init__(self, subscription: Subscription, budget: Budget, other: Ring | None = None) -> None:
        self.followers = 0
        self.is_over = False
        self.has_met = False  # it is over because *other* goes on from there
        self._is_held = False  # it waits for its followers: none of them is near the end
        self.broken: Broken | None = None
        self.ring = Ring(budget, subscription.start, ENTRIES if subscription.is_lossless else 1)
        self._subscription = subscription
        self._other = other
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._direct: dict[Follower, None] = {}
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
        if not follower.outlet.is_direct:
            self._waiting += 1
            try:
                await self._news.wait()
            finally:
                self._waiting -= 1
            return
        follower.released = asyncio.get_running_loop().create_future()
        self._direct[follower] = None
        try:
            await follower.released
        finally:
            self._direct.pop(follower, None)
        await follower.outlet.ready()

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
        except Broken as broken:
            self.broken = broken
        self.is_over = True
        self._wake()

    async def _hold(self) -> None:
        self._wanted.clear()
        self._is_held = True
        await self._wanted.wait()
        self._is_held = False

    async def _publish(self, entry: Entry) -> None:
        self.ring.append(entry)
        self._published = time.monotonic()
        self._unseen = 0 if self._direct or self._waiting else self._unseen + 1
        self._news.set()
        self._news = asyncio.Event()
        for count, follower in enumerate(list(self._direct), 1):
            if follower in self._direct and follower.position < entry.position and not follower.write(entry):
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


class Hub:
    """All broadcasts of a node, by what they are about: a subscription's key, with a cursor if it ends at another."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        """The server stops: streams are to end, for their clients to come back later."""

        self._broadcasts: dict[Hashable, Broadcast] = {}
        self._retiring: dict[Broadcast, asyncio.TimerHandle] = {}
        self._budget = Budget()
        self._readers = asyncio.Semaphore(READERS)
        self._behind = 0

    async def deliver(self, subscription: Subscription, outlet: Outlet) -> Over | None:
        """Sends what there is and what comes, to the end. None if it is for the schema to carry out, from the start."""
        follower = Follower(subscription, outlet)
        try:
            if subscription.key is None:
                return await self._alone(follower)
            main = await self._main(subscription)
            with self._followed(subscription.key, main):
                if not main.covers(follower):
                    key = (subscription.key, subscription.cursor)
                    replay = self._broadcasts.get(key) or self._made(key, subscription, main.ring)
                    with self._followed(key, replay):
                        over = await self._along(replay, follower, main)
                    if over is not None:
                        return over
                return await self._along(main, follower)
        except Broken as broken:
            return follower.over(broken.errors) if follower.has_begun else None
        except Full:
            return None

    def close(self) -> None:
        for key in list(self._broadcasts):
            self._broadcasts.pop(key).close()

    async def _main(self, subscription: Subscription) -> Broadcast:
        """The broadcast that is live: it began with the first to come, or near the end if that one came from far."""
        found = self._broadcasts.get(subscription.key)
        if found is None or found.lags(subscription.start):
            first = await subscription.near_end()
            found = self._broadcasts.get(subscription.key)  # another one may have come first
            if found is None or found.lags(subscription.start):
                found = self._made(subscription.key, first)
        return found

    async def _along(self, broadcast: Broadcast, follower: Follower, main: Broadcast | None = None) -> Over | None:
        """Follows *broadcast* to its end, or None: as far as *main* can go on."""
        while main is None or not main.covers(follower):
            if not broadcast.covers(follower):
                await self._catch_up(broadcast, follower)
            elif entry := broadcast.ring.after(follower.position):
                await follower.send(entry)
            elif not broadcast.is_over:
                await broadcast.more(follower)
            elif broadcast.broken is not None:
                raise broadcast.broken.with_traceback(None)  # or it would keep every follower
            elif main is not None and broadcast.has_met:
                # It was kept for those who come late, and *main* has moved on since.
                await self._catch_up(main, follower)
            else:
                return follower.over()
        return None

    async def _catch_up(self, broadcast: Broadcast, follower: Follower) -> None:
        """Sends some of what the ring hasn't any more."""
        if self._behind >= BEHIND:
            raise Broken([TOO_MANY_BEHIND])
        self._behind += 1
        try:
            for entry in await self._stored(broadcast, follower):
                await follower.send(entry)
        finally:
            self._behind -= 1

    async def _stored(self, broadcast: Broadcast, follower: Follower) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        async with (
            self._readers,
            aclosing(follower.subscription.entries(follower.cursor, broadcast.ring.find)) as entries,
        ):
            async for entry in entries:
                if entry.position > follower.position:
                    batch.append(entry)
                    size += len(entry.payload)
                if entry.position >= broadcast.ring.start or len(batch) >= BATCH or size >= BATCH_BYTES:
                    break
                await asyncio.sleep(0)
        return batch

    async def _alone(self, follower: Follower) -> Over:
        """What nobody else may get the bytes of."""
        async with aclosing(follower.subscription.entries(follower.cursor)) as entries:
            async for entry in entries:
                if entry.position > follower.position:
                    await follower.send(entry)
        return follower.over()

    def _made(self, key: Hashable, subscription: Subscription, other: Ring | None = None) -> Broadcast:
        if len(self._broadcasts) >= BROADCASTS:
            idle = next((each for each, broadcast in self._broadcasts.items() if not broadcast.followers), None)
            if idle is None:
                raise Full
            self._retire(idle, self._broadcasts[idle])
        made = self._broadcasts[key] = Broadcast(subscription, self._budget, other)
        return made

    @contextmanager
    def _followed(self, key: Hashable, broadcast: Broadcast) -> Iterator[None]:
        """Keeps *broadcast* going on as long as this, and for a while after the last one left."""
        broadcast.followers += 1
        if broadcast in self._retiring:
            self._retiring.pop(broadcast).cancel()
        try:
            yield
        finally:
            broadcast.followers -= 1
            if not broadcast.followers:
                wait = 0 if broadcast.broken else LINGER
                loop = asyncio.get_running_loop()
                self._retiring[broadcast] = loop.call_later(wait, self._retire, key, broadcast)

    def _retire(self, key: Hashable, broadcast: Broadcast) -> None:
        if self._broadcasts.get(key) is broadcast:
            del self._broadcasts[key]
        self._retiring.pop(broadcast, None)
        broadcast.close()


TOO_MANY_BEHIND = GraphQLError(
    f"More than {BEHIND} subscriptions of this node are behind; resume from the cursor in a while.",
    extensions={"code": "TOO_MANY_BEHIND"},
)
