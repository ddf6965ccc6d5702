"""The root field `viewer`: who asks, with which token, and what they may do."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from domain.errors import NotFound
from domain.role import Role, has, role_at, role_within
from gql import access
from gql.context import Info
from gql.types import grant as roles
from gql.types import token as tokens
from gql.types.actor import Actor, existing_actors
from gql.types.grant import RoleGrant
from gql.types.token import Token

ProjectOfRight = Annotated[ID | None, strawberry.argument(description="Id or name of a project.")]
EnvironmentOfRight = Annotated[
    ID | None, strawberry.argument(description="Id of an environment. Without project and environment: anywhere.")
]


async def _may(info: Info, role: Role, project: str | None, environment: str | None) -> bool:
    """Whether the viewer has a role at a place that exists; without one, anywhere."""
    find = role_within if project is None and environment is None else role_at
    try:
        found = find(info.context.roles, await access.place(info.context, project, environment))
    except NotFound:
        return False
    return found is not None and found.includes(role)


@strawberry.type(description="Who asks, and what they may do.")
class Viewer:
    identity_provider: str | None = strawberry.field(
        description="Name of the identity provider that vouches for them; null for a token of this server."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the request's token, or the browser's session, expires; null for never."
    )
    session_expires_at: datetime | None = strawberry.field(
        description="When the browser's session expires; null for a request with a token."
    )
    roles: list[RoleGrant] = strawberry.field(description="The roles of the token now, by place.")
    can_issue_tokens: bool = strawberry.field(
        description="Whether they may issue and revoke tokens of their own, with no more roles than theirs."
    )
    can_issue_tokens_for_others: bool = strawberry.field(
        description="Whether they may issue tokens for other actors than themselves."
    )

    @strawberry.field(description="Whether they may change projects, environments and pipelines.")
    async def can_edit(
        self, info: Info, project: ProjectOfRight = None, environment: EnvironmentOfRight = None
    ) -> bool:
        return await _may(info, Role.EDITOR, project, environment)

    @strawberry.field(description="Whether they may deploy, and cancel deployments.")
    async def can_deploy(
        self, info: Info, project: ProjectOfRight = None, environment: EnvironmentOfRight = None
    ) -> bool:
        return await _may(info, Role.DEPLOYER, project, environment)

    @strawberry.field(description="Whether they may grant and revoke roles.")
    async def can_grant_roles(
        self, info: Info, project: ProjectOfRight = None, environment: EnvironmentOfRight = None
    ) -> bool:
        return await _may(info, Role.ADMIN, project, environment)

    @strawberry.field(description="The actor who asks.")
    async def actor(self, info: Info) -> Actor:
        (found,) = await existing_actors(info.context, [info.context.known_identity.actor], frozenset({"name"}))
        return found

    @strawberry.field(
        description="The token of the request, or the one that the session was opened with; null for somebody whom an"
        " identity provider vouches for."
    )
    async def token(self, info: Info) -> Token | None:
        return await tokens.find(info.context, info.context.known_identity.token)


@strawberry.type
class Query:
    @strawberry.field(description="Return who asks, and what they may do.")
    async def viewer(self, info: Info) -> Viewer | None:
        identity, own = info.context.known_identity, info.context.roles
        return Viewer(
            identity_provider=None if identity.assertion is None else identity.assertion.provider,
            expires_at=identity.ends_at,
            session_expires_at=None if identity.session is None else identity.session.expires_at,
            roles=roles.from_domain(own),
            can_issue_tokens=bool(own),
            can_issue_tokens_for_others=has(own, Role.ADMIN),
        )
