"""
Tokens that are revoked while something is open: a connection outlives the request that its token came with.

The log says so, whichever node it was done on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from domain.access import TokenRevoked
from store.log import EventLog, Recorded

REASON = "The token was revoked"


class Revocations:
    def __init__(self, log: EventLog) -> None:
        self._revoked: set[UUID] = set()
        self._open: dict[UUID, dict[Callable[[], None], None]] = defaultdict(dict)
        log.watch(self._told, [TokenRevoked])

    @contextmanager
    def telling(self, token: UUID, end: Callable[[], None]) -> Iterator[None]:
        """Has *end* called, once, if *token* is revoked as long as this; at once if it was since it was looked up."""
        if token in self._revoked:
            end()
        self._open[token][end] = None
        try:
            yield
        finally:
            self._open[token].pop(end, None)
            if not self._open[token]:
                del self._open[token]

    def _told(self, events: Sequence[Recorded]) -> None:
        for event in events:
            if isinstance(event.event, TokenRevoked):
                self._revoked.add(event.event.token)
                for end in list(self._open.get(event.event.token, ())):
                    end()
