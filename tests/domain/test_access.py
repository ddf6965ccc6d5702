from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain import access
from domain.access import (
    AccessEvent,
    GrantRole,
    IssueToken,
    RevokeRole,
    RevokeToken,
    RoleGranted,
    RoleRevoked,
    Token,
    TokenId,
    TokenIssued,
    TokenRestricted,
    TokenRevoked,
)
from domain.errors import Forbidden, InvalidArgument, InvalidName, RoleNotFound, TokenNotFound
from domain.project import EnvironmentId, ProjectId
from domain.role import ALL, EVERYTHING, MAX_GRANTS, Grant, Place, Role, Roles, has
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
OWN = TokenId(UUID(int=9))
TOO_LATE = InvalidArgument(
    argument="expiresAt",
    why="your own token expires at 2026-01-02T12:00:00.000000+00:00; choose that time or an earlier one",
)
SHOP, BLOG = (ProjectId(UUID(int=number)) for number in (11, 12))
PROD, STAGING = (Place(project=SHOP, environment=EnvironmentId(UUID(int=number))) for number in (21, 22))
IN_SHOP, IN_BLOG = Place(project=SHOP), Place(project=BLOG)
NOT_YOURS = InvalidArgument(
    argument="actor",
    why="your token is for 'ada', and only an admin of everything issues tokens for others; leave it out",
)


def own(
    roles: Roles = ALL, actor: str = "ada", expires_at: datetime | None = None, *, follows_actor: bool = False
) -> list[AccessEvent]:
    """The events that issued the token OWN, which asks."""
    made = TokenIssued(token=OWN, name="own", actor=actor, hash=OTHER_HASH, expires_at=expires_at)
    return [made, TokenRestricted(token=OWN, roles=roles, follows_actor=follows_actor)]


def issue(actor: str = "ada", roles: Roles | None = None, expires_at: datetime | None = None) -> IssueToken:
    return IssueToken(token=ROBOT, name="ci", actor=actor, hash=HASH, expires_at=expires_at, roles=roles, issuer=OWN)


def ci(actor: str = "ada", expires_at: datetime | None = None) -> TokenIssued:
    return TokenIssued(token=ROBOT, name="ci", actor=actor, hash=HASH, expires_at=expires_at, issuer=OWN)


def restricted(roles: Roles, *, follows_actor: bool = False, follows: str | None = None) -> TokenRestricted:
    return TokenRestricted(token=ROBOT, roles=roles, follows_actor=follows_actor, follows=follows)


def one(role: Role, place: Place = EVERYTHING) -> Roles:
    return (Grant(role=role, place=place),)


@pytest.mark.parametrize("expires_at", [None, NOON + timedelta(microseconds=1)])
def test_a_token_can_not_outlive_the_one_that_issues_it(expires_at: datetime | None) -> None:
    given(*own(expires_at=NOON)).when(issue(expires_at=expires_at)).refused(TOO_LATE)


def test_a_token_may_last_as_long_as_the_one_that_issues_it() -> None:
    given(*own(expires_at=NOON)).when(issue(expires_at=NOON)).then(ci(expires_at=NOON))
    given(*own()).when(issue()).then(ci())


@pytest.mark.parametrize("actor", ["server", "engine", "Server", " ENGINE ", "ser\u200bver", "\uff53erver"])
def test_no_token_is_issued_for_stageline_itself_and_it_holds_no_role(actor: str) -> None:
    reserved = InvalidArgument(
        argument="actor", why=f"{actor.strip()!r} is reserved for Stageline itself; choose another"
    )
    given(*own()).when(issue(actor)).refused(reserved)
    given().when(IssueToken(token=ROBOT, name="ci", actor=actor, hash=HASH)).refused(reserved)
    given(*own()).when(GrantRole(actor=actor, role=Role.VIEWER, place=EVERYTHING, granter=OWN)).refused(reserved)


def test_only_an_admin_of_everything_issues_tokens_for_other_actors() -> None:
    for actor in ("admin", "robot", "Ada"):
        given(*own(one(Role.EDITOR))).when(issue(actor, one(Role.VIEWER))).refused(NOT_YOURS)
        given(*own(one(Role.ADMIN, IN_SHOP))).when(issue(actor, one(Role.VIEWER, IN_SHOP))).refused(NOT_YOURS)
        given(*own()).when(issue(actor, one(Role.VIEWER))).then(ci(actor), restricted(one(Role.VIEWER)))


def test_the_tokens_of_old_logs_are_those_of_admins() -> None:
    state = given(issued).when(IssueToken(token=LAPTOP, name="laptop", actor="ada", hash=HASH)).then()
    assert state.roles(state.token(LAPTOP)) == ALL


