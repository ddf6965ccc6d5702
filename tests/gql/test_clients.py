"""Subscriptions as frontends read them: graphql-ws from npm against a real server and a real deployment."""

import fcntl
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.serving import PATIENCE, ROOT, Serving, serving

CLIENTS = ROOT / "tests/clients"

EVENT = """
  id cursor logPosition version deploymentEventType recordedAt actor { id name } origin reason message
  stage { stageId name } service { serviceId name type } phase attempt failureReason worker cancellation ports
"""
SUBSCRIPTION = f"""
subscription ($deployment: ID!, $after: String) {{
  deploymentEvents(deployment: $deployment, after: $after) {{ {EVENT} }}
}}
"""
QUERY = f"""
query ($deployment: ID!) {{
  deploymentEvents(deployment: $deployment, first: 500) {{ edges {{ node {{ {EVENT} }} }} pageInfo {{ hasNextPage }} }}
}}
"""
CREATE = """
mutation ($project: String!, $id: ID!) {
  createProject(name: $project) { __typename }
  createEnvironment(project: $id, name: "live") { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
ADD = """
mutation ($environment: ID!, $name: String!, $type: ServiceType!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: $type, spec: $spec) { __typename ... on Refusal { message } }
}
"""
DEPLOY = """
mutation ($environment: ID!) {
  deploy(environment: $environment) { ... on DeploymentPayload { deployment { id number } } ... on Refusal { message } }
}
"""

# The last stage but one waits for a file, so that there is a middle in which clients are sure to be subscribed.
GATE = 'until [ -e "gate-$STAGELINE_DEPLOYMENT_NUMBER" ]; do sleep 0.05; done'
SERVICES: list[tuple[str, str, dict[str, object]]] = [
    ("Redis", "DATABASE", {"buildCommands": ["echo built"], "runCommand": "exec sleep 600"}),
    ("DB", "DATABASE", {"runCommand": "exec sleep 600"}),
    ("Migrations", "JOB", {"buildCommands": ["echo one", "echo two"], "runCommand": "echo migrated"}),
    ("Gate", "JOB", {"runCommand": GATE}),
    ("Rabbitmq", "CONTAINER", {"buildCommands": ["true"], "runCommand": "exec sleep 600"}),
    ("Backend", "APPLICATION", {"buildCommands": ["echo built"], "runCommand": "exec sleep 600"}),
    ("Frontend", "APPLICATION", {"buildCommands": ["echo built"], "runCommand": "exec sleep 600"}),
]


@dataclass(frozen=True)
class Live:
    """A deployment under way, which comes to its end only when it is let."""

    server: Serving
    id: str
    number: int

    def let_end(self) -> None:
        (self.server.folder / f"gate-{self.number}").touch()

    def events(self) -> list[dict[str, Any]]:
        """What there is, read as a list."""
        page = self.server.execute(QUERY, deployment=self.id)["deploymentEvents"]
        assert not page["pageInfo"]["hasNextPage"]
        return [edge["node"] for edge in page["edges"]]


class Watcher:
    """A graphql-ws client in a process of its own."""

    def __init__(self, deployment: Live, *options: str, token: str | None = None) -> None:
        variables = json.dumps({"deployment": deployment.id})
        url, token = f"{deployment.server.url}/graphql", token or deployment.server.token
        self.process = subprocess.Popen(
            ["node", "watch.mjs", url, token, SUBSCRIPTION, "--variables", variables, *options],
            cwd=CLIENTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._out, self._err = self.process.stdout, self.process.stderr
        self._lines: list[str] = []
        self._patience = Timer(PATIENCE, self.process.kill)
        self._patience.start()

    def wait_for_an_event(self) -> None:
        assert self._out is not None
        self._lines.append(self._out.readline())

    def events(self) -> list[dict[str, Any]]:
        """All that it was sent, once the server has completed the subscription."""
        assert self.end() == (0, "")
        return [json.loads(line)["data"]["deploymentEvents"] for line in self._lines]

    def end(self) -> tuple[int, str]:
        """Waits for its end: its exit code, and what it complained of."""
        assert self._out is not None
        assert self._err is not None
        with self.process:
            self._lines += self._out
            complaints = self._err.read()
        self._patience.cancel()
        return self.process.returncode, complaints

    def close(self) -> None:
        self._patience.cancel()
        with self.process:
            self.process.kill()


Watch = Callable[..., Watcher]


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """The clients' packages, as their lock says."""
    assert shutil.which("node"), "Node.js runs the clients: scripts/test installs it"
    lock, installed = CLIENTS / "package-lock.json", CLIENTS / "node_modules/.package-lock.json"

    def wanted(file: Path) -> dict[str, Any]:
        packages = json.loads(file.read_text())["packages"].items()
        optional = {"optional", "devOptional"}  # for other machines than this one
        return {name: about["version"] for name, about in packages if name and about.keys().isdisjoint(optional)}

    with lock.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not installed.exists() or wanted(installed) != wanted(lock):
            subprocess.run(
                ["npm", "ci", "--silent", "--prefer-offline", "--no-audit", "--no-fund"],
                cwd=CLIENTS,
                check=True,
                timeout=5 * PATIENCE,
            )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def made(server: Serving) -> str:
    """An environment with all kinds of services; its id."""
    id_ = server.execute(CREATE, project="Shop", id="Shop")["createEnvironment"]["pipeline"]["environment"]["id"]
    for name, kind, spec in SERVICES:
        added = server.execute(ADD, environment=id_, name=name, type=kind, spec=spec)["addService"]
        assert added == {"__typename": "PipelinePayload"}
    return str(id_)


