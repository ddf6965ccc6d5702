from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain import session
from domain.session import (
    LINK,
    LONGEST,
    EndSession,
    LinkId,
    LinkUsed,
    SessionEnded,
    SessionId,
    UseLink,
)
from tests.domain.given import Given

given = Given(session.decider)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LAPTOP, PHONE = SessionId(UUID(int=1)), SessionId(UUID(int=2))
ended = SessionEnded(session=LAPTOP, expires_at=NOON)


def test_a_session_ends_once() -> None:
    state = given().when(EndSession(session=LAPTOP, expires_at=NOON)).then(ended)
    assert LAPTOP in state.ended
    given(ended).when(EndSession(session=LAPTOP, expires_at=NOON)).then()


def test_another_session_goes_on() -> None:
    state = (
        given(ended).when(EndSession(session=PHONE, expires_at=NOON)).then(SessionEnded(session=PHONE, expires_at=NOON))
    )
    assert state.ended.keys() == {LAPTOP, PHONE}


def test_what_must_have_expired_by_itself_is_no_longer_remembered() -> None:
    """A session ends LONGEST before its expiry at the earliest; what had expired by then has for good."""
    instant = timedelta(microseconds=1)
    just = SessionEnded(session=PHONE, expires_at=NOON + LONGEST - instant)
    assert given(ended, just).state.ended.keys() == {LAPTOP, PHONE}
    later = SessionEnded(session=PHONE, expires_at=NOON + LONGEST)
    assert given(ended, later).state.ended.keys() == {PHONE}


def test_a_link_is_used_once() -> None:
    link = LinkId(UUID(int=3))
    used = LinkUsed(link=link, expires_at=NOON)
    state = given(ended).when(UseLink(link=link, expires_at=NOON)).then(used)
    assert state.links.keys() == {link}
    assert state.ended.keys() == {LAPTOP}
    given(used).when(UseLink(link=link, expires_at=NOON)).then()


def test_a_used_link_is_remembered_until_it_must_have_expired() -> None:
    instant = timedelta(microseconds=1)
    first, second = LinkId(UUID(int=3)), LinkId(UUID(int=4))
    used = LinkUsed(link=first, expires_at=NOON)
    just = LinkUsed(link=second, expires_at=NOON + LINK - instant)
    assert given(used, just).state.links.keys() == {first, second}
    later = LinkUsed(link=second, expires_at=NOON + LINK)
    assert given(used, later).state.links.keys() == {second}
