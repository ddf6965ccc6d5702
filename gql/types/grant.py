"""The roles of tokens and actors."""

from collections.abc import Iterable, Sequence

import strawberry
from strawberry import ID, Private

from domain.access import ACCESS, Access, Holder, decider
from domain.role import MAX_GRANTS, Grant, Place, Roles, has, role_within
from endpoint.execution.edge import Selected, edge
from gql import access
from gql.context import Context, Info
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.node import global_id
from gql.types.actor import Actor, existing_actors
from gql.types.environment import Environment, environments_of
from gql.types.project import Project, projects_of
from gql.types.role import Role

HOLDERS = ListName("roles")
"""The list of the actors who hold roles."""


@strawberry.type(description="A role for everything, for a project, or for an environment.")
class RoleGrant:
    role: Role = strawberry.field(description="The role.")
    project_id: ID | None = strawberry.field(description="Id of the project of the place; null for everything.")
    environment_id: ID | None = strawberry.field(description="Id of the environment; null for more than one.")
    place: Private[Place]


@edge(RoleGrant, "The project of the place; null for everything, and for one that the token must not see.")
async def project(context: Context, grants: list[RoleGrant], selected: Selected) -> list[Project | None]:
    wanted = {
        grant.place.project
        for grant in grants
        if grant.place.project is not None and role_within(context.roles, grant.place)
    }
    await context.settled()
    found = await projects_of(context, wanted)
    return [found.get(grant.place.project) if grant.place.project else None for grant in grants]


@edge(RoleGrant, "The environment; null for more than one, and for one that the token must not see.")
async def environment(context: Context, grants: list[RoleGrant], selected: Selected) -> list[Environment | None]:
    wanted = {
        grant.place.environment
        for grant in grants
        if grant.place.environment is not None and role_within(context.roles, grant.place)
    }
    found = await environments_of(context, wanted) if wanted else {}
    return [found.get(grant.place.environment) if grant.place.environment else None for grant in grants]


@strawberry.input(description="A role for everything, or, if one of them is given, for a project or an environment.")
class RoleInput:
    role: Role = strawberry.field(description="The role.")
    project: ID | None = strawberry.field(default=None, description="Id or name of the project.")
    environment: ID | None = strawberry.field(default=None, description="Id of the environment.")


@strawberry.type(
    description=f"The roles that an actor holds, 1 to {MAX_GRANTS}. Its tokens have them if they follow their actor."
)
class ActorRoles:
    roles: list[RoleGrant] = strawberry.field(
        description="The roles by place, of those places where the token is an admin's."
    )
    actor_id: Private[str]


@edge(ActorRoles, "The actor.", name="actor")
async def holder(context: Context, found: list[ActorRoles], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [each.actor_id for each in found], selected)


def from_domain(roles: Roles) -> list[RoleGrant]:
    return [
        RoleGrant(
            role=grant.role,
            project_id=None if grant.place.project is None else global_id("project", grant.place.project),
            environment_id=None
            if grant.place.environment is None
            else global_id("environment", grant.place.environment),
            place=grant.place,
        )
        for grant in roles
    ]


async def to_domain(context: Context, given: Sequence[RoleInput]) -> Roles:
    """Return roles; raises `ProjectNotFound` or `EnvironmentNotFound`, and `Forbidden` beyond one's own."""
    return tuple([await _grant(context, each) for each in given])


async def _grant(context: Context, given: RoleInput) -> Grant:
    place = await access.place_with(context, given.role, given.project, given.environment)
    return Grant(role=given.role, place=place)


def administered(context: Context, holder: Holder) -> ActorRoles:
    """Return the roles of an actor that the token may grant and revoke."""
    own = tuple(grant for grant in holder.roles if has(context.roles, Role.ADMIN, grant.place))
    return ActorRoles(roles=from_domain(own), actor_id=holder.actor)


async def state(context: Context) -> Access:
    """Return the tokens and roles as they are now."""
    return (await context.application.handler.states.load(decider, ACCESS)).state


def _holders(context: Context, holders: Iterable[Holder]) -> list[ActorRoles]:
    known = (administered(context, each) for each in sorted(holders, key=lambda holder: holder.actor))
    return [each for each in known if each.roles]


@strawberry.type
class Query:
    @strawberry.field(
        description="List the actors who hold roles, by id: those at places where the token is an admin's."
    )
    async def roles(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[ActorRoles] | None:
        slice_ = part(first, after, last, before, HOLDERS)
        found = _holders(info.context, (await state(info.context)).holders)
        page = cut(found, slice_, lambda each: each.actor_id.encode().hex())
        return connection(page, lambda each: each, HOLDERS, len(found))
