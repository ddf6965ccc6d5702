"""Mutations of tokens."""

from datetime import datetime
from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from application import token as use_cases
from application.handler import Outcome
from application.token import MAX_YEARS
from domain.access import ACCESS, Access, IssueToken, RevokeToken, TokenId, decider
from domain.errors import TokenNotFound
from domain.role import MAX_GRANTS
from gql.contract.node import uuid_of
from gql.mutation import Payload, Write, mutation
from gql.types.grant import RoleInput, to_domain
from gql.types.refusal import Refusal
from gql.types.token import Token, TokenRecord, TokenSnapshot, convert, find, snapshot, token_records
from store import ids


@strawberry.type(description="The answer to a mutation of a token.")
class TokenPayload(Payload):
    token: Token | None = strawberry.field(
        description="The live token after the change; null after a dry run, and after a repeat of a request if it"
        " changed since."
    )
    snapshot: TokenSnapshot | None = strawberry.field(
        description="If token is null, the token as a dry run would make it, or as it was after the first request."
    )


TokenResult = Annotated[
    TokenPayload | Refusal,
    strawberry.union("TokenResult", description="The token after the change, or a refusal."),
]


@mutation(
    "Issue a token that the client has generated from at least 32 random bytes."
    " Only its SHA-256 is sent, so that nobody else sees the token."
)
async def issue_token(
    write: Write,
    name: Annotated[str, strawberry.argument(description="Name of the token.")],
    hash: Annotated[str, strawberry.argument(description="SHA-256 of the token, as 64 lower-case hexadecimal digits.")],
    actor: Annotated[
        ID | None, strawberry.argument(description="Id of the actor who will use the token; null for oneself.")
    ] = None,
    expires_at: Annotated[
        datetime | None,
        strawberry.argument(
            description=f"When the token expires, with a time zone and at most {MAX_YEARS} years from now;"
            " null for never."
        ),
    ] = None,
    roles: Annotated[
        list[RoleInput] | None,
        strawberry.argument(
            description=f"The roles of the token, 1 to {MAX_GRANTS}, none beyond one's own. Null for the roles of"
            " one's own token; for another actor, for the roles that this actor holds at the time."
        ),
    ] = None,
) -> TokenResult:
    identity = write.context.known_identity
    command = IssueToken(
        token=TokenId(ids.new()),
        name=name,
        actor=identity.actor if actor is None else str(actor),
        hash=hash,
        expires_at=use_cases.checked_expiry(expires_at),
        roles=None if roles is None else await to_domain(write.context, roles),
        issuer=write.context.asker,
    )
    outcome = await write.transact(partial(use_cases.change, command=command), decider)
    issued = next(each for each in reversed(await _records(write, outcome)) if each.fact.hash == hash)
    return await _answer(write, outcome, issued)


@mutation(
    "Revoke a token, and end its open connections. If no valid token is left, `stageline serve --issue-token` on the"
    " machine of the server issues another."
)
async def revoke_token(
    write: Write,
    token: Annotated[ID, strawberry.argument(description="Id of the token.")],
    with_issued: Annotated[
        bool,
        strawberry.argument(
            description="Also revoke the tokens that it issued, those that these issued, and so on. Then the token"
            " itself may be revoked already."
        ),
    ] = False,
) -> TokenResult:
    own = uuid_of("token", token)
    if own is None:
        raise TokenNotFound(token=token)
    command = RevokeToken(token=TokenId(own), revoker=write.context.asker, with_issued=with_issued)
    use_case = partial(use_cases.change, command=command)
    try:
        outcome = await write.transact(use_case, decider)
    except TokenNotFound:
        raise TokenNotFound(token=token) from None  # with the global id
    revoked = next(each for each in await _records(write, outcome) if each.fact.token == own)
    return await _answer(write, outcome, revoked)


async def _answer(write: Write, outcome: Outcome[Access], record: TokenRecord) -> TokenPayload:
    """Return the token after the change, or a snapshot of one that is not the live token.

    That is the token after a dry run, and the first answer to a repeated request if the token was revoked since.
    """
    token = convert(write.context, record, outcome.receipt.position)
    payload = partial(TokenPayload, changed=outcome.has_changed)
    if write.dry_run:
        return payload(token=None, snapshot=snapshot(token))
    if outcome.receipt.is_repeat and record.revoked is None:
        now = await find(write.context, record.fact.token)
        if now is None or now.record.revoked is not None:
            return payload(token=None, snapshot=snapshot(token))
    return payload(token=token, snapshot=None)


async def _records(write: Write, outcome: Outcome[Access]) -> list[TokenRecord]:
    """Return the tokens after the change, or after the change that a dry run would make."""
    events = await write.context.application.log.read(ACCESS, until=outcome.subject.version)
    preview = outcome.preview(write.context.author(write.reason)) if write.dry_run else []
    return token_records([*events, *preview])
