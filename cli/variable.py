"""`stageline variable`: the values in which environments differ."""

from typing import Annotated

import typer
from msgspec import convert

from cli import owner
from cli.change import VERSIONED, AnswerJson, VersionedChangeOptions, mutation
from cli.client import Client, Document, document
from cli.command import command, group
from cli.errors import Misused
from cli.output import Output
from cli.owner import Shared
from cli.scope import Scope
from cli.spec import EnvironmentVariableJson
from cli.text import table

app = group(
    "List and change the variables of an environment, or of a project.",
    "stageline variable set REGION=eu LOG_LEVEL=info",
    "stageline variable set REGION=us --environment production",
    "stageline variable set --shared COMPANY=Acme",
    "stageline variable list",
    "stageline variable delete LOG_LEVEL",
)

OF_ENVIRONMENT = (
    "subject: pipeline { environment { variables { name value } } }"
    " snapshot { environment { variables { name value } } }"
)
OF_PROJECT = "subject: project { variables { name value } } snapshot { variables { name value } }"
SET = mutation(
    "setEnvironmentVariables",
    "PipelinePayload",
    OF_ENVIRONMENT,
    environment="ID!",
    variables="[EnvironmentVariableInput!]!",
    **VERSIONED,
)
DELETE = mutation(
    "deleteEnvironmentVariables", "PipelinePayload", OF_ENVIRONMENT, environment="ID!", names="[String!]!", **VERSIONED
)
SET_SHARED = mutation(
    "setProjectVariables", "ProjectPayload", OF_PROJECT, project="ID!", variables="[EnvironmentVariableInput!]!"
)
DELETE_SHARED = mutation("deleteProjectVariables", "ProjectPayload", OF_PROJECT, project="ID!", names="[String!]!")

LIST = document("""
query Variables($environment: ID!) {
  environment(id: $environment) { variables { name value } project { variables { name value } } }
}
""")
LIST_SHARED = document("""
query ProjectVariables($project: ID!) {
  project(id: $project) { variables { name value } }
}
""")


class ListedVariableJson(EnvironmentVariableJson):
    """A variable with its level: environment or project."""

    of: str


class VariablesJson(AnswerJson):
    """The variables of an environment, or of a project, after a change."""

    variables: list[EnvironmentVariableJson]


@command(app, "list", "stageline variable list", "stageline variable list --shared --json")
def list_(scope: Scope, output: Output, shared: Shared = False) -> None:
    """List the variables that the environment's services get. Those of the environment replace its project's."""
    with Client.known() as client:
        found = owner.entries("variables", LIST, LIST_SHARED, scope, client, shared)
    listed = convert(found, list[ListedVariableJson])
    rows = [(each.name, each.value, each.of) for each in listed]
    output.answer({"variables": listed}, table(("Name", "Value", "Of"), rows) if rows else "<no variable>")


@command(app, "set", "stageline variable set REGION=eu LOG_LEVEL=info", "stageline variable set --shared COMPANY=Acme")
def set_(
    assignments: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="The variables to set.")],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    shared: Shared = False,
) -> None:
    """Set variables; the others stay. The next deployment uses them."""
    variables = [_assigned(text) for text in assignments]
    after = _change(SET_SHARED if shared else SET, scope, change, shared, variables=variables)
    output.answer(after, change.text(after, "Variables set successfully", _described(after)))


@command(app, "delete", "stageline variable delete LOG_LEVEL", "stageline variable delete --shared COMPANY")
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The variables to delete.")],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    shared: Shared = False,
) -> None:
    """Delete variables. One to which a service refers is kept, and the refusal names the service.

    With --shared this holds for the services of all environments of the project.
    """
    after = _change(DELETE_SHARED if shared else DELETE, scope, change, shared, names=names)
    output.answer(after, change.text(after, "Variables deleted successfully", _described(after)))


def _assigned(text: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Misused(f"Invalid variable {text!r}: give NAME=VALUE.")
    return {"name": name, "value": value}


def _change(
    document: Document, scope: Scope, change: VersionedChangeOptions, shared: bool, **arguments: object
) -> VariablesJson:
    """Change the variables of the environment, or of its project, and return those after it."""
    about, is_changed = owner.change(document, scope, change, shared, **arguments)
    return convert({"variables": about["variables"], "changed": is_changed}, VariablesJson)


def _described(after: VariablesJson) -> str:
    rows = [(each.name, each.value) for each in after.variables]
    return table(("Name", "Value"), rows) if rows else "<no variable>"
