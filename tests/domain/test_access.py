from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain import access
from domain.access import AccessEvent, Issuer, IssueToken, RevokeToken, Token, TokenId, TokenIssued, TokenRevoked
from domain.errors import InvalidArgument, InvalidName, TokenNotFound
from tests.domain.given import Given

given = Given(access.decider)

HASH, OTHER_HASH = "5e88" * 16, "9f86" * 16
LAPTOP, ROBOT = TokenId(UUID(int=1)), TokenId(UUID(int=2))
issued = TokenIssued(token=LAPTOP, name="laptop", actor="ada", hash=HASH)
revoked = TokenRevoked(token=LAPTOP)


def test_an_issued_token_is_good() -> None:
    state = given().when(IssueToken(token=LAPTOP, name=" laptop ", actor="ada", hash=HASH)).then(issued)
    assert state.tokens == (Token(id=LAPTOP, name="laptop", actor="ada", hash=HASH),)


def test_a_token_that_was_issued_already_is_not_issued_twice() -> None:
    given(issued).when(IssueToken(token=LAPTOP, name="laptop", actor="ada", hash=HASH)).then()


def test_tokens_may_share_a_name() -> None:
    given(issued).when(IssueToken(token=ROBOT, name="laptop", actor="bot", hash=OTHER_HASH)).then(
        TokenIssued(token=ROBOT, name="laptop", actor="bot", hash=OTHER_HASH)
    )


def test_a_token_needs_a_name() -> None:
    given().when(IssueToken(token=LAPTOP, name=" ", actor="ada", hash=HASH)).refused(
        InvalidName(name="", why="it is empty")
    )


def test_a_revoked_token_is_good_no_more_and_the_others_are() -> None:
    other = TokenIssued(token=ROBOT, name="robot", actor="bot", hash=OTHER_HASH)
    state = given(issued, other).when(RevokeToken(token=LAPTOP)).then(revoked)
    assert [token.id for token in state.tokens] == [ROBOT]
    assert state.revoked == {HASH}


def test_a_token_that_is_not_there_cannot_be_revoked() -> None:
    given(issued).when(RevokeToken(token=ROBOT)).refused(TokenNotFound(token=str(ROBOT)))


def test_a_token_cannot_be_revoked_twice() -> None:
    given(issued, revoked).when(RevokeToken(token=LAPTOP)).refused(TokenNotFound(token=str(LAPTOP)))


@pytest.mark.parametrize("history", [[issued], [issued, revoked]])
def test_no_token_is_issued_with_the_hash_of_another(history: list[AccessEvent]) -> None:
    """Nor of one that was revoked: whoever has that stays out."""
    given(*history).when(IssueToken(token=ROBOT, name="robot", actor="bot", hash=HASH)).refused(
        InvalidArgument(argument="hash", why="another token already has it")
    )


def test_a_token_expires_when_it_was_said() -> None:
    expiring = TokenIssued(
        token=ROBOT, name="robot", actor="bot", hash=OTHER_HASH, expires_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    command = IssueToken(token=ROBOT, name="robot", actor="bot", hash=OTHER_HASH, expires_at=expiring.expires_at)
    state = given().when(command).then(expiring)
    assert [token.expires_at for token in state.tokens] == [expiring.expires_at]


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VISITOR = Issuer(actor="ada", expires_at=NOON)
TOO_LATE = InvalidArgument(
    argument="expiresAt",
    why="your own token expires at 2026-01-02T12:00:00.000000+00:00; choose that time or an earlier one",
)


def not_yours(issuer: str) -> InvalidArgument:
    why = f"your token is for '{issuer}', and only 'admin' issues tokens for others; leave it out"
    return InvalidArgument(argument="actor", why=why)


def issue(actor: str = "ada", *, issuer: Issuer | None = VISITOR, expires_at: datetime | None = NOON) -> IssueToken:
    return IssueToken(token=ROBOT, name="ci", actor=actor, hash=HASH, expires_at=expires_at, issuer=issuer)


def ci(actor: str = "ada", expires_at: datetime | None = NOON) -> TokenIssued:
    return TokenIssued(token=ROBOT, name="ci", actor=actor, hash=HASH, expires_at=expires_at)


@pytest.mark.parametrize("expires_at", [None, NOON + timedelta(microseconds=1)])
def test_a_token_can_not_outlive_the_one_that_issues_it(expires_at: datetime | None) -> None:
    for issuer in (VISITOR, Issuer(actor="admin", expires_at=NOON)):
        given().when(issue(issuer=issuer, expires_at=expires_at)).refused(TOO_LATE)


def test_a_token_may_last_as_long_as_the_one_that_issues_it() -> None:
    given().when(issue()).then(ci())
    given().when(issue(issuer=Issuer(actor="ada"), expires_at=None)).then(ci(expires_at=None))


@pytest.mark.parametrize("actor", ["server", "engine", "Server", " ENGINE ", "ser\u200bver", "\uff53erver"])
@pytest.mark.parametrize("issuer", [None, Issuer(actor="admin"), VISITOR])
def test_no_token_is_issued_for_stageline_itself(actor: str, issuer: Issuer | None) -> None:
    given().when(issue(actor, issuer=issuer)).refused(
        InvalidArgument(argument="actor", why=f"{actor.strip()!r} is reserved for Stageline itself; choose another")
    )


def test_only_the_admin_issues_tokens_for_other_actors() -> None:
    admin = Issuer(actor="admin")
    for actor in ("admin", "robot", "Ada"):
        given().when(issue(actor)).refused(not_yours("ada"))
        given().when(issue(actor, issuer=admin)).then(ci(actor))
    impostor = Issuer(actor="Admin")
    given().when(issue("admin", issuer=impostor)).refused(not_yours("Admin"))


@pytest.mark.parametrize("wrong", ["", "5e88", "5E88" * 16, "5e88" * 16 + "\n", "g" * 64, "5e88" * 250_000])
def test_a_hash_has_64_hexadecimal_digits(wrong: str) -> None:
    given().when(IssueToken(token=ROBOT, name="ci", actor="ada", hash=wrong)).refused(
        InvalidArgument(argument="hash", why="it must have 64 hexadecimal digits, in lower case: the token's SHA-256")
    )


def test_what_was_issued_before_these_rules_stays_good() -> None:
    old = [
        TokenIssued(token=LAPTOP, name="x", actor="server", hash="5e88"),
        TokenIssued(token=ROBOT, name="y", actor="Engine", hash="9f86"),
    ]
    state = given(*old).when(RevokeToken(token=ROBOT)).then(TokenRevoked(token=ROBOT))
    assert [(token.actor, token.hash) for token in state.tokens] == [("server", "5e88")]
