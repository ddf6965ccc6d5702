"""
Access: the tokens, and the roles of tokens and actors. The log keeps a hash of each token, never the token itself.

A token has roles of its own from its issue on. If it follows an actor, it has only those of them that this actor holds
at the time. That is the actor who uses it, or the one who issued it.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NewType, assert_never, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.decider import Decider
from domain.errors import InvalidArgument, RoleNotFound, TokenNotFound
from domain.role import ALL, MAX_GRANTS, Grant, Place, Role, Roles, forbidden, has, meet, merged, role_at

TokenId = NewType("TokenId", UUID)

ACCESS = uuid5(NAMESPACE_URL, "stageline:access")
"""The stream of all tokens, and of the roles of actors."""

ADMIN = "admin"
"""The actor of a server's first token."""

SERVER = "server"
ENGINE = "engine"

RESERVED = frozenset({SERVER, ENGINE})
"""Actors that Stageline itself records changes as: no token is issued for them, and they hold no roles."""

HASH = re.compile("[0-9a-f]{64}")
"""A SHA-256 in hexadecimal digits."""


class TokenIssued(Struct, frozen=True, kw_only=True):
    """A token was issued for *actor*; *hash* is the token's SHA-256 in hexadecimal.

    *actor* is a stable identifier, never a person's name or address, because the log keeps it for ever. The token is
    valid until *expires_at*, or until it is revoked. It is an admin's of everything, unless `TokenRestricted` follows.
    *issuer* is the token that issued it; None for the server's own tokens, and those of old logs.
    """

    token: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None
    issuer: TokenId | None = None


class TokenRestricted(Struct, frozen=True, kw_only=True):
    """The token that was just issued has only these *roles*; if it *follows_actor*, only those its actor holds, too.

    Then *follows* is another actor who must hold them instead: the one whose token issued it.
    It is recorded together with `TokenIssued`. A server without roles does not know this event and refuses all tokens.
    It would ignore a new field of `TokenIssued`, and treat the token as an admin's.
    """

    token: TokenId
    roles: Roles
    follows_actor: bool = False
    follows: str | None = None


class TokenRevoked(Struct, frozen=True, kw_only=True):
    token: TokenId


class RoleGranted(Struct, frozen=True, kw_only=True):
    """*actor* holds *role* at *place*, instead of another role there."""

    actor: str
    role: Role
    place: Place


class RoleRevoked(Struct, frozen=True, kw_only=True):
    """*actor* no longer holds a role at *place*."""

    actor: str
    place: Place


AccessEvent = TokenIssued | TokenRestricted | TokenRevoked | RoleGranted | RoleRevoked


class FederatedActor(Struct, frozen=True, kw_only=True):
    """An actor without a token, for whom an identity provider vouches until *expires_at*; *roles* are from claims.

    *id* stands for its token: the tokens that it issues can be revoked by it.
    """

    id: TokenId
    actor: str
    roles: Roles
    expires_at: datetime | None
    follows: None = None


Asker = TokenId | FederatedActor
"""The token, or the actor without one, that asks for a change."""


class IssueToken(Struct, frozen=True, kw_only=True):
    """Issue a token; *issuer* asks for it, None for the server's own tokens, which nothing limits.

    Without *roles* the new token has those of its issuer, or, for another actor, follows the roles of that actor.
    """

    token: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None
    roles: Roles | None = None
    issuer: Asker | None = None


class RevokeToken(Struct, frozen=True, kw_only=True):
    """Revoke a token; *revoker* asks for it, None for the server itself.

    Those *with_issued* are revoked, too: the tokens that it issued, those that they issued, and so on. Then the token
    itself may be revoked already.
    """

    token: TokenId
    revoker: Asker | None = None
    with_issued: bool = False


class GrantRole(Struct, frozen=True, kw_only=True):
    """Grant a role to an actor; *granter* asks for it."""

    actor: str
    role: Role
    place: Place
    granter: Asker


class RevokeRole(Struct, frozen=True, kw_only=True):
    """Revoke an actor's role at a place; *revoker* asks for it."""

    actor: str
    place: Place
    revoker: Asker


AccessCommand = IssueToken | RevokeToken | GrantRole | RevokeRole


class Token(Struct, frozen=True, kw_only=True):
    id: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None
    roles: Roles = ALL
    follows: str | None = None


class Holder(Struct, frozen=True, kw_only=True):
    """An actor who holds roles."""

    actor: str
    roles: Roles