@pytest.mark.parametrize(
    ("mine", "wanted"),
    [
        (one(Role.VIEWER), one(Role.DEPLOYER)),
        (one(Role.EDITOR), one(Role.ADMIN, PROD)),
        (one(Role.ADMIN, IN_SHOP), one(Role.VIEWER)),
        (one(Role.ADMIN, IN_SHOP), one(Role.VIEWER, IN_BLOG)),
        (one(Role.ADMIN, PROD), one(Role.VIEWER, STAGING)),
        (one(Role.ADMIN, PROD), one(Role.VIEWER, IN_SHOP)),
        ((), one(Role.VIEWER)),
    ],
)
def test_a_token_grants_no_more_than_the_one_that_issues_it(mine: Roles, wanted: Roles) -> None:
    with pytest.raises(
        Forbidden, match=r"^This needs the role \w+ (for|on) .*, and you (are \w+|have no role there)\.$"
    ):
        given(*own(mine)).when(issue(roles=wanted)).then()


@pytest.mark.parametrize(
    ("mine", "wanted"),
    [
        (ALL, one(Role.DEPLOYER, PROD)),
        (one(Role.EDITOR, IN_SHOP), (Grant(role=Role.EDITOR, place=PROD), Grant(role=Role.VIEWER, place=STAGING))),
        (one(Role.DEPLOYER, PROD), one(Role.DEPLOYER, PROD)),
    ],
)
def test_a_token_grants_as_much_as_the_one_that_issues_it(mine: Roles, wanted: Roles) -> None:
    given(*own(mine)).when(issue(roles=wanted)).then(ci(), restricted(wanted))


def test_a_token_without_roles_of_its_own_has_those_of_the_one_that_issues_it() -> None:
    given(*own(one(Role.EDITOR, PROD))).when(issue()).then(ci(), restricted(one(Role.EDITOR, PROD)))
    given(*own(ALL, follows_actor=True)).when(issue()).then(ci(), restricted(ALL, follows_actor=True))


def test_a_token_for_another_actor_follows_the_roles_of_that_actor() -> None:
    state = given(*own()).when(issue("bob")).then(ci("bob"), restricted(ALL, follows_actor=True))
    assert state.roles(state.token(ROBOT)) == ()
    state = access.evolve(state, RoleGranted(actor="bob", role=Role.EDITOR, place=IN_SHOP))
    assert state.roles(state.token(ROBOT)) == one(Role.EDITOR, IN_SHOP)
    state = access.evolve(state, RoleRevoked(actor="bob", place=IN_SHOP))
    assert state.roles(state.token(ROBOT)) == ()


def test_a_token_that_a_following_one_issued_loses_its_roles_with_the_actor() -> None:
    held = RoleGranted(actor="ada", role=Role.EDITOR, place=IN_SHOP)
    command = issue(roles=one(Role.DEPLOYER, PROD))
    made = [ci(), restricted(one(Role.DEPLOYER, PROD), follows_actor=True)]
    state = given(*own(follows_actor=True), held).when(command).then(*made)
    assert state.roles(state.token(ROBOT)) == one(Role.DEPLOYER, PROD)
    state = access.evolve(state, RoleGranted(actor="ada", role=Role.VIEWER, place=IN_SHOP))
    assert state.roles(state.token(ROBOT)) == one(Role.VIEWER, PROD)


def test_a_token_for_another_actor_loses_its_roles_with_the_actor_who_issued_it() -> None:
    admin = RoleGranted(actor="ada", role=Role.ADMIN, place=EVERYTHING)
    made = [ci("bob"), restricted(one(Role.EDITOR), follows_actor=True, follows="ada")]
    state = given(*own(follows_actor=True), admin).when(issue("bob", one(Role.EDITOR))).then(*made)
    assert state.roles(state.token(ROBOT)) == one(Role.EDITOR)
    more = IssueToken(token=LAPTOP, name="more", actor="bob", hash="a" * 64, issuer=ROBOT)
    state = access.fold(state, access.decide(state, more))
    state = access.evolve(state, RoleGranted(actor="ada", role=Role.VIEWER, place=EVERYTHING))
    assert state.roles(state.token(ROBOT)) == state.roles(state.token(LAPTOP)) == one(Role.VIEWER)
    state = access.fold(state, access.decide(state, RevokeToken(token=OWN)))
    assert state.roles(state.token(ROBOT)) == one(Role.VIEWER), "its issuer is gone, and its limit is not"


def test_a_token_is_revoked_with_all_that_it_issued() -> None:
    line = [*own(), ci("bob"), TokenIssued(token=LAPTOP, name="more", actor="bob", hash="a" * 64, issuer=ROBOT)]
    other = TokenIssued(token=TokenId(UUID(int=99)), name="other", actor="bob", hash="b" * 64)
    whole = RevokeToken(token=OWN, with_issued=True)
    gone = [TokenRevoked(token=each) for each in (OWN, ROBOT, LAPTOP)]
    state = given(*line, other).when(whole).then(*gone)
    assert [token.name for token in state.tokens] == ["other"]
    given(*line, other).when(RevokeToken(token=OWN)).then(gone[0])
    given(*line, *gone[:2]).when(whole).then(gone[2])
    given(*line, *gone).when(whole).refused(TokenNotFound(token=str(OWN)))


