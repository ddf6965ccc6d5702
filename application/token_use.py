"""
The last uses of tokens, to the hour: an old token that nobody uses can be revoked.

They are beside the log, because a use is no change. A server writes one for each token and hour.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from store.cursors import Cursors
from store.log import LogUnavailable

HOUR = 3600
"""Precision of a last use, in seconds."""

FLUSH = 5.0
"""Time between two writes of uses, in seconds."""


class TokenUses:
    """The last uses of tokens, which all servers write and read."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors
        self._hour = 0
        self._seen: set[UUID] = set()
        self._unwritten: set[UUID] = set()

    def note(self, token: UUID) -> None:
        """Record that *token* is used now. Only the thread of the server calls it."""
        hour = int(time.time()) // HOUR
        if hour != self._hour:
            self._hour = hour
            self._seen.clear()
        if token not in self._seen:
            self._seen.add(token)
            self._unwritten.add(token)

    async def last(self, tokens: Sequence[UUID]) -> Mapping[UUID, int]:
        """Return the hours of the last uses of those of *tokens* that were used, in seconds since 1970."""
        found = await self._cursors.get([_row(each) for each in tokens])
        return {each: int(found[_row(each)]) for each in tokens if _row(each) in found}

    async def run(self) -> None:
        """Write new uses until cancelled."""
        while True:
            await asyncio.sleep(FLUSH)
            await self.flush()

    async def flush(self) -> None:
        """Write new uses; those that can't be written are written later."""
        while self._unwritten:
            token = next(iter(self._unwritten))
            try:
                await self._cursors.put(_row(token), b"%d" % (self._hour * HOUR))
            except LogUnavailable:
                return
            self._unwritten.discard(token)


def _row(token: UUID) -> str:
    return f"token/{token.hex}"
