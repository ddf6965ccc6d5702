from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain import access
from domain.access import AccessEvent, IssueToken, RevokeToken, Token, TokenId, TokenIssued, TokenRevoked
from domain.errors import InvalidArgument, InvalidName, TokenNotFound
from tests.domain.given import Given

given = Given(access.decider)

LAPTOP, ROBOT = TokenId(UUID(int=1)), TokenId(UUID(int=2))
issued = TokenIssued(token=LAPTOP, name="laptop", actor="ada", hash="5e88")
revoked = TokenRevoked(token=LAPTOP)


def test_an_issued_token_is_good() -> None:
    state = given().when(IssueToken(token=LAPTOP, name=" laptop ", actor="ada", hash="5e88")).then(issued)
    assert state.tokens == (Token(id=LAPTOP, name="laptop", actor="ada", hash="5e88"),)


def test_a_token_that_was_issued_already_is_not_issued_twice() -> None:
    given(issued).when(IssueToken(token=LAPTOP, name="laptop", actor="ada", hash="5e88")).then()


def test_tokens_may_share_a_name() -> None:
    given(issued).when(IssueToken(token=ROBOT, name="laptop", actor="bot", hash="9f86")).then(
        TokenIssued(token=ROBOT, name="laptop", actor="bot", hash="9f86")
    )


def test_a_token_needs_a_name() -> None:
    given().when(IssueToken(token=LAPTOP, name=" ", actor="ada", hash="5e88")).refused(
        InvalidName(name="", why="it is empty")
    )


def test_a_revoked_token_is_good_no_more_and_the_others_are() -> None:
    other = TokenIssued(token=ROBOT, name="robot", actor="bot", hash="9f86")
    state = given(issued, other).when(RevokeToken(token=LAPTOP)).then(revoked)
    assert [token.id for token in state.tokens] == [ROBOT]
    assert state.revoked == {"5e88"}


def test_a_token_that_is_not_there_cannot_be_revoked() -> None:
    given(issued).when(RevokeToken(token=ROBOT)).refused(TokenNotFound(token=str(ROBOT)))


def test_a_token_cannot_be_revoked_twice() -> None:
    given(issued, revoked).when(RevokeToken(token=LAPTOP)).refused(TokenNotFound(token=str(LAPTOP)))


@pytest.mark.parametrize("history", [[issued], [issued, revoked]])
def test_no_token_is_issued_with_the_hash_of_another(history: list[AccessEvent]) -> None:
    """Nor of one that was revoked: whoever has that stays out."""
    given(*history).when(IssueToken(token=ROBOT, name="robot", actor="bot", hash="5e88")).refused(
        InvalidArgument(argument="hash", why="another token already has it")
    )


def test_a_token_expires_when_it_was_said() -> None:
    expiring = TokenIssued(
        token=ROBOT, name="robot", actor="bot", hash="9f86", expires_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    command = IssueToken(token=ROBOT, name="robot", actor="bot", hash="9f86", expires_at=expiring.expires_at)
    state = given().when(command).then(expiring)
    assert [token.expires_at for token in state.tokens] == [expiring.expires_at]
