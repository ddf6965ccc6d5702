"""The root field `viewer`: who asks, with which token, and what they may do."""

from datetime import datetime

import strawberry

from domain.access import ADMIN
from gql.context import Info
from gql.types import token as tokens
from gql.types.actor import Actor, existing_actors
from gql.types.token import Token


@strawberry.type(
    description="Who asks, and what they may do. Every valid token may do everything but issue for others."
)
class Viewer:
    session_expires_at: datetime | None = strawberry.field(
        description="When the browser's session expires; null for a request with a token."
    )
    can_edit: bool = strawberry.field(description="Whether they may change projects, environments and pipelines.")
    can_deploy: bool = strawberry.field(description="Whether they may deploy, and cancel deployments.")
    can_issue_tokens: bool = strawberry.field(description="Whether they may issue and revoke tokens.")
    can_issue_tokens_for_others: bool = strawberry.field(
        description="Whether they may issue tokens for other actors than themselves."
    )

    @strawberry.field(description="The actor whose token it is.")
    async def actor(self, info: Info) -> Actor:
        assert info.context.identity is not None, "a query has an identity"
        (found,) = await existing_actors(info.context, [info.context.identity.actor], frozenset({"name"}))
        return found

    @strawberry.field(description="The token of the request, or the one that the session was opened with.")
    async def token(self, info: Info) -> Token | None:
        assert info.context.identity is not None, "a query has an identity"
        return await tokens.find(info.context, info.context.identity.token)


@strawberry.type
class Query:
    @strawberry.field(description="Return who asks, and what they may do.")
    async def viewer(self, info: Info) -> Viewer | None:
        identity = info.context.identity
        assert identity is not None, "a query has an identity"
        return Viewer(
            session_expires_at=None if identity.session is None else identity.session.expires_at,
            can_edit=True,
            can_deploy=True,
            can_issue_tokens=True,
            can_issue_tokens_for_others=identity.actor == ADMIN,
        )
