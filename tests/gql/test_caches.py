"""The default caches of Apollo Client, urql's Graphcache and Relay show the server's answers."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gql import test_clients
from tests.gql.environment import JOB, Environment
from tests.gql.relay import compile_documents
from tests.gql.stageline import Data
from tests.gql.test_clients import CLIENTS
from tests.serving import PATIENCE

packages = test_clients.packages

HINTS = re.compile("no key could be generated|Heuristic Fragment Matching|Invalid undefined")
"""Hints of graphcache without a schema: it embeds objects that have no id, and guesses which fragments match them."""

STAGES = (
    "stages { id position name description services { id name type isSkipped stage { id name } spec { runCommand } } }"
)
SNAPSHOT = """
  pipelineId version cursor environment { environmentId name project { id name } }
  stages { stageId position name description services { serviceId name type isSkipped stageId spec { runCommand } } }
"""
STEP = "{ status attempt startedAt finishedAt failureReason }"
RUN = f"""
  id number status action reason pipelineVersion environment {{ id name project {{ id name }} }}
  failure {{ stage {{ stageId name }} service {{ serviceId name type }} phase failureReason }}
  stages {{
    id stageId position name status stage {{ id name }}
    services {{
      id serviceId name type status ports build {STEP} deploy {STEP} service {{ id name stage {{ id name }} }}
    }}
  }}
"""
EVENT = """
  id cursor logPosition pipelineEventType message actor { id } reason version versionBefore project { id name }
  token { tokenId name } environment { environmentId name } stage { stageId name } service { serviceId name type }
  change {
    type message stage { stageId name } service { serviceId name type }
    ... on StageRenamed { name previousName }
    ... on ServiceMoved { fromStage { stageId name } toStage { stageId name } }
  }
"""


@dataclass(frozen=True)
class Asked:
    """A document with its variables. Its name begins with that of its module, as Relay wants."""

    text: str
    variables: Data

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.text.split()[1].partition("(")[0]

    @property
    def module(self) -> str:
        return self.name.removesuffix("Query").removesuffix("Mutation")


DOCUMENTS = """
query boardQuery($environment: ID!) { pipeline(environment: $environment) { id version cursor STAGES } }

query pastQuery($environment: ID!) { pipelineSnapshot(environment: $environment, at: { version: 5 }) { SNAPSHOT } }

query deployedQuery($environment: ID!, $first: ID!) {
  pipelineSnapshot(environment: $environment, at: { deployment: $first }) { SNAPSHOT }
}

query firstQuery($first: ID!) { deployment(id: $first) { RUN } }

query secondQuery($second: ID!) { deployment(id: $second) { RUN } }

query runsQuery($environment: ID!) { deployments(environment: $environment, first: 5) { edges { node { RUN } } } }

query pinnedQuery($first: ID!) {
  deployment(id: $first) { id pipeline { SNAPSHOT } changedSince { from { SNAPSHOT } to { SNAPSHOT } } }
}

query diffQuery($environment: ID!) {
  pipelineDiff(environment: $environment, from: { version: 5 }) {
    from { SNAPSHOT } to { SNAPSHOT } differences { change { message } events(first: 10) { edges { node { EVENT } } } }
  }
}

query historyQuery($environment: ID!) {
  pipelineHistory(environment: $environment, first: 50) { edges { node { EVENT } } }
}

query eventsQuery($environment: ID!) {
  pipelineEvents(environment: $environment, first: 50) { edges { node { EVENT } } }
}

query stepsQuery($first: ID!) {
  deploymentEvents(deployment: $first, first: 100) {
    edges {
      node {
        id deploymentEventType message deployment { deploymentId number }
        stage { stageId name } service { serviceId name type }
      }
    }
  }
}

query logsQuery($second: ID!) {
  deploymentLogs(deployment: $second, first: 50) {
    edges { node { cursor text service { serviceId name type } } }
  }
}

query placesQuery($project: ID!) {
  project(id: $project) { id name }
  environments(project: $project) { edges { node { id name project { id name } } } }
}

query nodesQuery($stage: ID!, $environment: ID!) {
  a: node(id: $stage) { id ... on Stage { name position } }
  b: node(id: $environment) { id ... on Environment { name isDeleted } }
}

mutation deployMutation($environment: ID!) {
  deploy(environment: $environment, dryRun: true) {
    __typename ... on DeploymentPayload {
      changed deployment { RUN } snapshot { number status stages { stageId name services { serviceId name } } }
    }
  }
}

mutation dryMutation($environment: ID!) {
  moveService(environment: $environment, service: "api", stage: "APPLICATION DEFAULT", dryRun: true) {
    __typename ... on PipelinePayload { changed pipeline { id version STAGES } snapshot { SNAPSHOT } }
  }
}

query namesQuery($project: ID!) {
  project(id: $project) { id name isDeleted }
  actors(first: 50) { nodes { id name version } }
  tokens(first: 50) { nodes { id name isValid revokedAt } }
}

mutation dryProjectMutation($project: ID!) {
  renameProject(project: $project, name: "Elsewhere", dryRun: true) {
    __typename ... on ProjectPayload { changed project { id name isDeleted } snapshot { projectId name isDeleted } }
  }
}

mutation dryActorMutation($actor: ID!) {
  setActorProfile(actor: $actor, name: "Nobody", dryRun: true) {
    __typename ... on ActorPayload { changed actor { id name version } snapshot { actorId name version } }
  }
}

