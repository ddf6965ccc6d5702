"""Deployments that are watched: to each of their ends, and through broken connections."""

import selectors
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cli.feed import SubscriptionFeed
from tests.cli.shell import Shell, finish, wait_for_line

DEPLOY = ("environment", "deploy", "--watch")


def add_job(shell: Shell, name: str, run: str) -> None:
    shell.done("service", "add", "-n", name, "-t", "job", "--run", run)


@pytest.fixture
def gate(staging: Shell, tmp_path: Path) -> Path:
    """The environment's one job ends when this file is there."""
    path = tmp_path / "go"
    add_job(staging, "Migrate", f"while [ ! -e {path} ]; do sleep 0.05; done")
    return path


class Proxy:
    """Stands between the command line and the server, and can break every connection there is."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._pairs.append((client, server))
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with selectors.DefaultSelector() as selector, suppress(OSError), client, server:
            for each in other:
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    source = client if key.fileobj is client else server
                    data = source.recv(65536)
                    if not data:
                        return
                    other[source].sendall(data)


@pytest.fixture
def proxy(shell: Shell) -> Iterator[Proxy]:
    proxy = Proxy(shell.server.url)
    yield proxy
    proxy.close()


def test_a_success_is_followed_to_its_end(staging: Shell) -> None:
    add_job(staging, "Migrate", "true")
    answer = staging.done(*DEPLOY)
    messages = [line.partition("  ")[2] for line in answer.lines]
    assert messages[0].startswith("deployment 1 requested")
    assert messages.index("Migrate: deploy started") < messages.index("Migrate: deployed")
    assert messages[-2] == "deployment 1 succeeded"
    assert answer.lines[-1].startswith("Deployment 1 of staging succeeded after ")


def test_a_success_is_followed_in_json(staging: Shell) -> None:
    add_job(staging, "Migrate", "true")
    first, *events, last = staging.done(*DEPLOY, "--json").objects
    assert (first["deployment"]["status"], last["deployment"]["status"]) == ("QUEUED", "SUCCEEDED")
    assert all(list(each) == ["event"] for each in events)
    assert list(range(1, len(events) + 1)) == [each["event"]["version"] for each in events]


def test_a_failure_says_which_step_and_why(staging: Shell) -> None:
    add_job(staging, "Migrate", "exit 3")
    answer = staging(*DEPLOY)
    assert answer.code == 4
    assert answer.err.startswith("Error: Deployment 1 failed: Migrate, deploy: the job ended with exit code 3\n")
    assert "stageline deployment logs 1 Migrate" in answer.err

    again = staging("deployment", "watch", "1", "--json")
    assert (again.code, again.error["code"], again.error["exitCode"]) == (4, "DEPLOYMENT_FAILED", 4)
    assert again.objects[-1]["deployment"]["status"] == "FAILED"


def test_a_timeout_ends_the_watching_and_not_the_deployment(staging: Shell, gate: Path) -> None:
    answer = staging("environment", "deploy", "--timeout", "0.3")
    assert answer.code == 124
    assert answer.err.startswith("Deployment 1 is not over after 0.3 s; it continues.\n")
    assert staging.done("deployment", "show", "--json").json["status"] == "RUNNING"
    gate.touch()
    assert staging("deployment", "watch").code == 0


def test_a_cancellation_ends_the_watching(staging: Shell, gate: Path) -> None:
    watching = staging.process(*DEPLOY)
    wait_for_line(watching, "Migrate: deploy started")
    assert staging.done("environment", "cancel", "--force").out == "Cancellation of deployment 1 requested\n"
    answer = finish(watching)
    assert (answer.code, answer.err) == (5, "Deployment 1 was cancelled.\n")


def test_a_cancellation_that_is_watched_is_done_when_it_has_come_about(staging: Shell, gate: Path) -> None:
    staging.done("environment", "deploy")
    answer = staging.done("environment", "cancel", "1", "--force", "--watch")
    assert answer.lines[-1].startswith("Deployment 1 of staging cancelled")
    assert staging("environment", "cancel", "1").code == 1


def test_a_cancellation_lets_what_runs_come_to_its_end(staging: Shell, gate: Path) -> None:
    add_job(staging, "Late", "true")
    staging.done("service", "add", "-n", "Later", "-t", "application", "--run", "true")
    watching = staging.process(*DEPLOY)
    wait_for_line(watching, "Migrate: deploy started")
    staging.done("environment", "cancel")
    wait_for_line(watching, "Later: cancelled")
    gate.touch()
    answer = finish(watching)
    assert answer.code == 5
    assert any(line.endswith("Migrate: deployed") for line in answer.lines)


def test_a_broken_connection_is_resumed_where_it_broke(staging: Shell, gate: Path, proxy: Proxy) -> None:
    staging.setenv("STAGELINE_TOKEN", staging.server.token)
    staging.setenv("STAGELINE_URL", proxy.url)
    watching = staging.process(*DEPLOY, "--json")
    before = wait_for_line(watching, '"SERVICE_DEPLOY_STARTED"')
    proxy.cut()
    gate.touch()
    answer = finish(watching)
    assert answer.code == 0
    assert f"Lost the connection to {proxy.url}" in answer.err
    assert "Reconnected." in answer.err
    versions = [line.partition('"version":')[2].partition(",")[0] for line in before[1:]]
    versions += [str(each["event"]["version"]) for each in answer.objects[:-1]]
    assert [str(number) for number in range(1, len(versions) + 1)] == versions


def test_a_server_that_stays_away_is_given_up(staging: Shell, gate: Path, proxy: Proxy) -> None:
    staging.setenv("STAGELINE_TOKEN", staging.server.token)
    staging.setenv("STAGELINE_URL", proxy.url)
    staging.setenv("STAGELINE_PATIENCE", "0.2")
    watching = staging.process(*DEPLOY)
    wait_for_line(watching, "Migrate: deploy started")
    proxy.close()
    answer = finish(watching)
    assert answer.code == 3
    assert f"Error: No server answers at {proxy.url}" in answer.err
    gate.touch()


def test_ctrl_c_ends_the_watching_and_not_the_deployment(staging: Shell, gate: Path) -> None:
    watching = staging.process(*DEPLOY)
    wait_for_line(watching, "Migrate: deploy started")
    watching.send_signal(signal.SIGINT)
    answer = finish(watching)
    assert answer.code == 130
    assert answer.err.startswith("Stopped watching; deployment 1 continues.\n")
    assert "stageline environment cancel 1" in answer.err
    gate.touch()
    assert staging("deployment", "watch").code == 0


def test_a_terminal_shows_stages_services_and_phases_live(staging: Shell, gate: Path) -> None:
    staging.done("service", "add", "-n", "Broken", "-t", "application", "--build", "true", "--run", "exit 9")
    with staging.terminal(*DEPLOY) as terminal:
        terminal.wait_for('2 "JOB DEFAULT"')
        terminal.wait_for("running")
        gate.touch()
        assert terminal.end() == 4
    for text in ("Migrate", "✓", "✗", "build", "deploy", "Broken", "skipped", "failed"):
        assert text in terminal.seen
    assert "Broken, deploy:" in terminal.seen
    assert "Error: Deployment 1 failed: Broken, deploy:" in terminal.seen


def test_no_terminal_means_no_colours(staging: Shell) -> None:
    add_job(staging, "Migrate", "true")
    answer = finish(staging.process(*DEPLOY))
    assert answer.code == 0
    assert "\x1b" not in answer.out + answer.err


def test_a_subscription_that_is_refused_says_why(shell: Shell) -> None:
    from cli import progress
    from cli.client import ServerAddress
    from cli.errors import Failed, NotAuthorized

    def feed(token: str) -> SubscriptionFeed:
        variables = {"deployment": "no"}
        return SubscriptionFeed(
            ServerAddress(shell.server.url, token), progress.EVENTS, variables, is_over=lambda: True, tell=print
        )

    with pytest.raises(Failed, match="There is no deployment 'no'"):
        list(feed(shell.server.token).events(1))
    with pytest.raises(NotAuthorized, match=r"rejected the token\. Unknown token: .*, or is incomplete\.$"):
        list(feed("wrong").events(1))


def test_a_patience_that_is_no_number_is_a_misuse(staging: Shell) -> None:
    add_job(staging, "Migrate", "true")
    staging.setenv("STAGELINE_PATIENCE", "long")
    assert staging(*DEPLOY).code == 2


def test_the_last_lines_of_a_failed_step_are_shown(staging: Shell) -> None:
    build = "echo built; for n in $(seq 1 30); do echo line $n; done; exit 3"
    staging.done("service", "add", "-n", "Api", "-t", "job", "--build", build, "--run", "true")
    answer = staging("environment", "deploy", "--watch")
    assert answer.code == 4
    assert answer.lines[-11:] == ["Last output of Api, build:", *(f"  line {number}" for number in range(21, 31))]
    assert "Last output" not in staging("deployment", "watch", "--json").out

    with staging.terminal("deployment", "watch") as terminal:
        assert terminal.end() == 4
        assert "Last output of Api, build:" in terminal.seen
    staging.done("service", "edit", "-n", "Api", "--build", "", "--run", "printf '\\033]0;x\\007'; exit 1")
    assert staging("environment", "deploy", "--watch").lines[-1] == r"  \x1b]0;x\x07"
