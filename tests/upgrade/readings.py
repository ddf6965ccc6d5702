"""The answers of a server that must be the same after an upgrade."""

from collections.abc import Callable
from typing import Any

STAGING = ("--project", "Shop", "--environment", "staging")

ENVIRONMENT = """
query { environment(project: "Shop", name: "staging") { id name target concurrency createdAt updatedAt } }
"""

READINGS = {
    "pipeline": """
query ($environment: ID!) {
  pipeline(environment: $environment) {
    id version cursor
    stages {
      id position name description homeOf: defaultForType
      services { id name type isSkipped spec { ...Spec ports env { name value } retries } }
    }
  }
}
fragment Spec on ServiceSpec { directory: workingDirectory build: buildCommands run: runCommand }
""",
    "first pipeline": """
query ($environment: ID!) {
  pipeline: pipelineSnapshot(environment: $environment, at: {version: 4}) {
    version stages { id: stageId name services { id: serviceId name } }
  }
}
""",
    "history": """
query ($environment: ID!) {
  pipelineHistory(environment: $environment, first: 100) {
    edges { cursor node { id version recordedAt type: pipelineEventType actor { id } reason } }
  }
}
""",
    "deployments": """
query ($environment: ID!) {
  deployments(environment: $environment) {
    edges {
      cursor
      node {
        id number action status actor: requestedBy { id } reason pipelineVersion
        requestedAt startedAt finishedAt version
        stages { name status services { name deploy { status attempt startedAt finishedAt reason: failureReason } } }
      }
    }
  }
}
""",
    "document": "query ($environment: ID!) { exportPipeline(environment: $environment, format: YAML, ids: true) }",
    "tokens": """
query {
  tokens { edges { node { id name actor { id } issuedAt issuedBy { id } revokedAt revokedBy { id } isGood: isValid } } }
}
""",
    "actors": "query { actors { edges { node { id name address isForgotten } } } }",
}

LOGS = """
query ($deployment: ID!) {
  deploymentLogs(deployment: $deployment) {
    edges { node { cursor at: printedAt service { name } phase attempt kind text } }
  }
}
"""

EVENTS = """
query ($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after, first: 500) { edges { cursor node { id version } } }
}
"""


def event_id(id_: str) -> str:
    """Return the id of an event without the position, which old versions did not have in it."""
    return id_[: len("event_") + 32]


def _place(cursor: str) -> str:
    """Return the cursor of a list without the list's name, which old versions did not have in it."""
    return cursor.rpartition(".")[2]


def _name_actors(node: dict[str, Any]) -> None:
    """Replace the actors of *node* by their ids, which old versions answered with."""
    for field in ("actor", "issuedBy", "revokedBy"):
        if node.get(field) is not None:
            node[field] = node[field]["id"]


def read(execute: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the answers to all readings, with the output of the first deployment."""
    answers = execute(ENVIRONMENT)
    environment = answers["environment"]["id"]
    answers |= {name: execute(document, environment=environment) for name, document in READINGS.items()}
    for edge in answers["history"]["pipelineHistory"]["edges"]:
        edge["node"]["id"] = event_id(edge["node"]["id"])
        _name_actors(edge["node"])
        edge["cursor"] = _place(edge["cursor"])
    deployments = answers["deployments"]["deployments"]["edges"]
    for edge in [*deployments, *answers["tokens"]["tokens"]["edges"]]:
        _name_actors(edge["node"])
    for edge in deployments:
        edge["cursor"] = _place(edge["cursor"])
    first = next(edge["node"] for edge in deployments if edge["node"]["number"] == 1)
    return answers | {"output": execute(LOGS, deployment=first["id"])}
