"""Tokens: with what somebody comes in, since when, and until when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import strawberry
from msgspec import Struct
from strawberry import ID

from domain.access import ACCESS, Access, Issuer, IssueToken, RevokeToken, TokenId, TokenIssued, TokenRevoked, decider
from domain.errors import InvalidArgument, TokenNotFound
from gql import cursor as cursors
from gql.connection import Connection, connection, cut, part
from gql.context import Context, Info
from gql.errors import Refusal
from gql.node import global_id, uuid_of
from gql.write import Write, mutation
from store import ids
from store.handle import Handled, Transaction
from store.log import Recorded

MOST_YEARS = 100
"""For which a token may be good: the last days there are can't be told in every time zone."""


@strawberry.type(description="With what an actor comes in. Only its hash is kept, and not even that is told.")
class Token:
    id: ID
    name: str
    actor: str = strawberry.field(description="Who comes in with it, by id.")
    issued_at: datetime = strawberry.field(description="When it was made.")
    issued_by: str = strawberry.field(description="Who made it, by id.")
    expires_at: datetime | None = strawberry.field(description="Until when it is good; null for as long as it stands.")
    revoked_at: datetime | None = strawberry.field(description="Since when nobody gets in with it; null for never.")
    revoked_by: str | None = strawberry.field(description="Who revoked it, by id; null if nobody did.")
    is_good: bool = strawberry.field(description="Whether it lets in just now: not revoked, and not expired.")
    version: int = strawberry.field(description="Counts the changes to all tokens; what expectedVersion speaks of.")
    cursor: str = strawberry.field(description="A place in the log at which the token is as shown here.")


TokenResult = Annotated[
    Token | Refusal,
    strawberry.union("TokenResult", description="The token as the change left it, or why there is no change."),
]


class Known(Struct):
    """What the log has of a token."""

    fact: TokenIssued
    issued: Recorded
    revoked: Recorded | None = None


def _known(events: Sequence[Recorded]) -> dict[UUID, Known]:
    """Every token by its id, in the order they were made."""
    known: dict[UUID, Known] = {}
    for recorded in events:
        match recorded.event:
            case TokenIssued(token=token) as fact:
                known[token] = Known(fact, recorded)
            case TokenRevoked(token=token):
                known[token].revoked = recorded
    return known


def _shown(context: Context, known: Known, version: int, position: int) -> Token:
    fact, revoked = known.fact, known.revoked
    has_expired = fact.expires_at is not None and fact.expires_at <= datetime.now(UTC)
    return Token(
        id=global_id("token", fact.token),
        name=fact.name,
        actor=fact.actor,
        issued_at=known.issued.recorded_at,
        issued_by=known.issued.by.actor,
        expires_at=fact.expires_at,
        revoked_at=None if revoked is None else revoked.recorded_at,
        revoked_by=None if revoked is None else revoked.by.actor,
        is_good=revoked is None and not has_expired,
        version=version,
        cursor=cursors.of_position(context.application.log.epoch, position),
    )


def _cursor(known: Known) -> str:
    return known.fact.token.hex


@strawberry.type
class Query:
    @strawberry.field(description="All tokens in the order they were made, also those that are good no more.")
    async def tokens(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Token]:
        log = info.context.application.log
        position, events = await log.position(), await log.read(ACCESS)
        page = cut(list(_known(events).values()), part(first, after, last, before), _cursor)
        return connection(page, lambda known: _shown(info.context, known, len(events), position))


@mutation(
    "Lets somebody in with a token that the client has made: 32 random bytes or more. "
    "Only its SHA-256 is sent, so that nobody else ever sees it."
)
async def issue_token(
    write: Write, name: str, hash: str, actor: ID | None = None, expires_at: datetime | None = None
) -> TokenResult:
    identity = write.context.identity
    assert identity is not None, "nobody comes this far without a token"
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidArgument(argument="expiresAt", why="it needs a time zone, as in 2026-01-31T12:00:00Z")
    now = datetime.now(UTC)
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument(argument="expiresAt", why="it is over")
    if expires_at is not None and expires_at > now + timedelta(days=365.25 * MOST_YEARS):
        raise InvalidArgument(argument="expiresAt", why=f"at most {MOST_YEARS} years from now; null is for ever")
    wish = IssueToken(
        token=TokenId(ids.new()),
        name=name,
        actor=identity.actor if actor is None else str(actor),
        hash=hash,
        expires_at=None if expires_at is None else expires_at.astimezone(UTC),
        issuer=Issuer(actor=identity.actor, expires_at=identity.expires_at),
    )

    async def work(transaction: Transaction) -> UUID:
        await transaction.do(decider, ACCESS, wish, write.expected_version)
        return ACCESS

    handled = await write.transact(work, decider)
    made = next(each for each in reversed(await _left(write, handled)) if each.fact.hash == hash)
    return _shown(write.context, made, handled.subject.version, handled.receipt.position)


@mutation(
    "Lets nobody in with a token any more, and ends what is open with it. Whoever revokes the last one makes another "
    "with `stageline serve --issue-token`, on the server's machine."
)
async def revoke_token(write: Write, token: ID) -> TokenResult:
    id_ = uuid_of("token", token)
    if id_ is None:
        raise TokenNotFound(token=token)

    async def work(transaction: Transaction) -> UUID:
        await transaction.do(decider, ACCESS, RevokeToken(token=TokenId(id_)), write.expected_version)
        return ACCESS

    try:
        handled = await write.transact(work, decider)
    except TokenNotFound:
        raise TokenNotFound(token=token) from None  # as the client knows it
    revoked = next(each for each in await _left(write, handled) if each.fact.token == id_)
    return _shown(write.context, revoked, handled.subject.version, handled.receipt.position)


async def _left(write: Write, handled: Handled[Access]) -> list[Known]:
    """The tokens as a change left them, or as a dry run would have."""
    events = await write.context.application.log.read(ACCESS, until=handled.subject.version)
    imagined = handled.imagined(write.context.author(write.reason)) if write.dry_run else []
    return list(_known([*events, *imagined]).values())
