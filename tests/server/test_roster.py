"""The reason for which an open deployment waits, and the workers, as an operator sees both."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import PATIENCE, ROOT, Serving
from tests.waiting import wait_until

IN = "--project", "Shop", "--environment", "staging"
HERE = socket.gethostname()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Serving]:
    """A server that is still to be started."""
    node = Serving(tmp_path)
    yield node
    node.close()


def told(node: Serving, *arguments: str) -> str:
    done = node.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def set_up(node: Serving) -> Path:
    """Add a job that runs until the returned file exists."""
    gate = node.folder / "gate"
    told(node, "project", "create", "-n", "Shop")
    told(node, "environment", "create", "-n", "staging", "--project", "Shop")
    run = f"until test -e {gate}; do sleep 0.1; done"
    told(node, "service", "add", "--directory", str(node.folder), *IN, "-n", "slow", "-t", "job", "--run", run)
    return gate


def waits(node: Serving, number: int) -> Any:
    return json.loads(told(node, "deployment", "show", str(number), *IN, "--json"))["waitsFor"]


def recorded(node: Serving, number: int) -> list[str]:
    """Return the waits in the events of a deployment."""
    lines = told(node, "deployment", "events", str(number), *IN, "--json").splitlines()
    return [event["message"] for event in map(json.loads, lines) if event["deploymentEventType"].startswith("WAIT_")]


def waiting(node: Serving) -> Any:
    """Of the server's health."""
    return httpx.get(f"{node.url}/health", trust_env=False, timeout=PATIENCE).json()["waiting"]


def workers(node: Serving) -> Any:
    return json.loads(told(node, "worker", "list", "--json"))["workers"]


def holds(node: Serving, *steps: str) -> Callable[[], bool]:
    """Whether the one worker carries out *steps* of deployment 1."""

    def check() -> bool:
        text = told(node, "worker", "list")
        return "staging 1" in text and all(step in text for step in steps)

    return check


@contextmanager
def working(node: Serving, database: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["-m", "cli.main", "worker", "--database", database, "--data", str(node.data)]
    worker = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=node.env)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.long
def test_a_deployment_says_that_no_worker_runs_and_then_that_its_machine_is_silent(node: Serving, empty: str) -> None:
    node.start("--database", empty, "--no-worker")
    gate = set_up(node)
    told(node, "environment", "deploy", *IN)
    assert workers(node) == []
    assert waits(node, 1)["reason"] == "WORKER"
    assert "  waits: no worker runs\n" in told(node, "deployment", "show", *IN)
    assert waiting(node) == [{"deployments": 1, "machine": None, "reason": "no worker runs"}]
    watched = node.stageline("deployment", "watch", *IN, "--timeout", "4")
    assert watched.returncode == 124
    assert watched.stdout.count("no worker runs") == 1, "the event says it"
    assert recorded(node, 1) == ["waits: no worker runs"]

    with working(node, empty) as worker:
        wait_until(holds(node, "deploy slow"), "the worker runs the job")
        assert [waits(node, 1), waiting(node)] == [None, []]
        [listed] = workers(node)
        assert [listed["machine"], listed["isSilent"], listed["deployments"][0]["number"]] == [HERE, False, 1]
        worker.kill()
        worker.wait()
        wait_until(lambda: waits(node, 1), "the silence is noticed")
    silent = f"waits: the workers of machine {HERE} are silent"
    wait_until(lambda: recorded(node, 1)[-1] == silent, "the event says so")
    wait = waits(node, 1)
    assert [wait["reason"], wait["machine"]] == ["MACHINE", HERE]
    assert wait["message"].startswith(f"the workers of machine {HERE} have been silent for ")
    [told_of] = waiting(node)
    assert [told_of["deployments"], told_of["machine"]] == [1, HERE]
    assert [each["isSilent"] for each in workers(node)] == [True]

    told(node, "environment", "deploy", *IN)
    assert waits(node, 2)["message"].startswith("deployment 1 of the environment must end first; the workers of ")
    assert recorded(node, 2) == ["waits: deployment 1 of the environment must end first"]
    gate.touch()
    with working(node, empty) as worker:
        wait_until(lambda: "succeeded" in told(node, "deployment", "show", "2", *IN), "both go on")
        worker.terminate()
        worker.wait()
    assert [each["isSilent"] for each in workers(node)] == [True], "the worker that stopped in order has left the list"
    assert recorded(node, 1)[0] == "waits: no worker runs"
    assert recorded(node, 1).count(silent) == 1, "one event for each change"


@pytest.mark.long
def test_the_events_say_that_a_silent_machine_answers_again(node: Serving, empty: str) -> None:
    node.start("--database", empty, "--no-worker")
    gate = set_up(node)
    with working(node, empty) as worker:
        told(node, "environment", "deploy", *IN)
        wait_until(holds(node, "deploy slow"), "the worker runs the job")
        worker.send_signal(signal.SIGSTOP)
        silent = f"waits: the workers of machine {HERE} are silent"
        wait_until(lambda: recorded(node, 1)[-1:] == [silent], "the silence is recorded")
        worker.send_signal(signal.SIGCONT)
        again = f"waits no longer: the workers of machine {HERE} answer again"
        wait_until(lambda: recorded(node, 1)[-1:] == [again], "its end is recorded")
        gate.touch()
        wait_until(lambda: "succeeded" in told(node, "deployment", "show", "1", *IN), "it goes on")
    assert recorded(node, 1)[-2:] == [silent, again]


@pytest.mark.long
def test_a_server_on_sqlite_lists_its_own_engine_and_the_deployment_before(node: Serving) -> None:
    node.start()
    gate = set_up(node)
    told(node, "environment", "deploy", *IN)
    wait_until(holds(node, "deploy slow"), "the engine runs the job")
    told(node, "environment", "deploy", *IN)
    told(node, "environment", "stage", "create", "-n", "Second", *IN)
    told(node, "environment", "deploy", *IN)
    assert waits(node, 1) is None
    second, third = waits(node, 2), waits(node, 3)
    assert [second["reason"], second["deployment"]["number"]] == ["DEPLOYMENT", 1]
    assert second["message"] == "deployment 1 of the environment must end first"
    assert third["message"] == "deployment 1 and 1 more of the environment must end first"
    watched = node.stageline("deployment", "watch", "2", *IN, "--timeout", "3", "--json")
    assert any(
        json.loads(line).get("waitsFor", {}).get("reason") == "DEPLOYMENT"
        for line in watched.stdout.split("\n")
        if line
    )
    assert waiting(node) == []
    [listed] = workers(node)
    assert [listed["machine"], listed["isSilent"]] == [HERE, False]
    gate.touch()
    wait_until(lambda: workers(node)[0]["deployments"] == [], "all are over")
