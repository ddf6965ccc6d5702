"""`stageline role`: the roles of actors, each for everything, a project or an environment."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import complete
from cli.actor import NamedActorJson
from cli.change import AnswerJson, ChangeOptions, mutation
from cli.client import Client, document
from cli.command import command, group
from cli.errors import Misused
from cli.output import Output
from cli.scope import ENVIRONMENT_ID, Scope, project_names
from cli.text import plain, table

app = group(
    """Grant and revoke the roles of actors, which their tokens follow.

    A viewer reads. A deployer also deploys, approves and cancels. An editor also changes pipelines, variables and
    secrets. An admin also grants roles. A role is for everything, for a project, or for an environment.
    """,
    "stageline role grant ann editor --project Shop",
    "stageline role grant ci deployer --project Shop --environment production",
    "stageline role list",
    "stageline role revoke ann --project Shop",
)

GRANT = "role projectId environmentId project { name } environment { name project { name } }"
HOLDER = f"""
fragment ActorRolesFields on ActorRoles {{ actor {{ id name }} roles {{ {GRANT} }} }}
"""
SUBJECT = "subject: actorRoles { ...ActorRolesFields }"
LIST = document(
    """
query Roles($first: Int, $after: String) {
  roles(first: $first, after: $after) {
    edges { node { ...ActorRolesFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    HOLDER,
)
PLACE = {"project": "ID", "environment": "ID"}
GRANT_ROLE = mutation("grantRole", "ActorRolesPayload", SUBJECT, HOLDER, actor="ID!", role="Role!", **PLACE)
REVOKE_ROLE = mutation("revokeRole", "ActorRolesPayload", SUBJECT, HOLDER, actor="ID!", **PLACE)

HEAD = ("Actor", "Role", "Place")


class RoleOption(StrEnum):
    """A role as a word of the command line."""

    VIEWER = "viewer"
    DEPLOYER = "deployer"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True)
class PlaceOptions:
    """The place that a role is for. It is never the context's, so that nobody grants more than they mean."""

    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            metavar="PROJECT",
            autocompletion=complete.names(project_names),
            help="The role is for this project, or with --environment for one of its environments.",
            show_default=False,
        ),
    ] = None
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment",
            metavar="ENVIRONMENT",
            help="The role is for this environment, given by its id, or by its name and the project.",
            show_default=False,
        ),
    ] = None
    everything: Annotated[bool, typer.Option("--everything", help="The role is for everything.")] = False

    @property
    def is_given(self) -> bool:
        return self.everything or self.project is not None or self.environment is not None

    def variables(self, client: Client) -> dict[str, str]:
        """Return the place as arguments of a mutation; raise `Misused` without a place, or with two."""
        if not self.is_given:
            raise Misused("Say what the role is for: --environment, --project, or --everything.")
        if self.everything and (self.project or self.environment):
            raise Misused("Give --everything without --project and --environment.")
        if self.environment is not None:
            if self.project is None and not self.environment.startswith(ENVIRONMENT_ID):
                raise Misused("Give --project with the name of an environment, or give the environment's id.")
            return {"environment": Scope(self.project, self.environment).find(client).id}
        return {} if self.project is None else {"project": self.project}


class NamedJson(Struct):
    name: str


class PlacedJson(Struct):
    name: str
    project: NamedJson


class RoleGrantJson(Struct, rename="camel"):
    """A role; project and environment are null if it is not for one, or if the token must not see it."""

    role: str
    project_id: str | None
    environment_id: str | None
    project: NamedJson | None
    environment: PlacedJson | None

    @property
    def place(self) -> str:
        if self.environment is not None:
            return f"environment {self.environment.project.name}/{self.environment.name}"
        if self.project is not None and self.environment_id is None:
            return f"project {self.project.name}"
        return self.environment_id or self.project_id or "everything"

    @property
    def text(self) -> str:
        is_whole = self.project_id is None
        return f"{self.role.lower()} {'for' if is_whole else 'on'} {self.place}"


class ActorRolesJson(AnswerJson):
    actor: NamedActorJson
    roles: list[RoleGrantJson]

    def rows(self) -> list[tuple[str, ...]]:
        return [(self.actor.text, each.role.lower(), each.place) for each in self.roles]


Actor = Annotated[str, typer.Argument(metavar="ACTOR", help="The actor's id, as `stageline history` shows it.")]


def summary(roles: list[RoleGrantJson]) -> str:
    """Return roles in words, on one line."""
    return ", ".join(each.text for each in roles) or "none"


@command(
    app,
    "grant",
    "stageline role grant ann editor --project Shop",
    "stageline role grant ci deployer --project Shop --environment production",
)
def grant(
    actor: Actor,
    role: Annotated[RoleOption, typer.Argument(metavar="ROLE", help="viewer, deployer, editor or admin.")],
    place: PlaceOptions,
    change: ChangeOptions,
    output: Output,
) -> None:
    """Grant a role, instead of another one at the same place. You need to be an admin there."""
    with Client.known() as client:
        given = {"actor": actor, "role": role.name, **place.variables(client)}
        after = convert(client.change(GRANT_ROLE, {**given, **change.variables}), ActorRolesJson)
    done = plain(f"Actor {after.actor.text} holds: {summary(after.roles)}")
    output.answer(after, change.text(after, done, table(HEAD, after.rows())))


@command(app, "revoke", "stageline role revoke ann --project Shop", "stageline role revoke ann --everything")
def revoke(actor: Actor, place: PlaceOptions, change: ChangeOptions, output: Output) -> None:
    """Revoke the role of an actor at a place, and end the open connections of its tokens that follow it."""
    with Client.known() as client:
        given = {"actor": actor, **place.variables(client)}
        after = convert(client.change(REVOKE_ROLE, {**given, **change.variables}), ActorRolesJson)
    done = plain(f"Actor {after.actor.text} holds: {summary(after.roles)}")
    output.answer(after, change.text(after, done, table(HEAD, after.rows()) if after.roles else "<no role>"))


@command(app, "list", "stageline role list", "stageline role list --json")
def list_(output: Output) -> None:
    """List the roles of actors, at the places where you are an admin. Tokens have roles, too: stageline token list."""
    with Client.known() as client:
        holders = [convert(node, ActorRolesJson) for node in client.pages(LIST, {})]
    rows = [row for holder in holders for row in holder.rows()]
    output.answer({"roles": holders}, table(HEAD, rows) if rows else "<no role>")
