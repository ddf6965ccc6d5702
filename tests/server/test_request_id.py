"""The id of a request: in its answer, in its events, in log lines, and in those of the deployment that it requests."""

import json
import logging
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from endpoint import trace
from runner.trace import bind, fields
from server.journal import JsonFormatter, add_context
from server.request_id import MAX_LENGTH
from tests.gql.stageline import Stageline
from tests.serving import Serving, serving

GIVEN = "0192d3a1-aaaa-7c3b-9a51-5a7e11d0c0de"

Lines = list[dict[str, str]]


def answered(server: Stageline, given: str | None, path: str = "/livez") -> str:
    """Return the id of an answer to a request with the id *given*."""
    headers = {} if given is None else {b"x-request-id": given.encode()}
    id_: str = server.send("GET", path, headers=headers).headers["x-request-id"]
    return id_


@pytest.mark.parametrize("given", [GIVEN, "ci-42/job:7", "a" * MAX_LENGTH])
def test_a_sane_id_of_the_client_is_answered(stageline: Stageline, given: str) -> None:
    assert answered(stageline, given) == given


@pytest.mark.parametrize("given", [None, "", "a b", "<script>", "é", "a" * (MAX_LENGTH + 1)])
def test_another_one_is_replaced_by_a_new_id(stageline: Stageline, given: str | None) -> None:
    first, second = UUID(answered(stageline, given)), UUID(answered(stageline, given))
    assert first != second


@pytest.mark.parametrize("path", ["/health", "/nothing", "/graphql", "/"])
def test_every_answer_has_an_id(stageline: Stageline, path: str) -> None:
    assert answered(stageline, GIVEN, path) == GIVEN


def test_lines_have_the_ids_of_their_task() -> None:
    trace.request.set(b"r1")
    bind(deployment="d1", service="s1")
    record = logging.makeLogRecord({"msg": "failed", "args": {"service": "s2"}})
    assert add_context(record)
    line = json.loads(JsonFormatter().format(record))
    trace.request.set(b"")
    fields.set({})
    assert (line["request"], line["deployment"], line["service"]) == ("r1", "d1", "s2")
    assert "correlation" not in line


@pytest.mark.long
def test_it_leads_from_a_request_to_its_events_its_deployment_and_its_steps(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-format", "json", "--log-level", "debug") as server:
        server.stageline("project", "create", "-n", "Shop")
        server.stageline("environment", "create", "-n", "staging", "--project", "Shop")
        server.stageline("context", "set", "--project", "Shop", "--environment", "staging")
        server.stageline("service", "add", "-n", "Job", "-t", "job", "--directory", str(tmp_path), "--run", "true")
        (project,) = server.execute("{ projects { nodes { environments { nodes { id } } } } }")["projects"]["nodes"]
        deploy = "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }"
        body = {"query": deploy, "variables": {"id": project["environments"]["nodes"][0]["id"]}}
        headers = {"authorization": f"Bearer {server.token}", "x-request-id": GIVEN}
        httpx.post(f"{server.url}/graphql", json=body, headers=headers, trust_env=False).raise_for_status()
        watched = server.stageline("deployment", "watch", "1")
        assert watched.returncode == 0, watched.stderr
        correlation = UUID(GIVEN).hex
        events = httpx.get(f"{server.url}/audit/export", headers=headers, trust_env=False).text.splitlines()
        requested = [each for each in events if GIVEN in each or correlation in each]
        assert len(requested) >= 2
        assert all("queue." in each or "deployment." in each for each in requested)
        assert [line["event"] for line in lines(server, request=GIVEN, correlation=correlation)] == ["mutation: ok"]
        (run,) = lines(server, correlation=correlation, event="A deployment runs here")
        (step,) = lines(server, correlation=correlation, event="A step runs here", phase="DEPLOY")
        assert run["deployment"] == step["deployment"]


def lines(server: Serving, **wanted: str) -> Lines:
    """Return the server's log lines that have the fields *wanted*."""
    found: Lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in found if wanted.items() <= line.items()]
