"""
The database stops and comes back, while a server serves and a worker drives: nothing of ours is started again.

The marks of a step show how far it came meanwhile.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from store.postgres import connection as postgres_connection
from tests import postgres
from tests.gql.stageline import PROTOCOL, Socket, Stageline
from tests.postgres import Server
from tests.proxy import far
from tests.runner import test_crash
from tests.runner.test_worker_crash import worker
from tests.server.test_nodes import STAGING, told
from tests.serving import PATIENCE, Serving, serving

data = test_crash.data

STEP = "echo {0} >> marks; while ! test -f {0}.go; do sleep 0.02; done; echo {0}.done >> marks"
CREATE = """
mutation ($name: String!) {
  createProject(name: $name) { ... on ProjectPayload { project { name } } ... on Refusal { code } }
}
"""
NAMES = "{ projects { edges { node { name } } } }"
KNOWN = "{ projects { edges { node { id } } } }"  # asked before
EVENTS = "subscription ($id: ID!) { deploymentEvents(deployment: $id) { version deploymentEventType } }"
HISTORY = "query ($id: ID!) { deploymentEvents(deployment: $id) { edges { node { version deploymentEventType } } } }"


def ask(server: Serving, query: str, **variables: object) -> httpx.Response:
    return httpx.post(
        f"{server.url}/graphql",
        json={"query": query, "variables": variables},
        headers={"authorization": f"Bearer {server.token}"},
        timeout=PATIENCE,
        trust_env=False,
    )


def health(server: Serving, path: str = "/health") -> int:
    return httpx.get(f"{server.url}{path}", trust_env=False).status_code


def until(is_so: Any, *arguments: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so(*arguments):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().split() if (folder / "marks").exists() else []


@contextmanager
def following(server: Serving, deployment: str) -> Iterator[Socket]:
    """A subscription to the deployment's events."""
    url = server.url.replace("http", "ws", 1) + "/graphql"
    with connect(url, subprotocols=[PROTOCOL], proxy=None, open_timeout=PATIENCE) as connection:
        socket = Socket(connection)
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {server.token}"}})
        assert socket.receive()["type"] == "connection_ack"
        socket.subscribe("1", EVENTS, id=deployment)
        yield socket


def next_of(socket: Socket) -> Iterator[dict[str, Any]]:
    """Return the results of the subscription, to its end."""
    while (message := socket.receive())["type"] == "next":
        yield message["payload"]["data"]["deploymentEvents"]
    assert message["type"] == "complete", message


