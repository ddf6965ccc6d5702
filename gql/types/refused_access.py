"""Refused access, for those who audit the server."""

from collections.abc import Sequence
from datetime import UTC, datetime

import strawberry
from strawberry import ID, Private

from application.refusal import HOURS, PER_HOUR, RefusalReason
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract.enum import describe
from gql.contract.node import global_id
from gql.types.actor import Actor, actors

MAX_REFUSALS = 500
"""Maximum number of refusals in an answer."""

describe(
    RefusalReason,
    "The reason for which access was refused.",
    UNKNOWN="The token, the session or the sign-in link is unknown.",
    ENDED="The token, the session or the sign-in link was revoked, has expired or was used before.",
    THROTTLED="Too many attempts came from the same address, or with the same token.",
    FORBIDDEN="The token does not have the role.",
)


@strawberry.type(
    description="Refused access: equal refusals within an hour are one. It has no actor and no token if these are"
    " unknown."
)
class AccessRefusal:
    reason: RefusalReason | None = strawberry.field(
        description=f"The reason; null for those that came after {PER_HOUR} different ones within the hour."
    )
    client: str = strawberry.field(description="The network address: of IPv6 the first 64 bits.")
    what: str = strawberry.field(description="The field or address, and the missing role; else empty.")
    token_id: ID | None = strawberry.field(description="Id of the token, if it is known.")
    count: int = strawberry.field(description="How often it was refused within the hour.")
    first_at: datetime = strawberry.field(description="When it was refused first within the hour.")
    last_at: datetime = strawberry.field(description="When it was refused last within the hour.")
    by: Private[str | None]


@edge(AccessRefusal, "The actor of the token, if it is known.")
async def actor(context: Context, refusals: list[AccessRefusal], selected: Selected) -> Sequence[Actor | None]:
    return await actors(context, [each.by for each in refusals], selected)


@strawberry.type
class Query:
    @strawberry.field(
        description=f"List refused access, the last first: the last {MAX_REFUSALS} of the last {HOURS // 24} days."
    )
    async def access_refusals(self, info: Info) -> list[AccessRefusal] | None:
        info.context.varies = True  # refusals are no part of the log
        found = (await info.context.application.refusals.list())[:MAX_REFUSALS]
        return [
            AccessRefusal(
                reason=None if each.refused is None else each.refused.reason,
                client="" if each.refused is None else each.refused.client,
                what="" if each.refused is None else each.refused.what,
                token_id=None
                if each.refused is None or each.refused.token is None
                else global_id("token", each.refused.token),
                count=each.count,
                first_at=datetime.fromtimestamp(each.first_at, UTC),
                last_at=datetime.fromtimestamp(each.last_at, UTC),
                by=None if each.refused is None else each.refused.actor,
            )
            for each in found
        ]
