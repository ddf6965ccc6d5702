"""Things by the names that they have or had, also when they were deleted: the history has all names."""

from collections.abc import Iterable

from cli.client import Client, document
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
query NamesOfActors($first: Int, $after: String) {
  actors(first: $first, after: $after) {
    edges { node { id name } }
    pageInfo { hasNextPage endCursor }
  }
}
""")

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
    """Return the ids of the actors with one of these ids or display names; an unknown one stays."""
    known = [(node["id"], node["name"]) for node in client.pages(ACTORS, {})]
    found: list[str] = []
    for ref in refs:
        same = [id_ for id_, name in known if id_ == ref or (name is not None and key(name) == key(ref))]
        found += same or [ref]
    return list(dict.fromkeys(found))


def _namings(kind: str, name: str) -> dict[str, object]:
    """Return the filter of the events that gave *name* to something of that kind."""
    return {"types": NAMINGS[kind], "text": name.strip()[:MAX_NAME]}
