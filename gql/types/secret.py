"""Secrets of environments and projects: their names, never their values."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Private

from application.secret import Owner, OwnerKind
from domain import secret as secrets
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.contract.argument import MAX_LIST
from gql.contract.scalar import SecretValue
from gql.types.actor import Actor, existing_actors
from gql.types.environment import Environment
from gql.types.project import Project


@strawberry.type(description="A secret of an environment or a project. Its value goes in, and never comes out.")
class Secret:
    name: str = strawberry.field(description="Name of the secret.")
    version: int = strawberry.field(
        description="Number of the value: no two values of an environment, or of a project, have the same one."
    )
    set_at: datetime = strawberry.field(description="When the value was set.")
    actor_id: Private[ID]


SecretNameArgument = Annotated[str, strawberry.argument(description="Name of the secret.")]
SecretValueArgument = Annotated[
    SecretValue,
    strawberry.argument(
        description=f"The value: 1 to {secrets.MAX_SECRET:,} bytes of UTF-8, as a variable of the request."
    ),
]
SecretNamesArgument = Annotated[
    list[str], strawberry.argument(description=f"Names of the secrets to delete; at most {MAX_LIST}.")
]


@edge(Secret, "The actor who set the value, as it is named now.", name="setBy")
async def secret_actor(context: Context, found: list[Secret], selected: Selected) -> list[Actor]:
    return await existing_actors(context, [secret.actor_id for secret in found], selected)


@edge(
    Environment,
    "The secrets of the environment by name. They replace those of its project with the same name.",
    name="secrets",
)
async def environment_secrets(
    context: Context, environments: list[Environment], selected: Selected
) -> list[list[Secret]]:
    context.reads(*(each.key for each in environments))
    return [await _secrets(context, Owner(OwnerKind.ENVIRONMENT, each.key)) for each in environments]


@edge(Project, "The secrets of the project by name. They apply to all its environments.", name="secrets")
async def project_secrets(context: Context, projects: list[Project], selected: Selected) -> list[list[Secret]]:
    context.reads(*(each.key for each in projects))
    return [await _secrets(context, Owner(OwnerKind.PROJECT, each.key)) for each in projects]


async def _secrets(context: Context, owner: Owner) -> list[Secret]:
    known = await context.application.vault.secrets(owner, has_asked=context.has_asked)
    return [
        Secret(name=each.name, version=each.version, set_at=each.at, actor_id=ID(each.by)) for each in known.entries
    ]
