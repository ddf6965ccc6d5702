"""Tokens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import strawberry
from msgspec import Struct
from strawberry import ID, Private

from domain.access import ACCESS, TokenIssued, TokenRestricted, TokenRevoked
from domain.role import ALL, Role, Roles, has
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.node import Node, global_id
from gql.types.actor import Actor, actors, existing_actors
from gql.types.grant import RoleGrant, from_domain
from projections.engine.views import Slice
from store.log import RecordedEvent

TOKENS = ListName("tokens")
"""The list of all tokens."""


class TokenRecord(Struct):
    """The events of a token."""

    fact: TokenIssued
    issued: RecordedEvent
    revoked: RecordedEvent | None = None
    roles: Roles = ALL
    follows: str | None = None


@strawberry.type(description="A token of an actor. The server stores only its hash, and does not show it.")
class Token(Node):
    name: str = strawberry.field(description="Name of the token.")
    issued_at: datetime = strawberry.field(description="When the token was issued.")
    expires_at: datetime | None = strawberry.field(description="When the token expires; null for never.")
    revoked_at: datetime | None = strawberry.field(description="When the token was revoked; null if it was not.")
    is_valid: bool = strawberry.field(description="Whether the token is valid now: neither revoked nor expired.")
    roles: list[RoleGrant] = strawberry.field(
        description="The roles of the token; if it follows an actor, at most these."
    )
    issuing_token_id: ID | None = strawberry.field(
        description="Id of the token that issued it; null for the server's own tokens, and for those of old logs."
    )
    cursor: str = strawberry.field(description="A position in the log at which the token has this state.")
    record: Private[TokenRecord]


@strawberry.type(
    description="A token as it was, or as a dry run would make it. It is not the live token, so it has no id."
)
class TokenSnapshot:
    token_id: ID = strawberry.field(description="Id of the token; in a dry run of issueToken, of none.")
    name: str = strawberry.field(description="Name of the token.")
    issued_at: datetime = strawberry.field(description="When the token was issued.")
    expires_at: datetime | None = strawberry.field(description="When the token expires; null for never.")
    revoked_at: datetime | None = strawberry.field(description="When the token was revoked; null if it was not.")
    is_valid: bool = strawberry.field(description="Whether the token was neither revoked nor expired.")
    roles: list[RoleGrant] = strawberry.field(
        description="The roles of the token; if it follows an actor, at most these."
    )
    issuing_token_id: ID | None = strawberry.field(
        description="Id of the token that issued it; null for the server's own tokens, and for those of old logs."
    )
    cursor: str = strawberry.field(description="A position in the log at which the token had this state.")
    record: Private[TokenRecord]


Tokens = list[Token] | list[TokenSnapshot]


@edge(TokenSnapshot, "The actor who uses the token.")
@edge(Token, "The actor who uses the token.")
async def actor(context: Context, tokens: Tokens, selected: Selected) -> list[Actor]:
    return await existing_actors(context, [token.record.fact.actor for token in tokens], selected)


FOLLOWS = "The actor whose roles limit those of the token, as they change: its own actor, or the one who issued it."


@edge(TokenSnapshot, FOLLOWS)
@edge(Token, FOLLOWS)
async def follows(context: Context, tokens: Tokens, selected: Selected) -> list[Actor | None]:
    return await actors(context, [token.record.follows for token in tokens], selected)


@edge(Token, "When the token was used last, to the hour; null for never. It is stored some seconds later.")
async def last_used_at(context: Context, tokens: list[Token], selected: Selected) -> list[datetime | None]:
    context.varies = True  # a use is no part of the log
    found = await context.application.uses.last([token.record.fact.token for token in tokens])
    hours = [found.get(token.record.fact.token) for token in tokens]
    return [None if hour is None else datetime.fromtimestamp(hour, UTC) for hour in hours]


@edge(TokenSnapshot, "The actor who issued the token.")
@edge(Token, "The actor who issued the token.")
async def issued_by(context: Context, tokens: Tokens, selected: Selected) -> list[Actor]:
    return await existing_actors(context, [token.record.issued.by.actor for token in tokens], selected)


@edge(TokenSnapshot, "The actor who revoked the token, if any.")
@edge(Token, "The actor who revoked the token, if any.")
async def revoked_by(context: Context, tokens: Tokens, selected: Selected) -> list[Actor | None]:
    revoked = [token.record.revoked for token in tokens]
    return await actors(context, [None if each is None else each.by.actor for each in revoked], selected)


def token_records(events: Sequence[RecordedEvent]) -> list[TokenRecord]:
    """Return all tokens in the order of their issue."""
    tokens: dict[UUID, TokenRecord] = {}
    for recorded in events:
        match recorded.event:
            case TokenIssued(token=token) as fact:
                tokens[token] = TokenRecord(fact, recorded)
            case TokenRestricted(token=token, roles=roles, follows_actor=follows_actor, follows=follows):
                record = tokens[token]
                record.roles, record.follows = roles, (follows or record.fact.actor) if follows_actor else None
            case TokenRevoked(token=token):
                tokens[token].revoked = recorded
    return list(tokens.values())


def convert(context: Context, record: TokenRecord, position: int) -> Token:
    fact, revoked = record.fact, record.revoked
    has_expired = fact.expires_at is not None and fact.expires_at <= datetime.now(UTC)
    return Token(
        id=global_id("token", fact.token),
        name=fact.name,
        issued_at=record.issued.recorded_at,
        expires_at=fact.expires_at,
        revoked_at=None if revoked is None else revoked.recorded_at,
        is_valid=revoked is None and not has_expired,
        roles=from_domain(record.roles),
        issuing_token_id=None if fact.issuer is None else global_id("token", fact.issuer),
        cursor=cursors.of_position(context.application.log.epoch, position),
        record=record,
    )


def snapshot(token: Token) -> TokenSnapshot:
    return TokenSnapshot(
        token_id=token.id,
        name=token.name,
        issued_at=token.issued_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        is_valid=token.is_valid,
        roles=token.roles,
        issuing_token_id=token.issuing_token_id,
        cursor=token.cursor,
        record=token.record,
    )


async def find(context: Context, id_: UUID) -> Token | None:
    """Return the token with that id, if the viewer may see it."""
    log = context.application.log
    position, events = await log.position(), await log.read(ACCESS)
    records = (record for record in _seen(context, events) if record.fact.token == id_)
    return next((convert(context, record, position) for record in records), None)


def _seen(context: Context, events: Sequence[RecordedEvent]) -> list[TokenRecord]:
    """Return the tokens of the viewer's own actor; all for an admin of everything."""
    actor, sees_all = context.known_identity.actor, has(context.roles, Role.ADMIN)
    return [record for record in token_records(events) if sees_all or record.fact.actor == actor]


def _cursor(record: TokenRecord) -> str:
    return record.fact.token.hex


async def page(context: Context, slice_: Slice) -> tuple[Connection[Token], int]:
    """Return a page of the tokens that the viewer may see, and the position of the log before it was read."""
    log = context.application.log
    position, events = await log.position(), await log.read(ACCESS)
    records = _seen(context, events)
    found = cut(records, slice_, _cursor)
    made = connection(found, lambda record: convert(context, record, position), TOKENS, len(records))
    return made, position


@strawberry.type
class Query:
    @strawberry.field(
        description="List the tokens in the order of their issue, also revoked and expired ones: those of the same"
        " actor, and all for an admin of everything."
    )
    async def tokens(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Token] | None:
        found, _ = await page(info.context, part(first, after, last, before, TOKENS))
        return found
