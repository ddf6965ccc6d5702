"""The owner of variables and secrets: an environment, or with `--shared` its project."""

from typing import Annotated

import typer

from cli.change import VersionedChangeOptions
from cli.client import Client, Data, Document
from cli.errors import Failed, Misused
from cli.scope import Scope, find_project

Shared = Annotated[bool, typer.Option("--shared", help="Those of the project, which all its environments have.")]


def entries(
    field: str, of_environment: Document, of_project: Document, scope: Scope, client: Client, shared: bool
) -> list[Data]:
    """Return the entries of *field* by name, each with its level as `of`. The environment's replace its project's."""
    if shared:
        project = find_project(scope.project, client)
        data = client.execute(of_project, {"project": project})["project"]
        if data is None:
            raise Failed(f"There is no project {project!r}.", code="PROJECT_NOT_FOUND")
        levels = {"project": data[field]}
    else:
        data = client.execute(of_environment, {"environment": scope.find(client).id})["environment"]
        levels = {"project": data["project"][field], "environment": data[field]}
    found = {each["name"]: {**each, "of": of} for of, level in levels.items() for each in level}
    return [found[name] for name in sorted(found)]


def change(
    document: Document, scope: Scope, how: VersionedChangeOptions, shared: bool, **arguments: object
) -> tuple[Data, bool]:
    """Return the owner after *document* changed it, and whether anything changed."""
    variables = {**how.variables, **arguments}
    if shared and variables.pop("expectedVersion") is not None:
        raise Misused("A project has no version: leave out --expected-version.")
    with Client.known() as client:
        owner = {"project": find_project(scope.project, client)} if shared else {"environment": scope.find(client).id}
        answer = client.change(document, owner | variables)
    return answer.get("environment", answer), answer["changed"]
