"""Access tokens. The log keeps a hash of each token, never the token itself."""

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


class IssueToken(Struct, frozen=True, kw_only=True):
    token: TokenId
    name: str
    actor: str
    hash: str
    expires_at: datetime | None = None


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
        case IssueToken(token=token, name=name, actor=actor, hash=digest, expires_at=expires_at):
            if any(known.id == token for known in state.tokens):
                return []
            if digest in state.revoked or any(known.hash == digest for known in state.tokens):
                raise InvalidArgument(argument="hash", why="another token already has it")
            named, who = names.checked(name), names.checked(actor)
            return [TokenIssued(token=token, name=named, actor=who, hash=digest, expires_at=expires_at)]
        case RevokeToken(token=token):
            if all(known.id != token for known in state.tokens):
                raise TokenNotFound(token=str(token))
            return [TokenRevoked(token=token)]
        case _:
            assert_never(command)


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
