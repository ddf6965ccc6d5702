"""Instances of a real server, while it, its services, their shims or all of the machine are killed."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.targets.process.attempt import ProcessAttempt
from tests.serving import PATIENCE, Serving, serving

pytestmark = pytest.mark.long

ADD = """
mutation ($environment: ID!, $name: String!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: APPLICATION, spec: $spec) { __typename }
}
"""
INSTANCE = """
query ($environment: ID!, $service: ID!) {
  service(environment: $environment, service: $service) { instance { status restarts lastExit { code signal } } }
}
"""
LOGS = """
query ($environment: ID!, $service: ID!, $tail: Int!) {
  serviceLogs(environment: $environment, service: $service, tail: $tail) { lines }
}
"""


class World:
    """A server with one environment."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        server.stageline("project", "create", "-n", "Shop")
        server.stageline("environment", "create", "-n", "staging", "--project", "Shop")
        server.stageline("context", "set", "--project", "Shop", "--environment", "staging")
        listed = server.execute("{ environments { edges { node { id } } } }")
        self.environment = listed["environments"]["edges"][0]["node"]["id"]

    def deploy(self, name: str, run: str, **spec: Any) -> None:
        given = {"runCommand": run, "restartBackoff": {"initialSeconds": 0.05}, **spec}
        self.server.execute(ADD, environment=self.environment, name=name, spec=given)
        self.server.stageline("environment", "deploy", "--watch")

    def instance(self, name: str) -> Any:
        return self.server.execute(INSTANCE, environment=self.environment, service=name)["service"]["instance"]

    def lines(self, name: str, tail: int) -> list[str]:
        found = self.server.execute(LOGS, environment=self.environment, service=name, tail=tail)
        lines: list[str] = found["serviceLogs"]["lines"]
        return lines

    def restarted(self, name: str, restarts: int) -> Any:
        """The instance, once it runs and was restarted that often."""
        until(lambda: (self.instance(name)["status"], self.instance(name)["restarts"]) == ("RUNNING", restarts))
        return self.instance(name)

    @property
    def attempts(self) -> list[ProcessAttempt]:
        return [ProcessAttempt(each.parent) for each in self.server.data.glob("processes/*/*/*/record")]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(file: Path) -> None:
    number = int(file.read_text())
    file.unlink()
    os.kill(number, signal.SIGKILL)


def lives(file: Path) -> bool:
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return psutil.Process(int(file.read_text())).status() != psutil.STATUS_ZOMBIE
    return False


def test_instances_outlive_kills_of_the_server_the_shim_and_the_machine(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        world = World(server)
        pid = tmp_path / "pid"
        world.deploy("web", f'echo $$ > "{pid}"; echo begun; exec sleep 600')

        kill(pid)  # while the server runs
        assert world.restarted("web", 1)["lastExit"] == {"code": None, "signal": "SIGKILL"}
        until(lambda: lives(pid))

        server.kill()
        assert lives(pid)
        kill(pid)  # while none runs
        server.start()
        assert world.restarted("web", 2)["lastExit"] == {"code": None, "signal": "SIGKILL"}

        [attempt] = world.attempts
        shim = attempt.record.pid
        assert shim is not None
        service = int(pid.read_text())
        pid.unlink()
        os.kill(shim, signal.SIGKILL)
        world.restarted("web", 3)
        until(lambda: lives(pid))
        assert int(pid.read_text()) != service
        assert not psutil.pid_exists(service) or psutil.Process(service).status() == psutil.STATUS_ZOMBIE

        server.kill()  # and all processes, as the machine does when it is switched off
        shim = attempt.record.pid
        assert shim is not None
        pid.unlink()
        os.killpg(shim, signal.SIGKILL)
        server.start()
        assert world.restarted("web", 4)["lastExit"] == {"code": None, "signal": None}
        until(lambda: lives(pid))
        assert world.lines("web", 9).count("begun") == 5


def test_a_service_that_prints_200_mb_has_its_last_lines_and_small_files(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        world = World(server)
        go = tmp_path / "go"
        line = "x" * 99
        printing = f"yes {line} | head -n 2000000; echo printed; exec sleep 600"
        world.deploy("web", f'until [ -e "{go}" ]; do sleep 0.05; done; {printing}')
        go.touch()
        until(lambda: world.lines("web", 1) == ["printed"])
        [attempt] = world.attempts
        until(lambda: attempt.log.stat().st_size < 16 * 1024**2)
        sizes = {each.name: each.stat().st_size for each in attempt.folder.iterdir()}
        assert sum(sizes.values()) < 64 * 1024**2
        assert world.lines("web", 2) == [line, "printed"]
