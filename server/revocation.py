"""
Revocation of tokens and sessions while connections are open: a connection outlives the request that authenticated it.

The log says which tokens are revoked and which sessions are ended, on whichever node that was done. Expiry needs no
event.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from uuid import UUID

from domain.access import TokenRevoked
from domain.session import SessionEnded
from endpoint.identity import EXPIRED, REVOKED, SESSION_OVER, Identity
from store.log import EventLog, RecordedEvent

End = Callable[[str], None]
"""A function that ends a connection; it is called with the reason."""


class RevocationIndex:
    """The open connections by their tokens and sessions, and the ids that have ended."""

    def __init__(self, log: EventLog) -> None:
        self._ended: set[UUID] = set()  # tokens and sessions
        self._open: dict[UUID, dict[End, None]] = defaultdict(dict)
        log.watch(self._on_events, [TokenRevoked, SessionEnded])

    @contextmanager
    def notify(self, identity: Identity, end: End) -> Iterator[None]:
        """Call *end* when the token or session of *identity* ends or expires within the context, or already has."""
        session, expiry = identity.session, None
        if identity.ends_at is not None:
            left = (identity.ends_at - datetime.now(UTC)).total_seconds()
            why = EXPIRED if session is None else SESSION_OVER
            expiry = asyncio.get_running_loop().call_later(max(0.0, left), end, why)
        try:
            with ExitStack() as stack:
                stack.enter_context(self._ending(identity.token, end, REVOKED))
                if session is not None:
                    stack.enter_context(self._ending(session.id, end, SESSION_OVER))
                yield
        finally:
            if expiry is not None:
                expiry.cancel()

    @contextmanager
    def _ending(self, id_: UUID, end: End, why: str) -> Iterator[None]:
        if id_ in self._ended:
            end(why)
        self._open[id_][end] = None
        try:
            yield
        finally:
            self._open[id_].pop(end, None)
            if not self._open[id_]:
                del self._open[id_]

    def _on_events(self, events: Sequence[RecordedEvent]) -> None:
        for event in events:
            match event.event:
                case TokenRevoked(token=token):
                    self._end(token, REVOKED)
                case SessionEnded(session=session):
                    self._end(session, SESSION_OVER)

    def _end(self, id_: UUID, why: str) -> None:
        self._ended.add(id_)
        for end in list(self._open.get(id_, ())):
            end(why)
