"""Requests through proxies, and to a server that is away for a while."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from graphql import parse, validate

from cli.client import fault, patience
from cli.errors import Misused
from gql import schema
from tests.cli.shell import Shell


@contextmanager
def failing(url: str, status: int, times: int) -> Iterator[str]:
    """A proxy that passes requests on, and answers the first *times* with *status* although they were carried out."""
    left = times

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal left
            body = self.rfile.read(int(self.headers["content-length"]))
            names = ("authorization", "content-type", "accept", "stageline-origin")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            answer = httpx.post(url + self.path, content=body, headers=headers, trust_env=False)
            is_failure, left = left > 0, left - 1
            content = b"<html>Bad gateway</html>" if is_failure else answer.content
            self.send_response(status if is_failure else answer.status_code)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """No lines on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("status", [502, 503])
def test_a_change_is_sent_again_until_the_server_is_back_and_made_once(
    staging: Shell, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with failing(staging.server.url, status, times=2) as url:
        monkeypatch.setenv("STAGELINE_TOKEN", staging.server.token)
        monkeypatch.setenv("STAGELINE_URL", url)
        answer = staging("project", "create", "-n", f"Twice {status}")
    assert answer.code == 0, answer
    assert f"is unavailable (HTTP {status}). Retrying" in answer.err
    monkeypatch.setenv("STAGELINE_URL", staging.server.url)
    assert answer.out == "Project created successfully\n"  # a second one of that name would be refused


def test_a_change_to_a_server_that_stays_away_ends_with_another_code_than_a_refusal(
    staging: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGELINE_PATIENCE", "0.5")
    with failing(staging.server.url, 503, times=100) as url:
        monkeypatch.setenv("STAGELINE_TOKEN", staging.server.token)
        monkeypatch.setenv("STAGELINE_URL", url)
        answer = staging("project", "create", "-n", "Away", "--json")
    assert answer.code == 3
    assert '"code":"UNAVAILABLE"' in answer.err


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_a_server_on_this_machine_needs_no_proxy(
    staging: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    assert staging("project", "list").code == 0
    assert staging("audit", "export").code == 0


@pytest.mark.parametrize(
    ("proxy", "why"),
    [("socks5://127.0.0.1:1", "SOCKS is not supported."), ("nonsense://127.0.0.1:1", "Unknown scheme for proxy URL")],
)
def test_a_proxy_that_can_not_be_used_is_named(
    staging: Shell, monkeypatch: pytest.MonkeyPatch, proxy: str, why: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("STAGELINE_URL", "https://stageline.example")
    answer = staging("project", "list")
    assert answer.code == 2
    assert f"The proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY can't be used: {why}" in answer.err
    assert "pip install" not in answer.err
    assert "NO_PROXY=stageline.example" in answer.err


@pytest.mark.parametrize("code", [0, 4])
def test_a_watch_without_stdout_ends_with_the_deployments_code(staging: Shell, code: int) -> None:
    run = "true" if code == 0 else "exit 3"
    staging.done("service", "add", "-n", "Job", "-t", "job", "--directory", str(staging.home), "--run", run)
    command = [sys.executable, "-m", "cli.main", "environment", "deploy", "--watch"]
    done = subprocess.run(
        command,
        env=staging.env,
        preexec_fn=lambda: os.close(1),  # as `>&-` does
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "should not have happened" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "query { projects { nodes { nope } } }",
        "query ($given: Nope) { projects(named: $given) { totalCount } }",
        "query { projects(nope: 1) { totalCount } }",
        "query { environments(filter: {nope: 1}) { totalCount } }",
    ],
)
def test_a_server_of_another_version_is_named(text: str) -> None:
    (error, *_) = validate(schema.schema._schema, parse(text))
    failed = fault([{"message": error.message}])
    assert failed.message == "The server is of another version than this command line."
    assert failed.hint == f"Install the same version here and there. (The server says: {error.message})"


@pytest.mark.parametrize("seconds", ["nan", "-1", "long", "1e"])
def test_a_patience_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("STAGELINE_PATIENCE", seconds)
    with pytest.raises(Misused) as caught:
        patience()
    assert caught.value.message == f"Invalid STAGELINE_PATIENCE {seconds!r}: give a number of seconds, from 0."
