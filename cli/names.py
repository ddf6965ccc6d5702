"""Things by the names that they have or had, also when they were deleted: the history has all names."""

from collections.abc import Iterable, Iterator

import typer

from cli.client import Client, document
from cli.errors import Failed
from cli.text import key

MAX_NAME = 100
"""Maximum length of a name, in characters."""

IN_ENVIRONMENT = document("""
query NamesInEnvironment($environment: ID!, $filter: HistoryFilter, $first: Int, $after: String) {
  pipelineHistory(environment: $environment, filter: $filter, first: $first, after: $after) {
    edges { node { stage { id: stageId name } service { id: serviceId name } } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

ENVIRONMENTS = document("""
query NamesOfEnvironments($project: ID, $filter: HistoryFilter, $first: Int, $after: String) {
  history(project: $project, filter: $filter, first: $first, after: $after) {
    edges { node { environment { id: environmentId name } } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

ACTORS = document("""
query NamesOfActors($named: String, $first: Int, $after: String) {
  actors(named: $named, first: $first, after: $after) {
    edges { node { id name } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

PROJECTS = document("""
query NamesOfProjects($named: String!, $first: Int, $after: String) {
  projects(named: $named, first: $first, after: $after) {
    edges { node { id isDeleted } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

PROJECT = document("query ProjectNamed($project: ID!) { project(id: $project) { id } }")

NAMINGS = {
    "stage": ["STAGE_CREATED", "STAGE_RENAMED"],
    "service": ["SERVICE_ADDED", "SERVICE_RENAMED"],
    "environment": ["ENVIRONMENT_CREATED", "ENVIRONMENT_RENAMED", "ENVIRONMENT_DELETED"],
}
"""The types of the events that have the names of each kind of thing."""


def stages(client: Client, environment: str, refs: Iterable[str]) -> list[str]:
    """Return the ids of the stages that have or had one of these names or ids; an unknown one stays."""
    return [id_ for ref in refs for id_ in _in_environment(client, environment, "stage", ref)]


def services(client: Client, environment: str, refs: Iterable[str]) -> list[str]:
    """Return the ids of the services that have or had one of these names or ids; an unknown one stays."""
    return [id_ for ref in refs for id_ in _in_environment(client, environment, "service", ref)]


def _in_environment(client: Client, environment: str, kind: str, ref: str) -> list[str]:
    if ref.startswith(f"{kind}_"):
        return [ref]
    variables = {"environment": environment, "filter": _namings(kind, ref)}
    things = (node[kind] for node in client.pages(IN_ENVIRONMENT, variables))
    return list(dict.fromkeys(thing["id"] for thing in things if key(thing["name"]) == key(ref))) or [ref]


def environments(client: Client, project: str, name: str) -> list[str]:
    """Return the ids of the project's environments that have or had *name*, newest first."""
    variables = {"project": project, "filter": _namings("environment", name)}
    things = (node["environment"] for node in client.pages(ENVIRONMENTS, variables))
    return list(dict.fromkeys(thing["id"] for thing in things if key(thing["name"]) == key(name)))


def actors(client: Client, refs: Iterable[str]) -> list[str]:
    """Return the ids of the actors that have one of these ids, or have or had such a display name.

    An unknown one stays.
    """
    found: list[str] = []
    for ref in refs:
        found += [node["id"] for node in client.pages(ACTORS, {"named": ref})] or [ref]
    return list(dict.fromkeys(found))


def actor_names(client: Client, context: typer.Context) -> Iterator[str]:
    """Yield the ids and the display names of all actors, for completion."""
    for node in client.pages(ACTORS, {}):
        yield node["id"]
        if node["name"] is not None:
            yield node["name"]


def project(client: Client, ref: str) -> str:
    """Return the id of the project that has, or else had, the name *ref*; an id and an unknown name stay.

    A deleted project is found if no other one has or had the name. Raise `Failed` if several had it.
    """
    if ref.startswith("project_") or client.execute(PROJECT, {"project": ref})["project"] is not None:
        return ref
    former = list(client.pages(PROJECTS, {"named": ref}))
    chosen = [each["id"] for each in former if not each["isDeleted"]] or [each["id"] for each in former]
    if len(chosen) > 1:
        raise Failed(f"Several projects had the name {ref!r}: {', '.join(chosen)}.", hint="Give the id of one of them.")
    return chosen[0] if chosen else ref


def _namings(kind: str, name: str) -> dict[str, object]:
    """Return the filter of the events that gave *name* to something of that kind."""
    return {"types": NAMINGS[kind], "text": name.strip()[:MAX_NAME]}
