"""The services of docker-compose.yml as processes: two servers that drive nothing, and two workers."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.postgres import created
from tests.runner import test_crash
from tests.runner.test_worker_crash import worker
from tests.serving import Serving, serving

data = test_crash.data

STAGING = ("--project", "Shop", "--environment", "staging")
SERVICE = ("service", "add", "-n", "api", "-t", "application", "--directory", ".", "--run", "exec sleep 600")


def told(node: Serving, *arguments: str) -> str:
    done = node.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def statuses(node: Serving) -> dict[int, str]:
    """Of all deployments, by number."""
    listed = json.loads(told(node, "deployment", "list", *STAGING, "--json"))
    return {each["number"]: each["status"] for each in listed["deployments"]}


def prepare(first: Serving, second: Serving) -> None:
    """Has every node do something, and the other see it."""
    for number, command in enumerate(
        [
            ("project", "create", "-n", "Shop"),
            ("environment", "create", "-n", "staging", "--project", "Shop"),
            (*SERVICE, *STAGING),
            ("environment", "deploy", *STAGING),
        ]
    ):
        told((first, second)[number % 2], *command)


class Nodes(NamedTuple):
    first: Serving
    second: Serving
    database: str


@pytest.fixture(scope="module")
def nodes(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    with created(postgres) as database:
        options = "--database", database, "--no-worker"
        with serving(folders[0], *options) as first, serving(folders[1], *options, "--issue-token") as second:
            yield Nodes(first, second, database)


async def test_what_one_node_is_told_is_carried_out_by_any_worker_and_seen_on_the_other(
    nodes: Nodes, data: Path
) -> None:
    await asyncio.to_thread(prepare, nodes.first, nodes.second)
    both = nodes.first, nodes.second
    assert [statuses(node) for node in both] == [{1: "QUEUED"}] * 2  # nobody drives
    async with worker(nodes.database, data / "worker-1"), worker(nodes.database, data / "worker-2"):
        await asyncio.to_thread(told, nodes.second, "environment", "deploy", "--watch", *STAGING)
    assert [statuses(node) for node in both] == [{1: "SUCCEEDED", 2: "SUCCEEDED"}] * 2


@pytest.mark.long
def test_who_signs_with_another_key_than_the_others_is_told(database: str, tmp_path: Path) -> None:
    """As one who started without the first one's: its heads aren't what the auditor's public key is for."""
    options = "--database", database, "--no-worker"
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    with serving(folders[0], *options) as first, serving(folders[1], *options) as second:
        assert "Heads of the log" not in first.log.read_text()
        own, other = first.data / "signing-key.pem", second.data / "signing-key.pem"
        (warning,) = [line for line in second.log.read_text().splitlines() if "Heads of the log" in line]
        assert warning.partition(" ")[2].startswith("WARNING Heads of the log are signed with the key ")
        assert f"({other})" in warning
        first.stop()
        first.start(*options, "--signing-key", str(other))
        assert "Heads of the log" not in first.log.read_text()
        second.stop()
        second.start(*options, "--signing-key", str(own))
        assert second.log.read_text().count("Heads of the log") == 2


CREATE = """
mutation ($name: String!, $key: String!) {
  createProject(name: $name, idempotencyKey: $key) { ... on ProjectPayload { project { id cursor } } }
}
"""
READ = "query ($id: ID!, $atLeast: String) { project(id: $id, atLeast: $atLeast) { id name } }"


def asked(node: Serving, token: str, query: str, **variables: object) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    request = {"query": query, "variables": variables}
    answer = httpx.post(f"{node.url}/graphql", json=request, headers=headers, timeout=60, trust_env=False).json()
    assert "errors" not in answer, answer
    return answer["data"]


def test_what_was_written_on_one_node_is_read_on_the_other_and_not_written_twice(nodes: Nodes) -> None:
    both, token = (nodes.first, nodes.second), nodes.second.token
    for number in range(20):
        here, there = both[number % 2], both[1 - number % 2]
        name, key = f"Project {number}", f"key {number}"
        made = asked(here, token, CREATE, name=name, key=key)["createProject"]["project"]
        read = asked(there, token, READ, id=made["id"], atLeast=made["cursor"])["project"]
        assert read == {"id": made["id"], "name": name}
        assert asked(there, token, CREATE, name=name, key=key)["createProject"]["project"] == made
