"""Access tokens. The log keeps a hash of each token, never the token itself."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NewType, assert_never, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from domain import name as names
from domain.decider import Decider
from domain.errors import InvalidArgument, TokenNotFound

TokenId = NewType("TokenId", UUID)

ACCESS = uuid5(NAMESPACE_URL, "stageline:access")
"""The stream of all tokens."""

ADMIN = "admin"
"""The actor of a server's first token. Only this actor issues tokens for others."""

SERVER = "server"
ENGINE = "engine"

RESERVED = frozenset({SERVER, ENGINE})
"""Actors that Stageline itself records changes as: no token is issued for them."""

HASH = re.compile("[0-9a-f]{64}")
"""A SHA-256 in hexadecimal digits."""


class TokenIssued(Struct, frozen=True, kw_only=True):
    """A token was issued for *actor*; *hash* is the token's SHA-256 in hexadecimal.

    *actor* is a stable identifier, never a person's name or address, because the log keeps it for ever. The token is
    valid until *expires_at*, or until it is revoked.
    """

    token: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None


class TokenRevoked(Struct, frozen=True, kw_only=True):
    token: TokenId


AccessEvent = TokenIssued | TokenRevoked


class Issuer(Struct, frozen=True, kw_only=True):
    """The *actor* who issues a token, by a token that is good until *expires_at*."""

    actor: str
    expires_at: datetime | None = None


class IssueToken(Struct, frozen=True, kw_only=True):
    """*issuer* is None for the server's own tokens, which nothing limits."""

    token: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None
    issuer: Issuer | None = None


class RevokeToken(Struct, frozen=True, kw_only=True):
    token: TokenId


AccessCommand = IssueToken | RevokeToken


class Token(Struct, frozen=True, kw_only=True):
    id: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None


class Access(Struct, frozen=True, kw_only=True):
    """The tokens that are not revoked, and the hashes of the revoked ones."""

    tokens: tuple[Token, ...] = ()
    revoked: frozenset[str] = frozenset()


def decide(state: Access, command: AccessCommand) -> list[AccessEvent]:
    match command:
        case IssueToken(token=token, name=name, actor=actor, hash=digest, expires_at=expires_at, issuer=issuer):
            if any(known.id == token for known in state.tokens):
                return []
            if HASH.fullmatch(digest) is None:
                why = "it must have 64 hexadecimal digits, in lower case: the token's SHA-256"
                raise InvalidArgument(argument="hash", why=why)
            if digest in state.revoked or any(known.hash == digest for known in state.tokens):
                raise InvalidArgument(argument="hash", why="another token already has it")
            named, who = names.checked(name), names.checked(actor)
            _check_grant(issuer, who, expires_at)
            return [TokenIssued(token=token, name=named, actor=who, hash=digest, expires_at=expires_at)]
        case RevokeToken(token=token):
            if all(known.id != token for known in state.tokens):
                raise TokenNotFound(token=str(token))
            return [TokenRevoked(token=token)]
        case _:
            assert_never(command)


def _check_grant(issuer: Issuer | None, actor: str, expires_at: datetime | None) -> None:
    """Raise `InvalidArgument` for what an issuer may not grant: another's name, or more time than its own token has."""
    if names.key(actor) in RESERVED:
        raise InvalidArgument(argument="actor", why=f"{actor!r} is reserved for Stageline itself; choose another")
    if issuer is None:
        return
    if actor != issuer.actor and issuer.actor != ADMIN:
        why = f"your token is for {issuer.actor!r}, and only {ADMIN!r} issues tokens for others; leave it out"
        raise InvalidArgument(argument="actor", why=why)
    if issuer.expires_at is not None and (expires_at is None or expires_at > issuer.expires_at):
        latest = issuer.expires_at.isoformat(timespec="microseconds")
        raise InvalidArgument(
            argument="expiresAt", why=f"your own token expires at {latest}; choose that time or an earlier one"
        )


def evolve(state: Access, event: AccessEvent) -> Access:
    return fold(state, (event,))


def fold(access: Access, events: Iterable[AccessEvent]) -> Access:
    tokens, revoked = {token.id.int: token for token in access.tokens}, set(access.revoked)
    for event in events:
        match event:
            case TokenIssued(token=token, name=name, actor=actor, hash=digest, expires_at=expires_at):
                tokens[token.int] = Token(id=token, name=name, actor=actor, hash=digest, expires_at=expires_at)
            case TokenRevoked(token=token):
                if gone := tokens.pop(token.int, None):
                    revoked.add(gone.hash)
            case _:
                assert_never(event)
    return Access(tokens=tuple(tokens.values()), revoked=frozenset(revoked))


decider = Decider("access", Access(), decide, evolve, get_args(AccessEvent), fold)