mutation dryTokenMutation($good: ID!) {
  revokeToken(token: $good, dryRun: true) {
    __typename ... on TokenPayload {
      changed token { id name isValid revokedAt } snapshot { tokenId name isValid actor { id name } issuedBy { id } }
    }
  }
}

mutation againProjectMutation($project: ID!, $projectKey: String!, $once: String!) {
  renameProject(project: $project, name: $once, idempotencyKey: $projectKey) {
    __typename ... on ProjectPayload { changed project { id name isDeleted } snapshot { projectId name isDeleted } }
  }
}

mutation againActorMutation($actor: ID!, $actorKey: String!, $once: String!) {
  setActorProfile(actor: $actor, name: $once, idempotencyKey: $actorKey) {
    __typename ... on ActorPayload { changed actor { id name version } snapshot { actorId name version } }
  }
}

mutation againTokenMutation($hash: String!) {
  issueToken(name: "revoked", hash: $hash, idempotencyKey: $hash) {
    __typename ... on TokenPayload { changed token { id name isValid revokedAt } snapshot { tokenId name isValid } }
  }
}
"""
PARTS = {"STAGES": STAGES, "SNAPSHOT": SNAPSHOT, "RUN": RUN, "EVENT": EVENT}


def asked(variables: Data) -> list[Asked]:
    """Return the documents, each with its variables."""
    whole = re.sub(r"\b(STAGES|SNAPSHOT|RUN|EVENT)\b", lambda part: PARTS[part[0]], DOCUMENTS)
    texts = [text.strip() for text in re.split(r"\n\n(?=query|mutation)", whole)]
    return [Asked(text, {name: variables[name] for name in re.findall(r"\$(\w+):", text)}) for text in texts]


@pytest.fixture
def lived(environment: Environment) -> list[Asked]:
    """Two deployments with different ends, between them new names, and after them a change."""
    environment.add("api", runCommand="echo served")
    first = environment.end(environment.do("deploy"))
    environment.do("editStage", stage=JOB, name="Jobs")
    environment.do("editService", service="api", name="backend", spec={"runCommand": "exit 1"})
    second = environment.end(environment.do("deploy"))
    environment.do("moveService", service="backend", stage="DATABASE DEFAULT")
    environment.do("editService", service="backend", name="api")
    assert (first["status"], second["status"]) == ("SUCCEEDED", "FAILED")
    variables = {"environment": environment.id, "project": environment.project}
    variables |= {"first": first["id"], "second": second["id"], "stage": environment.pipeline["stages"][1]["id"]}
    variables |= _changed_since(environment)
    return asked(variables)


def _changed_since(environment: Environment) -> Data:
    """Rename a project and an actor and revoke a token, each after a request that is repeated later."""
    stageline, once = environment.stageline, f"once {environment.number}"
    actor = f"ann {environment.number}"
    hashes = [hashlib.sha256(f"{once} {name}".encode()).hexdigest() for name in ("good", "revoked")]
    good = stageline.do("issueToken", name="good", hash=hashes[0])
    stageline.do("renameProject", project=environment.project, name=once, idempotencyKey=f"{once} project")
    stageline.do("renameProject", project=environment.project, name=f"{once} more")
    stageline.do("setActorProfile", actor=actor, name=once, idempotencyKey=f"{once} actor")
    stageline.do("setActorProfile", actor=actor, name="Ann Now")
    gone = stageline.do("issueToken", name="revoked", hash=hashes[1], idempotencyKey=hashes[1])
    stageline.do("revokeToken", token=gone["id"])
    keys = {"projectKey": f"{once} project", "actorKey": f"{once} actor"}
    return keys | {"once": once, "actor": actor, "good": good["id"], "hash": hashes[1]}


Show = Callable[[str], Data]


@pytest.fixture
def show(lived: list[Asked], environment: Environment, tmp_path: Path) -> Show:
    """Ask with a client, and read from its cache."""

    def run(client: str) -> Data:
        if client == "relay":
            compile_documents(tmp_path, {each.module: each.text for each in lived})
        url, token = f"{environment.stageline.url}/graphql", environment.stageline.token
        given = [{"name": each.name, "text": each.text, "variables": each.variables} for each in lived]
        ran = subprocess.run(
            ["node", "caches.mjs", client, url, token, tmp_path],
            cwd=CLIENTS,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        shown: Data = json.loads(ran.stdout)
        return shown

    return run


def plain(answer: Any) -> Any:
    """*answer* without the names of types, which clients ask for besides."""
    match answer:
        case dict():
            return {key: plain(value) for key, value in answer.items() if key != "__typename"}
        case list():
            return [plain(each) for each in answer]
        case _:
            return answer


@pytest.mark.parametrize("client", ["apollo", "graphcache", "relay"])
def test_the_cache_of_a_client_shows_what_the_server_said(
    environment: Environment, lived: list[Asked], show: Show, client: str
) -> None:
    raw = [plain(environment.stageline.execute(each.text, **each.variables)) for each in lived]
    shown = show(client)
    for document, said, answer, kept in zip(lived, raw, shown["answers"], shown["kept"], strict=True):
        assert plain(answer) == said, document.name
        assert kept is None if document.text.startswith("mutation") else plain(kept) == said, document.name
    assert [each for each in shown["complaints"] if not HINTS.search(each)] == []
