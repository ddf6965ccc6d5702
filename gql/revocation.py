"""
Tokens that are revoked while something is open: a connection outlives the request that its token came with.

The log says so, whichever node it was done on. A word of another node can be lost on its way, so as long as anything
is open the log is followed: then it is looked at now and then, too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from uuid import UUID

from domain.access import TokenRevoked
from store.log import EventLog, LogUnavailable, Recorded

REASON = "The token was revoked"


class Revocations:
    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._revoked: set[UUID] = set()
        self._open: dict[UUID, dict[Callable[[], None], None]] = defaultdict(dict)
        self._following: asyncio.Task[None] | None = None
        self._position = log.watch(self._told)

    @contextmanager
    def telling(self, token: UUID, end: Callable[[], None]) -> Iterator[None]:
        """Has *end* called, once, if *token* is revoked as long as this; at once if it was since it was looked up."""
        if token in self._revoked:
            end()
        self._open[token][end] = None
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="revocations")
        try:
            yield
        finally:
            self._open[token].pop(end, None)
            if not self._open[token]:
                del self._open[token]
            if not self._open:
                self._following.cancel()
                self._following = None

    def _told(self, events: Sequence[Recorded]) -> None:
        self._position = events[-1].position
        for event in events:
            if isinstance(event.event, TokenRevoked):
                self._revoked.add(event.event.token)
                for end in list(self._open.get(event.event.token, ())):
                    end()

    async def _follow(self) -> None:
        """What comes is told to `_told`; this only has the log see to it that it comes."""
        with suppress(LogUnavailable):  # then it is closed
            async with aclosing(self._log.follow(self._position)) as following:
                async for _ in following:
                    pass
