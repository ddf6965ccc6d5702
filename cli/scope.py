"""The project and environment of a command."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import typer

from cli import complete, config, names
from cli.client import Client, Data, document
from cli.errors import Failed, Misused
from cli.output import say
from cli.policy import ENVIRONMENT_POLICY
from cli.text import key, plain

PROJECTS = document("""
query Projects($first: Int, $after: String) {
  projects(first: $first, after: $after) {
    edges { node { id name createdAt } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

ENVIRONMENTS = document(
    """
query Environments($project: ID!, $first: Int, $after: String) {
  environments(project: $project, first: $first, after: $after) {
    edges {
      node {
        id name target concurrency policy { ...EnvironmentPolicyFields } project { id name } createdAt updatedAt
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    ENVIRONMENT_POLICY,
)

ENVIRONMENT = document("""
query Environment($id: ID, $project: ID, $name: String) {
  environment(id: $id, project: $project, name: $name) { id name isDeleted project { id name } }
}
""")

ENVIRONMENT_ID = "environment_"
"""The first characters of the id of an environment."""

HINT = "Give --project and --environment, or save them: stageline context set --project P --environment E."


def project_names(client: Client, context: typer.Context) -> Iterator[str]:
    """Yield the names of the projects, for completion."""
    return (node["name"] for node in client.pages(PROJECTS, {}))


def environment_names(client: Client, context: typer.Context) -> Iterator[str]:
    """Yield the names of the environments of the named project, else the context's, for completion."""
    kept = config.load().scope
    project = context.params.get("project") or kept.project_id or kept.project
    return (node["name"] for node in client.pages(ENVIRONMENTS, {"project": project}))


def named_environment(client: Client, context: typer.Context) -> "ScopedEnvironment":
    """Return the environment of a command that is being completed. Raise `Misused` rather than ask."""
    kept = config.load().scope
    project, environment = context.params.get("project"), context.params.get("environment")
    if not environment and (not kept.environment or (project and not kept.is_project(project))):
        raise Misused("No environment is given.")
    return Scope(project, environment).find(client)


ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="PROJECT",
        envvar="STAGELINE_PROJECT",
        autocompletion=complete.names(project_names),
        help="Name or id. Default: the context's.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ScopedEnvironment:
    """An environment, which may be deleted."""

    id: str
    name: str
    project: str
    project_id: str
    is_deleted: bool


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
            autocompletion=complete.names(environment_names),
            help="Name or id. Default: the context's.",
            show_default=False,
        ),
    ] = None

    def find(self, client: Client) -> ScopedEnvironment:
        """Return the environment. Raise `Failed` if there is none, and `Misused` if nothing names it."""
        kept, project = config.load().scope, self.project
        if project and not self.environment and not kept.is_project(project):
            project = names.project(client, project)
        is_kept = self.environment is None and (project is None or kept.is_project(project))
        project = project or kept.project_id or kept.project
        environment = kept.environment if is_kept else self.environment
        known = kept.environment_id if is_kept else environment
        found = _by_id(client, known) if known else None
        if found and not found.is_deleted:
            if is_kept and (found.name, found.project) != (kept.environment, kept.project):
                _rename(found)
            return found
        project = project or ask_project(client)
        if not environment:
            return find(client, project, ask_environment(client, project))
        if found and is_kept:  # the context's own was deleted; another one may have its name now
            return _named(client, project, environment) or found
        return found or find(client, project, environment)


def _rename(environment: ScopedEnvironment) -> None:
    """Save the new names of a renamed environment, or of its project, in the contexts that have its id."""

    def change(kept: config.Config) -> None:
        for context in kept.contexts.values():
            if context.environment_id == environment.id:
                context.project, context.environment = environment.project, environment.name

    with suppress(Failed):  # the id is enough
        config.update(change)


def find_project(project: str | None, client: Client) -> str:
    """Return the project's name or id: the given one, the context's, or as the user answers."""
    kept = config.load().scope
    return names.project(client, project) if project else kept.project_id or kept.project or ask_project(client)


def find(client: Client, project: str, name: str) -> ScopedEnvironment:
    """Return the environment that has *name* or that id in *project*, or else had it, also if it was deleted.

    Raise `Failed` if there is none, or if several had it.
    """
    if found := _by_id(client, name) or _named(client, project, name):
        return found
    owner = names.project(client, project)
    if owner != project and (found := _named(client, owner, name)):
        return found
    former = [found for id_ in names.environments(client, owner, name) if (found := _by_id(client, id_))]
    alive = [each for each in former if not each.is_deleted]
    chosen = alive or former
    if not chosen:
        raise Failed(f"There is no environment {name!r} in project {project!r}.", code="ENVIRONMENT_NOT_FOUND")
    if len(chosen) > 1:
        ids = ", ".join(each.id for each in chosen)
        raise Failed(f"Several environments had the name {name!r}: {ids}.", hint="Give the id of one of them.")
    return chosen[0]


def _named(client: Client, project: str, name: str) -> ScopedEnvironment | None:
    data = client.execute(ENVIRONMENT, {"project": project, "name": name})["environment"]
    return None if data is None else _found(data)


def _by_id(client: Client, ref: str) -> ScopedEnvironment | None:
    if not ref.startswith(ENVIRONMENT_ID):
        return None
    data = client.execute(ENVIRONMENT, {"id": ref})["environment"]
    return None if data is None else _found(data)


def _found(data: Data) -> ScopedEnvironment:
    project = data["project"]
    return ScopedEnvironment(
        id=data["id"],
        name=data["name"],
        project=project["name"],
        project_id=project["id"],
        is_deleted=data["isDeleted"],
    )


def ask_project(client: Client) -> str:
    """Ask for a project. Raise `Misused` without a terminal."""
    _must_be_a_person("project")
    known = [node["name"] for node in client.pages(PROJECTS, {})]
    if not known:
        raise Failed("There is no project yet.", hint="Create one: stageline project create -n NAME")
    return _chosen("Project", known)


def ask_environment(client: Client, project: str) -> str:
    """Ask for an environment of *project*. Raise `Misused` without a terminal."""
    _must_be_a_person("environment")
    known = [node["name"] for node in client.pages(ENVIRONMENTS, {"project": project})]
    if not known:
        raise Failed(
            f"Project {project!r} has no environment yet.", hint="Create one: stageline environment create -n NAME"
        )
    return _chosen("Environment", known)


def _must_be_a_person(what: str) -> None:
    if not sys.stdin.isatty():
        raise Misused(f"No {what} is given.", hint=HINT)


def _chosen(what: str, known: list[str]) -> str:
    for number, name in enumerate(known, 1):
        say(f"  {number}  {plain(name)}")
    while True:
        answer = str(typer.prompt(f"{what} (number or name)", err=True)).strip()
        for number, name in enumerate(known, 1):
            if key(answer) == key(name) or answer == str(number):
                return name
        say(f"{answer!r} is not in the list.")