class Access(Struct, frozen=True, kw_only=True):
    """The tokens that are not revoked, the hashes of the revoked ones, and the actors who hold roles.

    *issuers* are the tokens that issued others, by the ids of those, also of revoked ones.
    """

    tokens: tuple[Token, ...] = ()
    revoked: frozenset[str] = frozenset()
    holders: tuple[Holder, ...] = ()
    issuers: tuple[tuple[TokenId, TokenId], ...] = ()

    def token(self, id_: TokenId) -> Token:
        """Return the token with that id; raises `TokenNotFound`."""
        for known in self.tokens:
            if known.id == id_:
                return known
        raise TokenNotFound(token=str(id_))

    @property
    def actors(self) -> frozenset[str]:
        """The actors who have a token or hold a role."""
        return frozenset([token.actor for token in self.tokens] + [holder.actor for holder in self.holders])

    def held(self, actor: str) -> Roles:
        """Return the roles that an actor holds, apart from its tokens."""
        return next((holder.roles for holder in self.holders if holder.actor == actor), ())

    def asker(self, asker: Asker) -> Token | FederatedActor:
        """Return the token of *asker*, or the actor without one; raises `TokenNotFound`."""
        return asker if isinstance(asker, FederatedActor) else self.token(asker)

    def roles(self, of: Token | FederatedActor) -> Roles:
        """Return the roles that a token, or an actor without one, has now."""
        return of.roles if of.follows is None else meet(of.roles, self.held(of.follows))

    def issued_by(self, issuer: TokenId) -> list[Token]:
        """Return the valid tokens that a token issued, those that these issued, and so on."""
        line = {issuer}
        for token, its_issuer in self.issuers:  # in the order of their issue
            if its_issuer in line:
                line.add(token)
        return [token for token in self.tokens if token.id in line and token.id != issuer]


def decide(state: Access, command: AccessCommand) -> list[AccessEvent]:
    match command:
        case IssueToken():
            return _issue(state, command)
        case RevokeToken():
            return _revoke(state, command)
        case GrantRole(actor=actor, role=role, place=place, granter=granter):
            who = _checked_actor(actor)
            _check_admin(state, granter, place)
            held = state.held(who)
            if Grant(role=role, place=place) in held:
                return []
            if len(held) >= MAX_GRANTS and all(grant.place != place for grant in held):
                raise InvalidArgument(argument="actor", why=f"it holds {MAX_GRANTS} roles, and more are not allowed")
            return [RoleGranted(actor=who, role=role, place=place)]
        case RevokeRole(actor=actor, place=place, revoker=revoker):
            _check_admin(state, revoker, place)
            if all(grant.place != place for grant in state.held(actor)):
                raise RoleNotFound(actor=actor, place=place.words)
            return [RoleRevoked(actor=actor, place=place)]
        case _:
            assert_never(command)


def _issue(state: Access, command: IssueToken) -> list[AccessEvent]:
    if any(known.id == command.token for known in state.tokens):
        return []
    if HASH.fullmatch(command.hash) is None:
        why = "it must have 64 hexadecimal digits, in lower case: the token's SHA-256"
        raise InvalidArgument(argument="hash", why=why)
    if command.hash in state.revoked or any(known.hash == command.hash for known in state.tokens):
        raise InvalidArgument(argument="hash", why="another token already has it")
    name, actor = names.checked(command.name), _checked_actor(command.actor)
    roles, follows = _granted(state, command, actor)
    issued = TokenIssued(
        token=command.token,
        name=name,
        actor=actor,
        hash=command.hash,
        expires_at=command.expires_at,
        issuer=command.issuer.id if isinstance(command.issuer, FederatedActor) else command.issuer,
    )
    if roles == ALL and follows is None:
        return [issued]
    other = None if follows == actor else follows
    follows_actor = follows is not None
    return [issued, TokenRestricted(token=command.token, roles=roles, follows_actor=follows_actor, follows=other)]


def _checked_actor(actor: str) -> str:
    """Return the id of an actor; raises `InvalidName`, and `InvalidArgument` for one of Stageline's own."""
    who = names.checked_actor(actor)
    if names.key(who) in RESERVED:
        raise InvalidArgument(argument="actor", why=f"{who!r} is reserved for Stageline itself; choose another")
    return who


