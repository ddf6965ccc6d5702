"""What is on the server that is attacked, as far as attacks name it."""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from msgspec import Struct

from tests.serving import PATIENCE, PAUSE, Serving

SERVICES = 6
LIFE = timedelta(seconds=2)
"""How long the token is good that has expired when the attacks begin."""

ISSUE = """mutation ($name: String!, $hash: String!, $expiresAt: DateTime) {
  issueToken(name: $name, hash: $hash, expiresAt: $expiresAt) {
    ... on TokenPayload { token { id } } ... on Refusal { message } } }"""


class World(Struct, frozen=True):
    """*host* and *port* are the server's; *ids* are global ids, names and cursors by what an argument may name."""

    host: str
    port: int
    tokens: tuple[str, ...]
    bad_tokens: tuple[str, ...]
    ids: dict[str, tuple[str, ...]]


def build(server: Serving) -> World:
    """A project with environments; one has a finished deployment, and another may be deleted."""
    project = _made(server, "createProject", "id", name="Shop")["id"]
    environments = [
        _made(server, "createEnvironment", "environment { id }", project=project, name=name)["environment"]["id"]
        for name in ("production", "staging", "doomed")
    ]
    for environment in environments:
        for number in range(SERVICES):
            spec = {"runCommand": "echo done", "buildCommands": ["true"], "env": [{"name": "A", "value": "1"}]}
            _made(server, "addService", "id", environment=environment, name=f"job-{number}", type="JOB", spec=spec)
    deployment = _made(server, "deploy", "id", environment=environments[0])["id"]
    _wait_until_over(server, deployment)
    things = server.execute(
        """query ($environment: ID!, $deployment: ID!) {
          pipeline(environment: $environment) { id cursor stages { id name services { id name } } }
          deployment(id: $deployment) { cursor }
          pipelineEvents(environment: $environment) { edges { cursor node { id } } }
          deploymentEvents(deployment: $deployment, first: 5) { edges { cursor node { id } } }
          history { edges { cursor } }
          deploymentLogs(deployment: $deployment, first: 5) { edges { cursor } }
          cursor }""",
        environment=environments[0],
        deployment=deployment,
    )
    stages = things["pipeline"]["stages"]
    services = [service for stage in stages for service in stage["services"]]
    lists = ("pipelineEvents", "deploymentEvents", "history", "deploymentLogs")
    edges = [edge for name in lists for edge in things[name]["edges"]]
    tokens, bad = _tokens(server)
    return World(
        host="127.0.0.1",
        port=int(server.url.rpartition(":")[2]),
        tokens=tokens,
        bad_tokens=bad,
        ids={
            "project": (project, "Shop"),
            "environment": (environments[0], environments[1], things["pipeline"]["id"]),
            "doomed": (environments[2],),
            "stage": tuple(stage[key] for stage in stages for key in ("id", "name")),
            "service": tuple(service[key] for service in services for key in ("id", "name")),
            "deployment": (deployment,),
            "event": tuple(edge["node"]["id"] for edge in edges if "node" in edge),
            "cursor": (things["cursor"], things["pipeline"]["cursor"], *(edge["cursor"] for edge in edges)),
            "actor": ("admin", "fuzz"),
        },
    )


def _made(server: Serving, field: str, asked: str, **arguments: object) -> dict[str, Any]:
    """What the mutation *field* has made."""
    types = {"name": "String!", "type": "ServiceType!", "spec": "ServiceSpecInput"}
    declared = ", ".join(f"${name}: {types.get(name, 'ID!')}" for name in arguments)
    given = ", ".join(f"{name}: ${name}" for name in arguments)
    kind = {"createProject": "Project", "deploy": "Deployment"}.get(field, "Pipeline")
    payload = f"... on {kind}Payload {{ {kind.lower()} {{ {asked} }} }}"
    document = f"mutation ({declared}) {{ {field}({given}) {{ {payload} __typename }} }}"
    answer = server.execute(document, **arguments)[field]
    assert answer["__typename"] == f"{kind}Payload", f"{field} was refused"
    made: dict[str, Any] = answer[kind.lower()]
    return made


def _wait_until_over(server: Serving, deployment: str) -> None:
    deadline = time.monotonic() + PATIENCE
    document = "query ($id: ID!) { deployment(id: $id) { status } }"
    while (status := server.execute(document, id=deployment)["deployment"]["status"]) in ("QUEUED", "RUNNING"):
        assert time.monotonic() < deadline, f"the deployment is {status}"
        time.sleep(PAUSE)
    assert status == "SUCCEEDED"


def _tokens(server: Serving) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are good, and those that are not: revoked, expired, and never issued."""
    names = ("good-1", "good-2", "revoked", "expired")
    texts = {name: "stageline_" + hashlib.sha256(name.encode()).hexdigest() for name in names}
    until = datetime.now(UTC) + LIFE
    ids = {
        name: server.execute(
            ISSUE,
            name=name,
            hash=hashlib.sha256(text.encode()).hexdigest(),
            expiresAt=until.isoformat() if name == "expired" else None,
        )["issueToken"]["token"]["id"]
        for name, text in texts.items()
    }
    server.execute("mutation ($token: ID!) { revokeToken(token: $token) { __typename } }", token=ids["revoked"])
    while _is_let_in(server, texts["expired"]):
        time.sleep(PAUSE)
    return _of(texts, "good-1", "good-2"), (*_of(texts, "revoked", "expired"), "stageline_" + "x" * 43)


def _of(texts: dict[str, str], *names: str) -> tuple[str, ...]:
    return tuple(texts[name] for name in names)


def _is_let_in(server: Serving, token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{server.url}/graphql", json={"query": "{ cursor }"}, headers=headers, trust_env=False)
    return answer.status_code == httpx.codes.OK
