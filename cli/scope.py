"""The project and environment of a command."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from cli import config
from cli.client import Client, Data, document
from cli.errors import Failed, Misused

PROJECTS = document("""
query Projects($first: Int, $after: String) {
  projects(first: $first, after: $after) {
    edges { node { id name createdAt } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

ENVIRONMENTS = document("""
query Environments($project: ID!, $first: Int, $after: String) {
  environments(project: $project, first: $first, after: $after) {
    edges { node { id name target concurrency project { id name } createdAt updatedAt } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

ENVIRONMENT = document("""
query Environment($id: ID, $project: ID, $name: String) {
  environment(id: $id, project: $project, name: $name) { id name isDeleted project { id name } }
}
""")

HINT = "Give --project and --environment, or save them: stageline context set --project P --environment E."

ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="PROJECT",
        envvar="STAGELINE_PROJECT",
        help="Name or id. Default: the context's.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ScopedEnvironment:
    """An existing environment."""

    id: str
    name: str
    project: str


@dataclass(frozen=True)
class Scope:
    """An environment: of the command's options, else of the context, else as the user answers."""

    project: ProjectOption = None
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment",
            metavar="ENVIRONMENT",
            envvar="STAGELINE_ENVIRONMENT",
            help="Name or id. Default: the context's.",
            show_default=False,
        ),
    ] = None

    def find(self, client: Client) -> ScopedEnvironment:
        """Return the environment. Raise `Failed` if there is none, and `Misused` if nothing names it."""
        kept = config.load().scope
        environment = self.environment
        if environment is None and self._is_of(kept):
            environment = kept.environment
        if environment and (found := _by_id(client, environment)):
            return found
        if not environment:
            project = self.project or kept.project or ask_project(client)
            return find(client, project, ask_environment(client, project))
        return find(client, self.project or kept.project or ask_project(client), environment)

    def _is_of(self, kept: config.ContextConfig) -> bool:
        """Return whether the context's environment applies: it doesn't if another project is named."""
        return self.project is None or self.project.casefold() == (kept.project or "").casefold()


def find_project(project: str | None, client: Client) -> str:
    """Return the project's name or id: the given one, the context's, or as the user answers."""
    return project or config.load().scope.project or ask_project(client)


def find(client: Client, project: str, name: str) -> ScopedEnvironment:
    """Return the environment *name* of *project*. Raise `Failed` if there is none."""
    data = client.execute(ENVIRONMENT, {"project": project, "name": name})["environment"]
    if data is None:
        raise Failed(
            f"There is no environment {name!r} in project {project!r}.",
            hint="See: stageline environment list",
            code="ENVIRONMENT_NOT_FOUND",
        )
    return _found(data)


def _by_id(client: Client, ref: str) -> ScopedEnvironment | None:
    if not ref.startswith("environment_"):
        return None
    data = client.execute(ENVIRONMENT, {"id": ref})["environment"]
    return None if data is None or data["isDeleted"] else _found(data)


def _found(data: Data) -> ScopedEnvironment:
    return ScopedEnvironment(id=data["id"], name=data["name"], project=data["project"]["name"])


def ask_project(client: Client) -> str:
    """Ask for a project. Raise `Misused` without a terminal."""
    _must_be_a_person("project")
    names = [node["name"] for node in client.pages(PROJECTS, {})]
    if not names:
        raise Failed("There is no project yet.", hint="Create one: stageline project create -n NAME")
    return _chosen("Project", names)


def ask_environment(client: Client, project: str) -> str:
    """Ask for an environment of *project*. Raise `Misused` without a terminal."""
    _must_be_a_person("environment")
    names = [node["name"] for node in client.pages(ENVIRONMENTS, {"project": project})]
    if not names:
        raise Failed(
            f"Project {project!r} has no environment yet.", hint="Create one: stageline environment create -n NAME"
        )
    return _chosen("Environment", names)


def _must_be_a_person(what: str) -> None:
    if not sys.stdin.isatty():
        raise Misused(f"No {what} is given.", hint=HINT)


def _chosen(what: str, names: list[str]) -> str:
    for number, name in enumerate(names, 1):
        typer.echo(f"  {number}  {name}", err=True)
    while True:
        answer = str(typer.prompt(f"{what} (number or name)", err=True)).strip()
        for number, name in enumerate(names, 1):
            if answer.casefold() == name.casefold() or answer == str(number):
                return name
        typer.echo(f"{answer!r} is not in the list.", err=True)
