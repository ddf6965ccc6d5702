"""
Sessions of browsers that were ended before they expired, and the sign-in links that were used.

Sessions and links are signed statements that no server keeps (see `server.sessions`). Only the early end of a session
and the use of a link are facts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NewType, TypeVar, assert_never, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from domain.decider import Decider

SessionId = NewType("SessionId", UUID)
LinkId = NewType("LinkId", UUID)

Id = TypeVar("Id", SessionId, LinkId)

SESSIONS = uuid5(NAMESPACE_URL, "stageline:sessions")  # the one stream of sessions

LONGEST = timedelta(hours=12)
"""Maximum life of a session."""

LINK = timedelta(minutes=5)
"""Maximum life of a sign-in link."""


class SessionEnded(Struct, frozen=True, kw_only=True):
    """Somebody signed out of a session that would have expired at *expires_at*."""

    session: SessionId
    expires_at: datetime


class LinkUsed(Struct, frozen=True, kw_only=True):
    """Somebody opened a session with a sign-in link that would have expired at *expires_at*."""

    link: LinkId
    expires_at: datetime


SessionEvent = SessionEnded | LinkUsed


class EndSession(Struct, frozen=True, kw_only=True):
    session: SessionId
    expires_at: datetime


class UseLink(Struct, frozen=True, kw_only=True):
    link: LinkId
    expires_at: datetime


SessionCommand = EndSession | UseLink


class EndedSessions(Struct, frozen=True, kw_only=True):
    """The sessions that were ended early and the used links, by id, with when they expire.

    Those that have expired are dropped.
    """

    ended: dict[SessionId, datetime] = {}
    links: dict[LinkId, datetime] = {}


def decide(state: EndedSessions, command: SessionCommand) -> list[SessionEvent]:
    match command:
        case EndSession(session=session, expires_at=expires_at):
            return [] if session in state.ended else [SessionEnded(session=session, expires_at=expires_at)]
        case UseLink(link=link, expires_at=expires_at):
            return [] if link in state.links else [LinkUsed(link=link, expires_at=expires_at)]
        case _:
            assert_never(command)


def evolve(state: EndedSessions, event: SessionEvent) -> EndedSessions:
    return fold(state, (event,))


def fold(state: EndedSessions, events: Iterable[SessionEvent]) -> EndedSessions:
    ended, links = dict(state.ended), dict(state.links)
    for event in events:
        match event:
            case SessionEnded(session=session, expires_at=expires_at):
                ended[session] = expires_at
            case LinkUsed(link=link, expires_at=expires_at):
                links[link] = expires_at
            case _:
                assert_never(event)
    return EndedSessions(ended=_unexpired(ended, LONGEST), links=_unexpired(links, LINK))


def _unexpired(known: dict[Id, datetime], life: timedelta) -> dict[Id, datetime]:
    """Drop what must have expired.

    The one that expires last was recorded *life* before that at the earliest. Those that had expired then are over.
    """
    past = max(known.values()) - life if known else None
    return {each: expiry for each, expiry in known.items() if past is None or expiry > past}


decider = Decider("session", EndedSessions(), decide, evolve, get_args(SessionEvent), fold)