@contextmanager
def watching(server: Serving) -> Iterator[subprocess.Popen[str]]:
    """`stageline environment deploy --watch`."""
    command = [sys.executable, "-m", "cli.main", "environment", "deploy", "--watch", *STAGING]
    watch = subprocess.Popen(
        command, cwd=server.folder, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield watch
    finally:
        watch.kill()
        watch.wait()


def story(server: Serving, database: Server, folder: Path) -> None:
    told(server, "project", "create", "-n", "Shop")
    told(server, "environment", "create", "-n", "staging", "--project", "Shop")
    steps = "--build", STEP.format("build"), "--run", STEP.format("run")
    told(server, "service", "add", "-n", "job", "-t", "job", "--directory", str(folder), *steps, *STAGING)
    with watching(server) as watch:
        until(lambda: marks(folder) == ["build"])
        (deployment,) = json.loads(told(server, "deployment", "list", *STAGING, "--json"))["deployments"]
        id_ = deployment["id"]
        with following(server, id_) as socket:
            events = next_of(socket)
            seen = [next(events)]
            while seen[-1]["deploymentEventType"] != "BUILD_STARTED":
                seen.append(next(events))

            known = ask(server, KNOWN)
            assert "extensions" not in known.json()
            database.stop("immediate")
            old = ask(server, KNOWN)
            assert (old.status_code, old.json()["data"]) == (200, known.json()["data"])
            assert old.json()["extensions"] == {"stale": {"since": old.headers["stageline-stale"]}}
            assert int(old.headers["age"]) >= 0
            for answer in (ask(server, CREATE, name="Lost"), ask(server, NAMES)):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                (error,) = answer.json()["errors"]
                assert error["extensions"] == {"code": "UNAVAILABLE"}
                assert "nothing was written: try again" in error["message"]
            assert (health(server), health(server, "/health/live")) == (503, 200)
            (folder / "build.go").touch()
            until(lambda: marks(folder) == ["build", "build.done"])  # what runs goes on

            database.start()
            until(lambda: health(server) == 200)
            assert ask(server, CREATE, name="Kept").json() == {"data": {"createProject": {"project": {"name": "Kept"}}}}
            new = ask(server, KNOWN)
            assert "extensions" not in new.json()
            assert len(new.json()["data"]["projects"]["edges"]) == 2
            until(lambda: marks(folder)[2:] == ["run"])
            (folder / "run.go").touch()
            seen += events
        written, _ = watch.communicate(timeout=PATIENCE)
        assert watch.returncode == 0, written
        assert "deployment 1 succeeded" in written
    assert marks(folder) == ["build", "build.done", "run", "run.done"]
    history = server.execute(HISTORY, id=id_)["deploymentEvents"]["edges"]
    assert seen == [edge["node"] for edge in history]
    assert [event["version"] for event in seen] == list(range(1, len(seen) + 1))
    projects = server.execute(NAMES)["projects"]["edges"]
    assert sorted(edge["node"]["name"] for edge in projects) == ["Kept", "Shop"]


@pytest.mark.long
async def test_everything_goes_on_by_itself_when_the_database_is_back(data: Path) -> None:
    steps = data / "steps"
    steps.mkdir()
    with postgres.running(waits_for_disk=False) as database, postgres.created(database.dsn, "template0") as dsn:
        with serving(data, "--database", dsn, "--no-worker") as server:
            async with worker(dsn, data / "machine"):
                await asyncio.to_thread(story, server, database, steps)
        for log in (server.log, data / "machine.log"):
            assert "Traceback" not in log.read_text()


FOLLOW = "subscription ($id: ID!) { pipelineEvents(environment: $id) { version pipelineEventType } }"
KEPT = """
mutation ($project: ID!, $key: String!) {
  createEnvironment(project: $project, name: "staging", idempotencyKey: $key) {
    ... on PipelinePayload { pipeline { environment { id } } }
  }
}
"""
STAGE = """
mutation ($id: ID!, $name: String!, $key: String!) {
  createStage(environment: $id, name: $name, idempotencyKey: $key) { ... on PipelinePayload { pipeline { version } } }
}
"""


def silence(here: Stageline, there: Stageline, hush: Callable[[], object], speak: Callable[[], object]) -> None:
    here.execute(CREATE, name="Shop")
    id_ = here.execute(KEPT, project="Shop", key="environment")["createEnvironment"]["pipeline"]["environment"]["id"]
    with here.socket() as socket:
        socket.subscribe("1", FOLLOW, id=id_)
        begun = [socket.receive()["payload"]["data"]["pipelineEvents"]["version"] for _ in range(5)]
        there.execute(STAGE, id=id_, name="heard", key="heard")
        begun.append(socket.receive()["payload"]["data"]["pipelineEvents"]["version"])
        hush()
        there.execute(STAGE, id=id_, name="unheard", key="unheard")
        answer = here.send(
            json={"query": STAGE, "variables": {"id": id_, "name": "lost", "key": "lost"}},
            headers={"authorization": f"Bearer {here.token}"},
        )
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        speak()
        version = here.execute(STAGE, id=id_, name="lost", key="lost")["createStage"]["pipeline"]["version"]
        while begun[-1] < version:
            begun.append(socket.receive()["payload"]["data"]["pipelineEvents"]["version"])
        assert begun == list(range(1, 9))  # what got lost was carried out once


async def test_a_node_says_that_its_database_is_silent_and_goes_on_when_that_speaks(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("CONNECT_TIMEOUT", "STATEMENT_TIMEOUT"):
        monkeypatch.setattr(postgres_connection, limit, 1.0)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    loop = asyncio.get_running_loop()
    here = there = None
    async with far(database) as (proxy, dsn):
        here, there = (Stageline(tmp_path, database=each, works=False) for each in (dsn, database))
        try:
            await asyncio.to_thread(here.start)
            await asyncio.to_thread(there.start, issue_token=True)
            hush, speak = (lambda act=act: loop.call_soon_threadsafe(act) for act in (proxy.hush, proxy.speak))
            await asyncio.to_thread(silence, here, there, hush, speak)
        finally:
            proxy.speak()
            await asyncio.to_thread(here.close)
            await asyncio.to_thread(there.close)
