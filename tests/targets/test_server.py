"""A real server on a real engine: private images, instances and their output, and what is left nowhere."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine
from tests.serving import PATIENCE, Serving, serving
from tests.targets.engine import HOST, IMAGE
from tests.targets.registry import PASSWORD, USER, push, registry

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.test_on_docker"),
]

ADD = """
mutation ($environment: ID!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: "web", type: CONTAINER, spec: $spec) { __typename }
}
"""
INSTANCE = """
query ($environment: ID!) {
  service(environment: $environment, service: "web") {
    instance { status restarts lastExit { code signal } endpoints { host port } }
  }
}
"""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, "--docker", os.environ[HOST]) as server:
        server.stageline("project", "create", "-n", "Shop")
        server.stageline("environment", "create", "-n", "staging", "--project", "Shop", "--target", "docker")
        server.stageline("context", "set", "--project", "Shop", "--environment", "staging")
        yield server
        server.stageline("environment", "delete-instances", "--watch", "--yes")


def environment_of(server: Serving) -> str:
    listed = server.execute("{ environments { edges { node { id } } } }")
    id_: str = listed["environments"]["edges"][0]["node"]["id"]
    return id_


async def test_a_private_image_is_deployed_observed_and_read_and_its_password_is_nowhere(
    engine: Engine, server: Serving, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder, has_login=True) as host:
        name = f"{host}/private:1"
        await push(engine, IMAGE, name)
        environment = environment_of(server)
        command = ["sh", "-c", "echo up; until [ -e /tmp/end ]; do sleep 0.05; done; rm /tmp/end; echo down; exit 3"]
        spec = {"image": name, "container": {"command": command}, "ports": []}
        server.execute(ADD, environment=environment, spec=spec)
        config = json.dumps({"auths": {host: {"username": USER, "password": PASSWORD}}})
        server.stageline("secret", "set", "DOCKER_AUTH_CONFIG", stdin=config)
        server.stageline("environment", "deploy", "--watch")

        def instance() -> Any:
            return server.execute(INSTANCE, environment=environment)["service"]["instance"]

        assert instance()["status"] == "RUNNING"
        assert server.stageline("logs", "web").stdout.splitlines() == ["up"]
        listed = await engine.get("/containers/json", list[dict[str, Any]], filters={"label": ["stageline.service"]})
        own = next(each["Id"] for each in listed if each["Labels"]["stageline.service-name"] == "web")
        await engine.run(own, ["touch", "/tmp/end"])
        until(lambda: (instance()["status"], instance()["restarts"]) == ("RUNNING", 1))
        assert instance()["lastExit"] == {"code": 3, "signal": None}
        assert server.stageline("logs", "web", "--tail", "2").stdout.splitlines() == ["down", "up"]

        seen = [server.stageline("deployment", "logs").stdout, server.stageline("deployment", "show", "--json").stdout]
        seen.append((await asyncio.to_thread(subprocess.run, ["ps", "axeww"], capture_output=True, text=True)).stdout)
        seen.append(json.dumps(await engine.get(f"/containers/{own}/json", dict[str, Any])))
        files = [each.read_bytes() for each in server.data.rglob("*") if each.is_file()]
        assert [text for text in seen if PASSWORD in text] == []
        assert not any(PASSWORD.encode() in content for content in files)

        server.kill()
        await engine.delete(f"/containers/{own}", force=True)
        server.start("--docker", os.environ[HOST])
        until(lambda: instance()["status"] == "LOST")


async def test_a_rollback_runs_the_image_of_then_although_its_tag_has_moved(
    engine: Engine, server: Serving, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder) as host:
        name = f"{host}/app:1"
        await push(engine, IMAGE, name)
        container = {"command": ["sh", "-c", "echo ${MOVED:-first}; exec sleep 60"], "pull": "ALWAYS"}
        spec = {"image": name, "container": container, "ports": []}
        server.execute(ADD, environment=environment_of(server), spec=spec)

        def output() -> list[str]:
            return server.stageline("logs", "web").stdout.splitlines()

        server.stageline("environment", "deploy", "--watch")
        assert output() == ["first"]
        (own,) = await engine.get("/containers/json", list[ListedContainer], filters={"label": ["stageline.service"]})
        await engine.post("/commit", container=own.id, repo="moved", tag="1", changes="ENV MOVED=second")
        await push(engine, "moved:1", name)
        await engine.delete("/images/moved:1")
        server.stageline("environment", "deploy", "--watch")
        assert output() == ["second"]
        server.stageline("rollback", "1", "--watch")
        assert output() == ["first"]
        server.stageline("environment", "deploy", "--watch")
        assert output() == ["second"]


async def test_volumes_are_deleted_only_when_that_is_requested(engine: Engine, server: Serving) -> None:
    environment = environment_of(server)
    mounted = [{"name": "data", "path": "/data"}]
    container = {"command": ["sh", "-c", "echo kept >> /data/file; cat /data/file; exec sleep 60"], "volumes": mounted}
    server.execute(ADD, environment=environment, spec={"image": IMAGE, "container": container, "ports": []})
    for options, printed in (([], ["kept"]), (["--volumes"], ["kept", "kept"]), ([], ["kept"])):
        server.stageline("environment", "deploy", "--watch")
        assert server.stageline("logs", "web").stdout.splitlines() == printed
        server.stageline("environment", "delete-instances", *options, "--yes", "--watch")
        noted = "volume data is deleted" in server.stageline("deployment", "logs").stdout
        assert noted == bool(options)
    server.stageline("environment", "delete-instances", "--volumes", "--yes", "--watch")
