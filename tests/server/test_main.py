"""The server as a program: how it starts, why it doesn't, and how it ends."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from cli.sandbox import free_ports
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
    workingDirectory: $directory,
    buildCommands: ["echo build >> marks; while ! test -f go; do sleep 0.02; done"], runCommand: "true"
  }) { __typename }
}
"""
DEPLOY = """
mutation ($environment: ID!) { deploy(environment: $environment) { ... on DeploymentPayload { deployment { id } } } }
"""
GET = "query ($id: ID!) { environment(id: $id) { name } }"
STATUS = "query ($id: ID!) { deployment(id: $id) { status } }"
FOLLOW = "subscription ($environment: ID!) { pipelineEvents(environment: $environment) { pipelineEventType } }"


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
    """Return the message on stderr of a second server, which can't start."""
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


@pytest.mark.parametrize("option", ["--data", "--signing-key"])
def test_a_folder_that_can_not_be_written_to_is_named_in_one_line(tmp_path: Path, option: str) -> None:
    unstarted = Serving(tmp_path)
    (tmp_path / "file").touch()
    options = ["--data", str(unstarted.data), option, str(tmp_path / "file" / "below")]
    ended = unstarted.stageline("serve", "--port", "0", *options)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"{tmp_path / 'file' / 'below'}" in line
    assert ("a part of the path is a file" if option == "--data" else "Not a directory") in line


def test_a_configuration_folder_that_can_not_be_written_to_is_named_in_one_line(tmp_path: Path) -> None:
    unstarted = Serving(tmp_path)
    unstarted.config.touch()
    said = _not_started(unstarted, port=0, data=unstarted.data)
    (line,) = said.splitlines()
    assert str(unstarted.config) in line


def test_a_token_of_the_operators_choice_needs_no_configuration_folder(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("too short")
    unstarted = Serving(tmp_path)
    unstarted.config.touch()
    options = {"port": 0, "data": unstarted.data, "admin-token": token}
    assert f"{token} holds no usable token: it must be 32 to 1,024" in _not_started(unstarted, **options)
    token.write_text("0123456789abcdef" * 4 + "\n")
    for _ in range(2):  # the second time, the token is known
        with serving(tmp_path, "--admin-token", str(token)) as server:
            headers = {"authorization": f"Bearer {token.read_text().strip()}"}
            answer = httpx.post(f"{server.url}/graphql", json={"query": "{ __typename }"}, headers=headers)
            assert answer.json() == {"data": {"__typename": "Query"}}


def test_damaged_read_models_are_rebuilt_at_the_start(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        environment = server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"]
        server.stop()
        views = bytearray((server.data / "views.db").read_bytes())
        views[100:] = bytes(len(views) - 100)
        (server.data / "views.db").write_bytes(views)
        server.start()
        assert server.execute(GET, id=environment) == {"environment": {"name": "staging"}}
        assert "is damaged and was moved to" in server.log.read_text()


@pytest.mark.long
def test_read_models_that_are_damaged_while_it_runs_are_rebuilt(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        environment = server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"]
        server.stop()
        with closing(sqlite3.connect(server.data / "views.db")) as database:
            (size,) = database.execute("PRAGMA page_size").fetchone()
            roots = "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'rows' AND rootpage > 0"
            pages = [page for (page,) in database.execute(roots)]
        views = bytearray((server.data / "views.db").read_bytes())
        for page in pages:
            views[(page - 1) * size : page * size] = b"\xff" * size
        (server.data / "views.db").write_bytes(views)
        server.start()
        until(lambda: _has_name(server, environment, "staging"))
        assert "is damaged and was moved to" in server.log.read_text()


@pytest.mark.long
def test_an_event_of_a_newer_version_ends_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.execute(CREATE)
        server.stop()
        with closing(sqlite3.connect(server.data / "log.db")) as database, database:
            database.execute(
                "INSERT INTO stored_events SELECT rowid + 1, originator_id, originator_version + 1, 'pipeline.Flown', "
                "state, id, recorded_at, actor, origin, token, correlation, causation, reason, hash, hash "
                "FROM stored_events ORDER BY rowid DESC LIMIT 1"
            )
        (server.data / "views.db").unlink()
        said = _not_started(server, port=0, data=server.data)
    assert "Unknown event 'pipeline.Flown': a newer version of Stageline wrote it. Update this one." in said
    assert "serves" not in said


@pytest.mark.long
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_signal_ends_a_start_that_waits_for_its_database(tmp_path: Path, command: str) -> None:
    waiting = Serving(tmp_path)
    options = ["--data", str(waiting.data), "--database", f"postgresql://127.0.0.1:{free_ports(1)[0]}/stageline"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "cli.main", command, *options, *(["--port", "0"] if command == "serve" else [])],
            env=waiting.env,
            stderr=log,
        ) as process,
    ):
        until(lambda: "Waiting for the database" in (tmp_path / "log").read_text())
        process.terminate()
        assert process.wait(PATIENCE) == 1
    said = (tmp_path / "log").read_text()
    assert "before its start was complete" in said
    assert "Traceback" not in said


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
        said = server.log.read_text()
        assert "running steps continue, and the next start resumes them" in said
        found = re.search(r"1 of this server's services and steps keep running: api \(process group (\d+)\)", said)
        assert found, said
        assert f"To stop them until the next start: kill -- -{found[1]}" in said
        assert os.getpgid(int(found[1])) == int(found[1])
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


def _has_name(server: Serving, environment: str, name: str) -> bool:
    """Whether the environment is read, and right; it may be unavailable, and is never missing."""
    headers = {"authorization": f"Bearer {server.token}"}
    request = {"query": GET, "variables": {"id": environment}}
    answer = httpx.post(f"{server.url}/graphql", json=request, headers=headers, timeout=PATIENCE).json()
    assert "errors" in answer or answer["data"] == {"environment": {"name": name}}
    return "errors" not in answer
