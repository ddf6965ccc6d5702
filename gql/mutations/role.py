"""Mutations of the roles of actors."""

from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from application import token as use_cases
from application.handler import Outcome
from domain.access import Access, GrantRole, Holder, RevokeRole, decider
from domain.errors import RoleNotFound
from gql import access
from gql.mutation import Payload, Write, mutation
from gql.types.grant import ActorRoles, administered
from gql.types.refusal import Refusal
from gql.types.role import Role


@strawberry.type(description="The answer to a mutation of the roles of an actor.")
class ActorRolesPayload(Payload):
    actor_roles: ActorRoles = strawberry.field(
        description="The roles of the actor after the change, or as a dry run would make them."
    )


ActorRolesResult = Annotated[
    ActorRolesPayload | Refusal,
    strawberry.union("ActorRolesResult", description="The roles of the actor after the change, or a refusal."),
]

HolderArgument = Annotated[ID, strawberry.argument(description="Id of the actor.")]
ProjectOfRole = Annotated[ID | None, strawberry.argument(description="Id or name of the project of the role.")]
EnvironmentOfRole = Annotated[
    ID | None,
    strawberry.argument(description="Id of the environment of the role. Without project and environment: everything."),
]


@mutation(
    "Grant a role to an actor, instead of another one at the same place. It holds for those of its tokens that follow"
    " their actor, and ends the open connections of these, so that they begin again with it."
)
async def grant_role(
    write: Write,
    actor: HolderArgument,
    role: Annotated[Role, strawberry.argument(description="The role.")],
    project: ProjectOfRole = None,
    environment: EnvironmentOfRole = None,
) -> ActorRolesResult:
    command = GrantRole(
        actor=actor,
        role=role,
        place=await access.place(write.context, project, environment),
        granter=write.context.asker,
    )
    return _answer(write, actor, await write.transact(partial(use_cases.change, command=command), decider))


@mutation("Revoke the role of an actor at a place, and end the open connections of its tokens that follow it.")
async def revoke_role(
    write: Write, actor: HolderArgument, project: ProjectOfRole = None, environment: EnvironmentOfRole = None
) -> ActorRolesResult:
    place = await access.place(write.context, project, environment)
    command = RevokeRole(actor=actor, place=place, revoker=write.context.asker)
    try:
        outcome = await write.transact(partial(use_cases.change, command=command), decider)
    except RoleNotFound:
        raise RoleNotFound(actor=actor, place=await access.name(write.context, place)) from None
    return _answer(write, actor, outcome)


def _answer(write: Write, actor: str, outcome: Outcome[Access]) -> ActorRolesPayload:
    found = Holder(actor=actor, roles=outcome.state.held(actor))
    return ActorRolesPayload(changed=outcome.has_changed, actor_roles=administered(write.context, found))