def test_a_token_revokes_what_another_issued_only_within_its_roles() -> None:
    mine = own(one(Role.DEPLOYER, IN_SHOP))
    robot = TokenIssued(token=ROBOT, name="robot", actor="ada", hash=HASH)
    command = RevokeToken(token=ROBOT, revoker=OWN, with_issued=True)
    child = TokenIssued(token=LAPTOP, name="child", actor="ada", hash="a" * 64, issuer=ROBOT)
    with pytest.raises(Forbidden):
        given(*mine, robot, restricted(one(Role.VIEWER, PROD)), child).when(command).then()
    others = TokenIssued(token=LAPTOP, name="child", actor="bob", hash="a" * 64, issuer=ROBOT)
    both = [*mine, robot, restricted(one(Role.VIEWER, PROD)), others]
    given(*both).when(command).then(TokenRevoked(token=ROBOT))


@pytest.mark.parametrize("count", [0, MAX_GRANTS + 1])
def test_a_token_has_1_to_100_roles(count: int) -> None:
    roles = tuple(Grant(role=Role.VIEWER, place=Place(project=ProjectId(UUID(int=number)))) for number in range(count))
    why = f"{count} are given; 1 to 100 are allowed, or none at all"
    given(*own()).when(issue(roles=roles)).refused(InvalidArgument(argument="roles", why=why))


def grant(role: Role, place: Place, actor: str = "bob") -> GrantRole:
    return GrantRole(actor=actor, role=role, place=place, granter=OWN)


def test_an_admin_grants_and_revokes_roles() -> None:
    editor = RoleGranted(actor="bob", role=Role.EDITOR, place=IN_SHOP)
    viewer = RoleGranted(actor="bob", role=Role.VIEWER, place=IN_SHOP)
    state = given(*own()).when(grant(Role.EDITOR, IN_SHOP)).then(editor)
    assert state.held("bob") == one(Role.EDITOR, IN_SHOP)
    state = given(*own(), editor).when(grant(Role.VIEWER, IN_SHOP)).then(viewer)
    assert state.held("bob") == one(Role.VIEWER, IN_SHOP)
    given(*own(), editor).when(grant(Role.EDITOR, IN_SHOP)).then()
    gone = RoleRevoked(actor="bob", place=IN_SHOP)
    state = given(*own(), editor).when(RevokeRole(actor="bob", place=IN_SHOP, revoker=OWN)).then(gone)
    assert state.holders == ()


def test_a_role_that_an_actor_does_not_hold_cannot_be_revoked() -> None:
    missing = RoleNotFound(actor="bob", place=IN_SHOP.words)
    given(*own()).when(RevokeRole(actor="bob", place=IN_SHOP, revoker=OWN)).refused(missing)


@pytest.mark.parametrize("place", [EVERYTHING, IN_BLOG, STAGING, IN_SHOP])
def test_an_admin_of_a_place_grants_and_revokes_roles_for_no_other_one(place: Place) -> None:
    held = RoleGranted(actor="bob", role=Role.VIEWER, place=place)
    for command in (grant(Role.VIEWER, place), RevokeRole(actor="bob", place=place, revoker=OWN)):
        with pytest.raises(Forbidden):
            given(*own(one(Role.ADMIN, PROD)), held).when(command).then()
    given(*own(one(Role.ADMIN, PROD))).when(grant(Role.ADMIN, PROD)).then(
        RoleGranted(actor="bob", role=Role.ADMIN, place=PROD)
    )


def test_an_editor_grants_nothing() -> None:
    with pytest.raises(Forbidden):
        given(*own(one(Role.EDITOR))).when(grant(Role.VIEWER, PROD)).then()


def test_a_token_revokes_those_of_its_actor_that_have_no_more_roles() -> None:
    robot = TokenIssued(token=ROBOT, name="robot", actor="ada", hash=HASH)
    command = RevokeToken(token=ROBOT, revoker=OWN)
    mine = own(one(Role.DEPLOYER, IN_SHOP))
    given(*mine, robot, restricted(one(Role.VIEWER, PROD))).when(command).then(TokenRevoked(token=ROBOT))
    with pytest.raises(Forbidden):
        given(*mine, robot, restricted(one(Role.VIEWER))).when(command).then()
    others = TokenIssued(token=ROBOT, name="robot", actor="bob", hash=HASH)
    given(*mine, others, restricted(one(Role.VIEWER, PROD))).when(command).refused(TokenNotFound(token=str(ROBOT)))
    given(*own(), others).when(command).then(TokenRevoked(token=ROBOT))


def test_roles_hold_where_they_are_for() -> None:
    editor = one(Role.EDITOR, IN_SHOP)
    assert has(editor, Role.DEPLOYER, PROD)
    assert not has(editor, Role.ADMIN, PROD)
    assert not has(editor, Role.VIEWER, IN_BLOG)
    assert not has(editor, Role.VIEWER)


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
