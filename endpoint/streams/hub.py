"""
The broadcasts of a node, and the path of each follower from its cursor to the live end.

A follower gets payloads from a broadcast's ring, and those that the ring has dropped from the store.
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
"""Time for which a broadcast without followers continues, in seconds: clients that reconnect find its ring."""

BROADCASTS = 1000
"""Maximum number of broadcasts; subscriptions beyond are executed for each client."""

BATCH = 100
"""Maximum number of payloads that a follower reads from the store at a time."""

BATCH_BYTES = 64 * 1024
"""Maximum size of the payloads that a follower reads from the store at a time, in bytes."""

READERS = 8
"""Maximum number of followers that read the store at the same time; the others wait in order."""

BEHIND = 1000
"""Maximum number of followers that are behind their ring; the next one is told to resume later."""


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
    """The broadcasts of a node by the key of their subscription; a replay's key has its cursor, too."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        """Set when the server stops: streams end, and their clients reconnect later."""

        self._broadcasts: dict[Hashable, Broadcast] = {}
        self._retiring: dict[Broadcast, asyncio.TimerHandle] = {}
        self._budget = Budget()
        self._readers = asyncio.Semaphore(READERS)
        self._behind = 0

    async def deliver(self, subscription: SubscriptionOperation, outlet: Outlet) -> Completion | None:
        """Send all payloads to the end; None if the schema has to execute the subscription from the start.

        Raises `InvalidCursor` for a cursor beyond the end of the log.
        """
        follower = Follower(subscription, outlet)
        try:
            with subscription.holding():
                await subscription.check()
                return await self._deliver(subscription, follower)
        except TooManyOpen as refused:
            return follower.completion([refused])

    async def _deliver(self, subscription: SubscriptionOperation, follower: Follower) -> Completion | None:
        try:
            if subscription.key is None:
                return await self._alone(follower)
            main = await self._main(subscription)
            with self._following(subscription.key, main):
                if not main.covers(follower):
                    key = (subscription.key, subscription.cursor)
                    replay = self._broadcasts.get(key) or self._new_broadcast(key, subscription, main.ring)
                    with self._following(key, replay):
                        completion = await self._follow(replay, follower, main)
                    if completion is not None:
                        return completion
                return await self._follow(main, follower)
        except SourceFailure as failure:
            failure.__traceback__ = None  # a broadcast keeps it, and the frames have every follower
            return follower.completion(failure.errors) if follower.has_begun else None
        except TooManyBehind as refused:  # before its first payload, too: executing each one alone would be more work
            return follower.completion([refused])
        except TooManyBroadcasts:
            return None

    def close(self) -> None:
        """Stop all broadcasts."""
        for key in list(self._broadcasts):
            self._broadcasts.pop(key).close()

    async def _main(self, subscription: SubscriptionOperation) -> Broadcast:
        """Return the live broadcast; start one at the subscription's cursor, or near the end if that is far off."""
        found = self._broadcasts.get(subscription.key)
        if found is None or found.lags(subscription.start):
            first = await subscription.near_end()
            found = self._broadcasts.get(subscription.key)  # another follower may have started it
            if found is None or found.lags(subscription.start):
                found = self._new_broadcast(subscription.key, first)
        return found

    async def _follow(
        self, broadcast: Broadcast, follower: Follower, main: Broadcast | None = None
    ) -> Completion | None:
        """Follow *broadcast* to its end; None as soon as *main* can continue."""
        while main is None or not main.covers(follower):
            if not broadcast.covers(follower):
                await self._catch_up(broadcast, follower)
            elif entry := broadcast.ring.after(follower.position):
                await follower.send(entry)
            elif not broadcast.is_finished:
                await broadcast.more(follower)
            elif broadcast.failure is not None:
                raise broadcast.failure
            elif main is not None and broadcast.has_met:
                # The replay lingered for later followers, and *main* has dropped its first entries since.
                await self._catch_up(main, follower)
            else:
                return follower.completion()
        return None

    async def _catch_up(self, broadcast: Broadcast, follower: Follower) -> None:
        """Send a batch of the payloads that the ring has dropped."""
        if self._behind >= BEHIND:
            raise TooManyBehind
        self._behind += 1
        try:
            for entry in await self._read_batch(broadcast, follower):
                await follower.send(entry)
        finally:
            self._behind -= 1

    async def _read_batch(self, broadcast: Broadcast, follower: Follower) -> list[RingEntry]:
        batch: list[RingEntry] = []
        size = 0
        async with (
            self._readers,
            aclosing(follower.subscription.entries(follower.cursor, broadcast.ring.find, follower.position)) as entries,
        ):
            async for entry in entries:
                batch.append(entry)
                size += len(entry.payload)
                if entry.position >= broadcast.ring.start or len(batch) >= BATCH or size >= BATCH_BYTES:
                    break
                await asyncio.sleep(0)
        return batch

    async def _alone(self, follower: Follower) -> Completion:
        """Execute a subscription that is not shared."""
        async with aclosing(follower.subscription.entries(follower.cursor)) as entries:
            async for entry in entries:
                if entry.position >= follower.position:
                    await follower.send(entry)
        return follower.completion()

    def _new_broadcast(
        self, key: Hashable, subscription: SubscriptionOperation, other: Ring | None = None
    ) -> Broadcast:
        if len(self._broadcasts) >= BROADCASTS:
            idle = next((each for each, broadcast in self._broadcasts.items() if not broadcast.followers), None)
            if idle is None:
                raise TooManyBroadcasts
            self._retire(idle, self._broadcasts[idle])
        broadcast = self._broadcasts[key] = Broadcast(subscription, self._budget, other)
        return broadcast

    @contextmanager
    def _following(self, key: Hashable, broadcast: Broadcast) -> Iterator[None]:
        """Count a follower of *broadcast*; after the last one it lingers for `LINGER` seconds."""
        broadcast.followers += 1
        if broadcast in self._retiring:
            self._retiring.pop(broadcast).cancel()
        try:
            yield
        finally:
            broadcast.followers -= 1
            if not broadcast.followers:
                wait = 0 if broadcast.failure else LINGER
                loop = asyncio.get_running_loop()
                self._retiring[broadcast] = loop.call_later(wait, self._retire, key, broadcast)

    def _retire(self, key: Hashable, broadcast: Broadcast) -> None:
        if self._broadcasts.get(key) is broadcast:
            del self._broadcasts[key]
        self._retiring.pop(broadcast, None)
        broadcast.close()