def _granted(state: Access, command: IssueToken, actor: str) -> tuple[Roles, str | None]:
    """Return the roles of a new token, and the actor that it follows, if any.

    Raises `InvalidArgument` or `Forbidden` for what the issuer may not grant: another's name, more rights than its own
    token has, or more time.
    """
    roles = None if command.roles is None else _checked_roles(command.roles)
    if command.issuer is None:
        return ALL if roles is None else roles, None
    issuer = state.asker(command.issuer)
    own = state.roles(issuer)
    if actor != issuer.actor and not has(own, Role.ADMIN):
        why = f"your token is for {issuer.actor!r}, and only an admin of everything issues tokens for others"
        raise InvalidArgument(argument="actor", why=f"{why}; leave it out")
    _check_expiry(issuer, command.expires_at)
    for grant in roles or ():
        _check_covered(own, grant)
    if actor == issuer.actor:
        return issuer.roles if roles is None else roles, issuer.follows
    return (ALL, actor) if roles is None else (roles, issuer.follows)


def _checked_roles(roles: Roles) -> Roles:
    if not 1 <= len(roles) <= MAX_GRANTS:
        why = f"{len(roles):,} are given; 1 to {MAX_GRANTS} are allowed, or none at all"
        raise InvalidArgument(argument="roles", why=why)
    return merged(roles)


def _check_expiry(issuer: Token | FederatedActor, expires_at: datetime | None) -> None:
    """Raise `InvalidArgument` for a token that would outlive its issuer."""
    if issuer.expires_at is not None and (expires_at is None or expires_at > issuer.expires_at):
        latest = issuer.expires_at.isoformat(timespec="microseconds")
        raise InvalidArgument(
            argument="expiresAt", why=f"your own token expires at {latest}; choose that time or an earlier one"
        )


def _check_covered(own: Roles, grant: Grant) -> None:
    """Raise `Forbidden` for a role that *own* do not include."""
    found = role_at(own, grant.place)
    if found is None or not found.includes(grant.role):
        raise forbidden(grant.role, grant.place.words, found)


def _check_admin(state: Access, asker: Asker, place: Place) -> None:
    """Raise `Forbidden` unless *asker* is an admin at *place*: nobody grants or revokes more than they have."""
    _check_covered(state.roles(state.asker(asker)), Grant(role=Role.ADMIN, place=place))


def _revoke(state: Access, command: RevokeToken) -> list[AccessEvent]:
    """Revoke tokens of the same actor that have no more roles, or any as an admin of everything."""
    due = [token for token in state.tokens if token.id == command.token]
    if command.with_issued:
        due += state.issued_by(command.token)
    revoker = None if command.revoker is None else state.asker(command.revoker)
    own = ALL if revoker is None else state.roles(revoker)
    if revoker is not None and not has(own, Role.ADMIN):
        due = [token for token in due if token.actor == revoker.actor]  # the list has no others
        for grant in [grant for token in due for grant in state.roles(token)]:
            _check_covered(own, grant)
    if not due:
        raise TokenNotFound(token=str(command.token))
    return [TokenRevoked(token=token.id) for token in due]


def evolve(state: Access, event: AccessEvent) -> Access:
    return fold(state, (event,))


def fold(access: Access, events: Iterable[AccessEvent]) -> Access:
    tokens, revoked = {token.id.int: token for token in access.tokens}, set(access.revoked)
    issuers = list(access.issuers)
    held = {holder.actor: {grant.place: grant for grant in holder.roles} for holder in access.holders}
    for event in events:
        match event:
            case TokenIssued(token=token, name=name, actor=actor, hash=digest, expires_at=expires_at, issuer=issuer):
                tokens[token.int] = Token(id=token, name=name, actor=actor, hash=digest, expires_at=expires_at)
                if issuer is not None:
                    issuers.append((token, issuer))
            case TokenRestricted(token=token, roles=roles, follows_actor=follows_actor, follows=follows):
                if known := tokens.get(token.int):
                    followed = (follows or known.actor) if follows_actor else None
                    tokens[token.int] = replace(known, roles=roles, follows=followed)
            case TokenRevoked(token=token):
                if gone := tokens.pop(token.int, None):
                    revoked.add(gone.hash)
            case RoleGranted(actor=actor, role=role, place=place):
                held.setdefault(actor, {})[place] = Grant(role=role, place=place)
            case RoleRevoked(actor=actor, place=place):
                held.get(actor, {}).pop(place, None)
            case _:
                assert_never(event)
    holders = tuple(Holder(actor=actor, roles=tuple(own.values())) for actor, own in held.items() if own)
    return Access(tokens=tuple(tokens.values()), revoked=frozenset(revoked), holders=holders, issuers=tuple(issuers))


decider = Decider("access", Access(), decide, evolve, get_args(AccessEvent), fold)
