"""Traces of requests and deployments, at a collector that speaks OTLP."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest

from cli import main
from cli.client import ServerAddress
from cli.sandbox import free_ports
from server.collector import InvalidCollector, normalize_collector
from tests.gql.stageline import Stageline, served
from tests.runner import test_crash
from tests.runner.test_worker_crash import worker
from tests.serving import Serving, serving
from tests.tracing.collector import Collector, Span, collecting
from tracing.exporter import exporting
from tracing.otlp import CLOSE_TIMEOUT, SEND_INTERVAL
from tracing.span import annotate, child, context, fail, span, trace_id

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLER = PARENT.split("-")[1:3]

STAGING = ("--project", "Zebra", "--environment", "okapi")
PRIVATE = b"Zebra", b"okapi", b"quagga", b"bongo", b"ann@example.com", b"hunter2", b"kudu"
"""Names, reasons, secrets and output that the test enters; every text of a user is one of them."""

SECRET = "PASSWORD=${{ secrets.PASSWORD }}"

data = test_crash.data


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def path(spans: list[Span], span: Span) -> list[str]:
    """Return the names of *span* and of those above it, as far as they are known."""
    above = [each for each in spans if each.id == span.parent]
    return [span.name, *(path(spans, above[0]) if above else ())]


def sent(stageline: Stageline, name: str, parent: str) -> None:
    create = "mutation ($name: String!) { createProject(name: $name) { __typename } }"
    headers = {"authorization": f"Bearer {stageline.token}", "traceparent": parent}
    stageline.send(json={"query": create, "variables": {"name": name}}, headers=headers).raise_for_status()


def test_a_request_continues_the_trace_of_its_client(tmp_path: Path, collector: Collector) -> None:
    with served(tmp_path, traces=normalize_collector(collector.url)) as stageline:
        sent(stageline, "Shop", PARENT)
        sent(stageline, "Shop", PARENT)  # the name is taken
        sent(stageline, "Other", "00-nothing")
        stageline.send(json={"query": "{ __typename }"}, headers={"traceparent": PARENT})  # without a token
    spans = collector.spans
    made, refused, other = [each for each in spans if each.name == "createProject"]
    assert [path(spans, each) for each in (made, refused, other)] == 3 * [["createProject", "request"]]
    requests = [each for each in spans if each.name == "request"]
    assert [each.parent for each in requests] == [CALLER, CALLER, ""]
    assert [each.trace == TRACE for each in requests] == [True, True, False]
    assert [(each["type"], each["outcome"]) for each in requests] == 3 * [("mutation", "ok")]
    appends = [each for each in spans if each.parent == made.id]
    assert [each.name for each in appends] == ["append"]
    assert [each["events"] for each in appends] == [["catalog.ProjectNamed", "project.ProjectCreated"]]
    assert refused["refusal"] == "NAME_TAKEN"


async def test_a_trace_that_begins_here_is_sampled(collector: Collector) -> None:
    async with exporting(normalize_collector(collector.url), 0.0):
        with span("dropped"), child("dropped child"):
            pass
        with span("kept", parent=PARENT):
            pass
        with span("dropped", parent=f"{PARENT[:-2]}00"):
            pass
    assert [each.name for each in collector.spans] == ["kept"]


async def test_a_failure_is_marked_without_its_message(collector: Collector) -> None:
    async with exporting(normalize_collector(collector.url), 1.0):
        with pytest.raises(ValueError, match="hunter2"), span("broken"):
            raise ValueError("hunter2")
        with span("failed"):
            fail("unavailable")
    assert [(each.name, each.has_failed, each.attributes["error.type"]) for each in collector.spans] == [
        ("broken", True, "ValueError"),
        ("failed", True, "unavailable"),
    ]
    assert b"hunter2" not in collector.bytes


async def test_background_work_makes_no_trace(collector: Collector) -> None:
    async with exporting(normalize_collector(collector.url), 1.0):
        with child("background"):
            assert (context(), trace_id()) == (None, None)
    assert collector.spans == []


def test_without_a_tracer_spans_do_nothing() -> None:
    with span("request", parent=PARENT), child("append"):
        annotate(position=1)
        assert (context(), trace_id()) == (None, None)


@pytest.mark.long
def test_nothing_of_opentelemetry_is_loaded_without_traces() -> None:
    seen = "import server.main, server.worker, sys; print([each for each in sys.modules if 'opentelemetry' in each])"
    assert subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.long
async def test_a_collector_that_is_away_is_logged_once_and_gets_later_spans(caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    caplog.set_level(logging.INFO)
    url = normalize_collector(f"http://127.0.0.1:{port}")
    async with exporting(url, 1.0):
        for _ in range(2):
            with span("lost"):
                pass
            await asyncio.sleep(2 * SEND_INTERVAL)  # so that they are sent apart
        while not caplog.messages:
            await asyncio.sleep(0.1)
        with collecting(port) as collector:
            with span("sent"):
                pass
            assert [each.name for each in await asyncio.to_thread(collector.named, "sent")] == ["sent"]
            while len(caplog.messages) < 2:
                await asyncio.sleep(0.1)
    away, back = caplog.messages
    assert away.startswith(f"Traces can't be sent to {url}; ")
    assert back == f"Traces are sent again to {url}"


@pytest.mark.long
async def test_a_collector_that_is_away_delays_a_stop_by_seconds_only() -> None:
    (port,) = free_ports(1)
    async with asyncio.timeout(3 * CLOSE_TIMEOUT), exporting(normalize_collector(f"http://127.0.0.1:{port}"), 1.0):
        with span("lost"):
            pass


def configure(server: Serving, folder: Path) -> None:
    """Make an environment with a secret, and a job that gets and prints it; every text is one of `PRIVATE`."""
    job = "-n", "quagga", "-t", "job", "--directory", str(folder), "--run", "echo kudu", "--env", SECRET
    for command in (
        ("project", "create", "-n", "Zebra", "--reason", "bongo"),
        ("environment", "create", "-n", "okapi", "--project", "Zebra"),
        ("actor", "set", "admin", "--name", "kudu", "--address", "ann@example.com"),
        ("secret", "set", "PASSWORD", *STAGING),
        ("service", "add", *job, *STAGING),
    ):
        done = server.stageline(*command, stdin="hunter2")
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.long
async def test_a_deployment_is_one_trace_over_two_nodes(
    database: str, data: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "--database", database, "--no-worker", "--traces", collector.url, "--log-format", "json"
    monkeypatch.setenv("TRACEPARENT", PARENT)
    folder = data / "server"
    folder.mkdir()
    with serving(folder, *options) as server:
        monkeypatch.setenv("STAGELINE_TRACES", collector.url)
        monkeypatch.setenv("STAGELINE_LOG_FORMAT", "json")
        await asyncio.to_thread(configure, server, data)
        async with worker(database, data / "worker") as running:
            command = "environment", "deploy", "--watch", "--reason", "bongo", *STAGING
            done = await asyncio.to_thread(server.stageline, *command)
            assert done.returncode == 0, done.stdout + done.stderr
            await asyncio.to_thread(collector.named, "deployment")
            spans = [each for each in collector.spans if each.trace == TRACE]
            await running.end(SIGTERM)
    (deployment,) = [each for each in spans if each.name == "deployment"]
    (step,) = [each for each in spans if each.name == "step"]
    assert path(spans, step) == ["step", "deployment", "deploy", "request"]
    (asked,) = [each for each in spans if each.name == "deploy"]
    (request,) = [each for each in spans if each.id == asked.parent]
    assert request.parent == CALLER
    assert (step["phase"], step["outcome"], step["attempt"]) == ("deploy", "succeeded", 1)
    assert deployment["outcome"] == "succeeded"
    assert step.node == deployment.node != request.node
    appends = [each for each in spans if each.parent == deployment.id and each.name == "append"]
    recorded = [name for each in appends for name in each["events"]]
    assert {"deployment.ServiceDeployStarted", "deployment.ServiceDeployed", "deployment.DeploymentSucceeded"} <= set(
        recorded
    )
    lines = [json.loads(line) for line in (data / "worker.log").read_text().splitlines()]
    (run,) = [line for line in lines if line["event"] == "A step runs here"]
    assert (run["trace_id"], run["correlation"]) == (TRACE, asked["correlation"])
    assert run["deployment"] == deployment["deployment"]
    assert [text for text in PRIVATE if text in collector.bytes] == []


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://otel.example/", "https://otel.example/v1/traces"),
        ("https://otel.example/own/path", "https://otel.example/own/path"),
    ],
)
def test_a_collector_is_a_url_with_or_without_the_path(given: str, url: str) -> None:
    assert normalize_collector(given) == url


@pytest.mark.parametrize("given", ["127.0.0.1:4318", "grpc://host", "http://", "http://a:b:c", "http://ann:pass@host"])
def test_what_is_no_collector_is_refused(given: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidCollector):
        normalize_collector(given)
    assert main.run(["serve", "--traces", given]) == 2
    message = capfd.readouterr().err
    assert "Invalid collector of traces" in message
    assert "ann:pass" not in message


@pytest.mark.parametrize(("variable", "is_sent"), [(PARENT, True), ("", False), ("00-1-2-3\r\nx: y", False)])
def test_the_command_line_passes_the_trace_of_its_caller_on(
    monkeypatch: pytest.MonkeyPatch, variable: str, is_sent: bool
) -> None:
    monkeypatch.setenv("TRACEPARENT", variable)
    for address in (ServerAddress("http://127.0.0.1:1", None), ServerAddress("http://127.0.0.1:1", "token")):
        assert (address.headers.get("traceparent") == PARENT) is is_sent
