"""
The end of open streams whose token is revoked or expires, whose session ends or expires, or whose token follows an
actor with new roles.

A stream outlives the authentication of its request. The log reports revocations by any node.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from uuid import UUID

from domain.access import RoleGranted, RoleRevoked, TokenRevoked
from domain.session import SessionEnded
from endpoint.identity import ASSERTION_EXPIRED, EXPIRED, REVOKED, ROLES_CHANGED, SESSION_OVER, Identity
from store.log import EventLog, RecordedEvent

End = Callable[[str], None]
"""End a stream for the given reason."""


class Revocations:
    """The tokens and sessions that have ended, the actors whose roles have changed, and the open streams."""

    def __init__(self, log: EventLog) -> None:
        self._over: set[UUID] = set()  # tokens and sessions
        self._changed: dict[str, int] = {}  # by actor: the version of the stream of tokens and roles
        self._open: dict[UUID | str, dict[End, None]] = defaultdict(dict)  # by token, session or actor
        log.watch(self._on_events, [TokenRevoked, SessionEnded, RoleGranted, RoleRevoked])

    @contextmanager
    def notify(self, identity: Identity, end: End) -> Iterator[None]:
        """Call *end* when the token or session ends or expires, or roles change, during the block; or before it."""
        session, expiry = identity.session, None
        if identity.ends_at is not None:
            left = (identity.ends_at - datetime.now(UTC)).total_seconds()
            reason = ASSERTION_EXPIRED if identity.assertion else EXPIRED
            reason = reason if session is None else SESSION_OVER
            expiry = asyncio.get_running_loop().call_later(max(0.0, left), end, reason)
        try:
            with ExitStack() as stack:
                if identity.follows is not None:
                    if self._changed.get(identity.follows, 0) > identity.version:
                        end(ROLES_CHANGED)
                    stack.enter_context(self._ending(identity.follows, end))
                stack.enter_context(self._ending(identity.token, end, REVOKED))
                if session is not None:
                    stack.enter_context(self._ending(session.id, end, SESSION_OVER))
                yield
        finally:
            if expiry is not None:
                expiry.cancel()

    @contextmanager
    def _ending(self, id_: UUID | str, end: End, reason: str = "") -> Iterator[None]:
        if id_ in self._over:
            end(reason)
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
                case RoleGranted(actor=actor) | RoleRevoked(actor=actor):
                    self._changed[actor] = event.version
                    self._call(actor, ROLES_CHANGED)

    def _end(self, id_: UUID, reason: str) -> None:
        self._over.add(id_)
        self._call(id_, reason)

    def _call(self, id_: UUID | str, reason: str) -> None:
        for end in list(self._open.get(id_, ())):
            end(reason)
