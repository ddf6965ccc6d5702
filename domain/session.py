"""
Sessions of browsers that were ended before they expired.

A session itself is a signed statement that no server keeps (see `server.sessions`). Only its early end is a fact.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NewType, assert_never
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from domain.decider import Decider

SessionId = NewType("SessionId", UUID)

SESSIONS = uuid5(NAMESPACE_URL, "stageline:sessions")  # the one stream of sessions

LONGEST = timedelta(hours=12)
"""Maximum life of a session."""


class SessionEnded(Struct, frozen=True, kw_only=True):
    """Somebody signed out of a session that would have expired at *expires_at*."""

    session: SessionId
    expires_at: datetime


SessionEvent = SessionEnded


class EndSession(Struct, frozen=True, kw_only=True):
    session: SessionId
    expires_at: datetime


SessionCommand = EndSession


class EndedSessions(Struct, frozen=True, kw_only=True):
    """The sessions that were ended early, by id, with when they expire. Those that have expired are dropped."""

    ended: dict[SessionId, datetime] = {}


def decide(state: EndedSessions, command: SessionCommand) -> list[SessionEvent]:
    match command:
        case EndSession(session=session, expires_at=expires_at):
            return [] if session in state.ended else [SessionEnded(session=session, expires_at=expires_at)]
        case _:
            assert_never(command)


def evolve(state: EndedSessions, event: SessionEvent) -> EndedSessions:
    return fold(state, (event,))


def fold(state: EndedSessions, events: Iterable[SessionEvent]) -> EndedSessions:
    ended = dict(state.ended)
    for event in events:
        match event:
            case SessionEnded(session=session, expires_at=expires_at):
                ended[session] = expires_at
            case _:
                assert_never(event)
    # The one that expires last was ended LONGEST before that at the earliest: what had expired then is over by itself.
    past = max(ended.values()) - LONGEST if ended else None
    return EndedSessions(ended={each: expiry for each, expiry in ended.items() if past is None or expiry > past})


decider = Decider("session", EndedSessions(), decide, evolve, (SessionEnded,), fold)