@pytest.fixture(scope="module")
def environment(server: Serving) -> str:
    return made(server)


@contextmanager
def started(server: Serving, environment: str) -> Iterator[Live]:
    """A deployment that is let end at the latest when nobody needs it any more."""
    deployed = server.execute(DEPLOY, environment=environment)["deploy"]["deployment"]
    live = Live(server, deployed["id"], deployed["number"])
    try:
        yield live
    finally:
        live.let_end()


@pytest.fixture
def deployment(server: Serving, environment: str) -> Iterator[Live]:
    with started(server, environment) as live:
        yield live


@pytest.fixture
def watch(deployment: Live) -> Iterator[Watch]:
    """Starts a `Watcher` of the deployment with the given options."""
    with ExitStack() as stack:

        def start(*options: str, token: str | None = None) -> Watcher:
            watcher = Watcher(deployment, *options, token=token)
            stack.callback(watcher.close)
            return watcher

        yield start


def test_clients_get_the_events_that_a_query_gives_in_the_same_order(deployment: Live, watch: Watch) -> None:
    one, other = watch(), watch()
    one.wait_for_an_event()
    other.wait_for_an_event()
    deployment.let_end()
    seen = one.events()
    assert seen == other.events() == deployment.events()
    assert [event["logPosition"] for event in seen] == sorted({event["logPosition"] for event in seen})
    assert seen[0]["deploymentEventType"] == "DEPLOYMENT_PLANNED"
    assert seen[-1]["deploymentEventType"] == "DEPLOYMENT_SUCCEEDED"
    deployed = [event["service"]["name"] for event in seen if event["deploymentEventType"] == "SERVICE_DEPLOYED"]
    assert sorted(deployed) == sorted(name for name, *_ in SERVICES)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_client_that_comes_back_with_its_cursor_misses_and_repeats_nothing(
    deployment: Live, watch: Watch, seed: int
) -> None:
    places = random.Random(seed)
    cuts = [[1] * 100, *([places.randint(1, 6) for _ in range(100)] for _ in range(3))]
    watchers = [watch("--cut", ",".join(map(str, each))) for each in cuts]
    for watcher in watchers:
        watcher.wait_for_an_event()
    deployment.let_end()
    seen = [watcher.events() for watcher in watchers]
    assert seen == [deployment.events()] * len(cuts)


def test_a_client_that_comes_late_gets_the_whole_story_and_its_end(deployment: Live, watch: Watch) -> None:
    deployment.let_end()
    watch().events()
    late = watch().events()
    assert late == deployment.events()
    assert late[-1]["deploymentEventType"] == "DEPLOYMENT_SUCCEEDED"


def test_a_client_outlives_the_server_without_missing_an_event(deployment: Live, watch: Watch) -> None:
    watcher = watch()
    watcher.wait_for_an_event()
    deployment.server.kill()
    deployment.server.start()
    deployment.let_end()
    assert watcher.events() == deployment.events()


def test_a_client_with_a_wrong_token_is_sent_away(deployment: Live, watch: Watch) -> None:
    assert watch(token="stageline_nonsense").end() == (2, "4403\n")
