"""The server as a program: how it starts, why it doesn't, and how it ends."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.runner import test_crash
from tests.server.test_database_away import until
from tests.serving import PATIENCE, Serving, serving

data = test_crash.data

CREATE = """
mutation {
  createProject(name: "Shop") { __typename }
  createEnvironment(project: "Shop", name: "staging") { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
ADD = """
mutation ($environment: ID!, $directory: String!) {
  addService(environment: $environment, name: "api", type: JOB, spec: {
    directory: $directory, build: ["echo build >> marks; while ! test -f go; do sleep 0.02; done"], run: "true"
  }) { __typename }
}
"""
DEPLOY = """
mutation ($environment: ID!) { deploy(environment: $environment) { ... on DeploymentPayload { deployment { id } } } }
"""
STATUS = "query ($id: ID!) { deployment(id: $id) { status } }"
FOLLOW = "subscription ($environment: ID!) { pipelineEvents(environment: $environment) { type } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def test_it_is_started_again_and_makes_one_more_token_when_it_is_asked_to(server: Serving) -> None:
    first = server.token
    server.stop()
    server.start("--issue-token")
    assert server.token != first
    assert server.execute("{ __typename }") == {"__typename": "Query"}


def _not_started(server: Serving, **options: object) -> str:
    """What a second server that can't start says on stderr."""
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    ended = server.stageline("serve", *given)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_port_that_is_in_use_is_named(server: Serving, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    said = _not_started(server, port=port, data=tmp_path / "data")
    assert said == f"Can't listen on 127.0.0.1 port {port}: Address already in use. Choose another with --port.\n"
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_is_in_use_is_named(server: Serving) -> None:
    before = server.token
    said = _not_started(server, port=0, data=server.data)
    assert said.splitlines()[0].partition(" ")[2] == (
        f"ERROR Another Stageline server uses the data folder {server.data} (process {server.pid}): "
        "stop it, or name another data folder (--data)."
    )
    assert "serves" not in said
    assert server.token == before
    assert server.execute("{ __typename }") == {"__typename": "Query"}


def test_a_configuration_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    unstarted = Serving(tmp_path)
    file = unstarted.config / "stageline/config.json"
    file.parent.mkdir(parents=True)
    file.write_text("nonsense")
    said = _not_started(unstarted, port=0, data=unstarted.data)
    assert said.partition(" ")[2].startswith(f"ERROR {file} is not valid JSON (")
    assert file.read_text() == "nonsense"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_ends_it_while_clients_follow(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with serving(tmp_path) as server:
        environment = server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"]
        with _following(server, environment) as one, _following(server, environment) as other:
            process = psutil.Process(server.pid)
            process.send_signal(number)
            assert process.wait(PATIENCE) == code
            for connection in (one, other):
                with pytest.raises(ConnectionClosed) as closed:
                    connection.recv(PATIENCE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012  # "service restart": clients connect again
        server.stop()
        said = server.log.read_text().splitlines()
        assert [line for line in said if line.split(" ")[1] != "INFO"] == []  # nothing had to be broken off


def test_a_deployment_goes_on_when_it_is_started_again_after_ctrl_c(data: Path) -> None:
    with serving(data) as server:
        environment = server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"]
        server.execute(ADD, environment=environment, directory=str(data))
        deployment = server.execute(DEPLOY, environment=environment)["deploy"]["deployment"]["id"]
        until((data / "marks").exists)
        process = psutil.Process(server.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert "running steps continue, and the next start resumes them" in server.log.read_text()
        server.stop()
        server.start()
        (data / "go").touch()
        until(lambda: server.execute(STATUS, id=deployment)["deployment"]["status"] == "SUCCEEDED")
        server.stop()
        done = server.stageline("fsck", "--data", str(server.data))
        assert done.stdout.endswith("no problems found\n"), done
        assert "Traceback" not in server.log.read_text()
    assert (data / "marks").read_text() == "build\n"


@contextmanager
def _following(server: Serving, environment: str) -> Iterator[ClientConnection]:
    """A connection with a subscription that has given what there was."""
    url = server.url.replace("http", "ws", 1) + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    with connect(url, subprotocols=[protocol], open_timeout=PATIENCE, proxy=None) as connection:
        hello = {"type": "connection_init", "payload": {"authorization": f"Bearer {server.token}"}}
        follow = {"query": FOLLOW, "variables": {"environment": environment}}
        connection.send(json.dumps(hello))
        connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": follow}))
        for _ in ["connection_ack", "ENVIRONMENT_CREATED", *["STAGE_CREATED"] * 4]:
            connection.recv(PATIENCE)
        yield connection
