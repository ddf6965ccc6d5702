"""
Tokens that are revoked, or expire, while something is open: a connection outlives the request its token came with.

Which ones are revoked the log says, whichever node it was done on.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from domain.access import TokenRevoked
from endpoint.identity import EXPIRED, REVOKED, Identity
from store.log import EventLog, Recorded

End = Callable[[str], None]
"""Is given why."""


class Revocations:
    def __init__(self, log: EventLog) -> None:
        self._revoked: set[UUID] = set()
        self._open: dict[UUID, dict[End, None]] = defaultdict(dict)
        log.watch(self._told, [TokenRevoked])

    @contextmanager
    def telling(self, identity: Identity, end: End) -> Iterator[None]:
        """Has *end* called when the token is revoked or expires as long as this; at once if it was already."""
        token, expiry = identity.token, None
        if token in self._revoked:
            end(REVOKED)
        if identity.expires_at is not None:
            left = (identity.expires_at - datetime.now(UTC)).total_seconds()
            expiry = asyncio.get_running_loop().call_later(max(0.0, left), end, EXPIRED)
        self._open[token][end] = None
        try:
            yield
        finally:
            if expiry is not None:
                expiry.cancel()
            self._open[token].pop(end, None)
            if not self._open[token]:
                del self._open[token]

    def _told(self, events: Sequence[Recorded]) -> None:
        for event in events:
            if isinstance(event.event, TokenRevoked):
                self._revoked.add(event.event.token)
                for end in list(self._open.get(event.event.token, ())):
                    end(REVOKED)
