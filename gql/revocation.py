"""
Tokens that are revoked while something is open: a connection outlives the request that its token came with.

The log says so, whichever node it was done on. A word of another node can be lost on its way, so as long as anything
is open the log is also looked at now and then.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from domain.access import TokenRevoked
from store.log import EventLog, LogUnavailable, Recorded

LOOK = 1.0
"""Seconds between two looks at the log. What is open ends within twice as many, or when the log can be reached."""

REASON = "The token was revoked"


class Revocations:
    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._revoked: set[UUID] = set()
        self._open: dict[UUID, dict[Callable[[], None], None]] = defaultdict(dict)
        self._looking: asyncio.Task[None] | None = None
        log.watch(self._told)

    @contextmanager
    def telling(self, token: UUID, end: Callable[[], None]) -> Iterator[None]:
        """Has *end* called, once, if *token* is revoked as long as this; at once if it was since it was looked up."""
        if token in self._revoked:
            end()
        self._open[token][end] = None
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="revocations")
        try:
            yield
        finally:
            self._open[token].pop(end, None)
            if not self._open[token]:
                del self._open[token]
            if not self._open:
                self._looking.cancel()
                self._looking = None

    def _told(self, events: Sequence[Recorded]) -> None:
        for event in events:
            if isinstance(event.event, TokenRevoked):
                self._revoked.add(event.event.token)
                for end in list(self._open.get(event.event.token, ())):
                    end()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            with suppress(LogUnavailable):
                await self._log.position()  # which tells what this node hasn't heard of
