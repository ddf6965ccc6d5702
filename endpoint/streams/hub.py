"""
All that is followed on a node, and how each follower gets from its cursor to what is live.

A follower is written to by a broadcast as long as its ring has what comes next, and gets the rest from the store.
"""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import aclosing, contextmanager

from graphql import GraphQLError

from endpoint.execution.holding import TooManyOpen
from endpoint.streams.broadcast import Broadcast, Completion, Follower, Outlet
from endpoint.streams.ring import Budget, Ring, RingEntry
from endpoint.streams.subscription import SourceFailure, SubscriptionOperation

LINGER = 60.0
"""Seconds that a broadcast goes on when nobody follows it: those whose connection broke come back to its ring."""

BROADCASTS = 1000
"""Different subscriptions at most that are shared at a time; what is beyond is carried out for each client anew."""

BATCH = 100
BATCH_BYTES = 64 * 1024
"""What a follower that is behind gets from the store at a time."""

READERS = 8
"""Followers at most that read the store at the same time; the others wait in order."""

BEHIND = 1000
"""Followers at most that are behind their ring; the next one is told to come back."""


class TooManyBroadcasts(Exception):
    """`BROADCASTS` are in use, so the subscription cannot be shared."""


class TooManyBehind(GraphQLError):
    """`BEHIND` followers of this node are behind their ring already."""

    def __init__(self) -> None:
        super().__init__(
            f"Too many subscriptions are behind; at most {BEHIND} of a node are allowed: resume from the cursor later.",
            extensions={"code": "TOO_MANY_BEHIND"},
        )


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

    async def deliver(self, subscription: SubscriptionOperation, outlet: Outlet) -> Completion | None:
        """Sends what there is and what comes, to the end. None if it is for the schema to carry out, from the start.

        Raises `InvalidCursor` for a cursor beyond the end of the log.
        """
        follower = Follower(subscription, outlet)
        try:
            with subscription.held():
                await subscription.check()
                return await self._deliver(subscription, follower)
        except TooManyOpen as refused:
            return follower.over([refused])

    async def _deliver(self, subscription: SubscriptionOperation, follower: Follower) -> Completion | None:
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
        except SourceFailure as broken:
            return follower.over(broken.errors) if follower.has_begun else None
        except TooManyBehind as refused:  # before its first payload, too: executing each one alone would be more work
            return follower.over([refused])
        except TooManyBroadcasts:
            return None

    def close(self) -> None:
        for key in list(self._broadcasts):
            self._broadcasts.pop(key).close()

    async def _main(self, subscription: SubscriptionOperation) -> Broadcast:
        """The broadcast that is live: it began with the first to come, or near the end if that one came from far."""
        found = self._broadcasts.get(subscription.key)
        if found is None or found.lags(subscription.start):
            first = await subscription.near_end()
            found = self._broadcasts.get(subscription.key)  # another one may have come first
            if found is None or found.lags(subscription.start):
                found = self._made(subscription.key, first)
        return found

    async def _along(
        self, broadcast: Broadcast, follower: Follower, main: Broadcast | None = None
    ) -> Completion | None:
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
            raise TooManyBehind
        self._behind += 1
        try:
            for entry in await self._stored(broadcast, follower):
                await follower.send(entry)
        finally:
            self._behind -= 1

    async def _stored(self, broadcast: Broadcast, follower: Follower) -> list[RingEntry]:
        batch: list[RingEntry] = []
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

    async def _alone(self, follower: Follower) -> Completion:
        """What nobody else may get the bytes of."""
        async with aclosing(follower.subscription.entries(follower.cursor)) as entries:
            async for entry in entries:
                if entry.position > follower.position:
                    await follower.send(entry)
        return follower.over()

    def _made(self, key: Hashable, subscription: SubscriptionOperation, other: Ring | None = None) -> Broadcast:
        if len(self._broadcasts) >= BROADCASTS:
            idle = next((each for each, broadcast in self._broadcasts.items() if not broadcast.followers), None)
            if idle is None:
                raise TooManyBroadcasts
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
