"""The demo as a newcomer runs it, and what it leaves alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from stat import S_IMODE

import psutil
import pytest

from cli.demo import EXAMPLE, _filled
from cli.sandbox import MARKER, free_ports, server_port
from tests.cli.shell import Answer, Shell, finish, wait_for_line
from tests.cli.test_announcement import FIRST, MOVED, RENAMED

ALTERED = """
import sys
from pathlib import Path
from cli import demo, main
demo.EXAMPLE = Path(sys.argv.pop(1))
main.main()
"""


def free_port() -> str:
    return str(free_ports(1)[0])


def run(shell: Shell, *program: str) -> Answer:
    done = subprocess.run(
        [sys.executable, *program],
        env=shell.env,
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def working_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if Path(process.cwd()).is_relative_to(folder) or str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def newcomer(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Somebody who has nothing of Stageline yet."""
    shutil.rmtree(shell.config.parent)
    monkeypatch.delenv("STAGELINE_URL")
    return shell


def light(folder: Path, changes: dict[str, dict[str, object]]) -> str:
    """An example with the demo's services, which have next to nothing to do; *changes* are to the specification."""
    folder.mkdir()
    services = json.loads((EXAMPLE / "environment.json").read_text())
    for service in services:
        service["spec"] = {
            "workingDirectory": "${here}",
            "runCommand": "exec sleep 1000",
            "ports": [f"${{port:{service['name']}}}"],
            "healthCheck": {"command": "test -e environment.json", "intervalSeconds": 0.1},
            **changes.get(service["name"], {}),
        }
    (folder / "environment.json").write_text(json.dumps(services))
    return str(folder)


def test_the_demo_tells_the_announcements_story_and_leaves_nothing_behind(newcomer: Shell, tmp_path: Path) -> None:
    example = light(tmp_path / "example", {})
    folder = newcomer.home / ".stageline-demo"
    folder.mkdir(mode=0o755)
    answer = run(newcomer, "-c", ALTERED, example, "demo", "--exit", "--port", free_port())
    assert (answer.code, answer.err) == (0, "")
    modes = [S_IMODE(path.stat().st_mode) for path in (folder, folder / MARKER, folder / "server.log")]
    assert modes == [0o700, 0o600, 0o600]
    _, *listings = answer.out.split("~ $ stageline environment stage list\n")
    assert [listing.partition("~ $")[0] for listing in listings] == [FIRST, RENAMED, MOVED]
    assert '~ $ stageline environment stage edit -n "JOB DEFAULT" --new-name "second stage"\n' in answer.out
    assert "deployment 1 succeeded" in answer.out
    assert working_in(newcomer.home) == []
    assert json.loads(newcomer.config.read_text()) == {"tokens": {}, "context": "default", "contexts": {}}


@pytest.mark.long
def test_a_demo_that_fails_ends_with_the_failures_code_and_keeps_the_users_context(
    staging: Shell, tmp_path: Path
) -> None:
    example = light(tmp_path / "example", {"DB": {"runCommand": "exit 3"}})
    before = staging.config.read_text()
    answer = run(staging, "-c", ALTERED, example, "demo", "--exit", "--port", free_port())
    assert answer.code == 4
    assert "Deployment 1 failed: DB, deploy:" in answer.err
    assert staging.config.read_text() == before
    assert working_in(staging.home) == []


@pytest.mark.long
def test_the_demo_shows_the_way_on_and_stays_until_it_is_stopped(newcomer: Shell, tmp_path: Path) -> None:
    example = light(tmp_path / "example", {})
    program = [sys.executable, "-c", ALTERED, example, "demo", "--port", free_port()]
    demo = subprocess.Popen(
        program, env=newcomer.env, cwd=newcomer.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    shown = "\n".join(wait_for_line(demo, "/#link="))  # the console is the last line
    assert "API gateway  http://127.0.0.1:" in shown
    assert len(newcomer.done("deployment", "list", "--json").json["deployments"]) == 1  # by the context that was set
    demo.send_signal(signal.SIGTERM)
    answer = finish(demo)
    assert (answer.code, answer.err) == (0, "")
    assert working_in(newcomer.home) == []


@pytest.mark.long
def test_what_a_killed_demo_left_is_ended_by_the_next(newcomer: Shell, tmp_path: Path) -> None:
    example = light(tmp_path / "example", {})
    port = free_port()
    program = [sys.executable, "-c", ALTERED, example, "demo", "--port", port]
    demo = subprocess.Popen(program, env=newcomer.env, cwd=newcomer.home, stdout=subprocess.PIPE, text=True)
    wait_for_line(demo, "/#link=")  # the console is the last line
    demo.kill()
    finish(demo)
    assert working_in(newcomer.home) != []
    assert run(newcomer, "-c", ALTERED, example, "demo", "--exit", "--port", port).code == 0
    assert working_in(newcomer.home) == []


def test_a_demo_on_the_port_of_another_server_ends_and_changes_nothing(staging: Shell) -> None:
    before = staging.config.read_text()
    projects = staging("project", "list").out
    answer = run(staging, "-m", "cli.main", "demo", "--exit", "--port", staging.server.url.rpartition(":")[2])
    assert answer.code == 1
    assert answer.err.count("is in use") == 1
    assert staging.config.read_text() == before
    assert staging("project", "list").out == projects


@pytest.mark.long
def test_the_demo_keeps_a_token_and_a_context_that_were_there(staging: Shell, tmp_path: Path) -> None:
    example = light(tmp_path / "example", {})
    port = free_port()
    content = json.loads(staging.config.read_text())
    content["contexts"]["demo"] = {"project": "Mine", "environment": "mine"}
    content["tokens"][f"http://127.0.0.1:{port}"] = "stageline_kept"
    staging.config.write_text(json.dumps(content))
    assert run(staging, "-c", ALTERED, example, "demo", "--exit", "--port", port).code == 0
    after = json.loads(staging.config.read_text())
    assert after["tokens"] == content["tokens"]
    assert after["contexts"] == content["contexts"]
    assert after["context"] == content["context"]


def test_a_folder_of_somebody_elses_is_left_alone(newcomer: Shell) -> None:
    (newcomer.home / "precious").write_text("data")
    answer = run(newcomer, "-m", "cli.main", "demo", "--exit", "--data", ".")
    assert (answer.code, answer.out) == (1, "")
    assert "is not from a demo" in answer.err
    assert (newcomer.home / "precious").read_text() == "data"


def test_a_demo_that_goes_on_is_left_alone(newcomer: Shell) -> None:
    me = psutil.Process()
    marker = newcomer.home / ".stageline-demo" / MARKER
    marker.parent.mkdir()
    marker.write_text(json.dumps({"demo": [me.pid, me.create_time()]}))
    answer = run(newcomer, "-m", "cli.main", "demo", "--exit")
    assert (answer.code, answer.out) == (1, "")
    assert f"A demo is running in {marker.parent} (process {me.pid})." in answer.err


def test_without_its_services_the_demo_says_where_they_come_from(newcomer: Shell) -> None:
    answer = run(newcomer, "-c", ALTERED, "/nowhere", "demo", "--exit")
    assert (answer.code, answer.out) == (1, "")
    assert "The demo's services are missing: /nowhere" in answer.err


def test_placeholders_are_filled_in() -> None:
    spec = {"workingDirectory": "${here}/a", "env": {"B": "tcp://127.0.0.1:${port:B b}"}, "ports": ["${port:A}"]}
    assert _filled(spec, Path("/x"), {"A": 1, "B b": 2}) == {
        "workingDirectory": "/x/a",
        "env": {"B": "tcp://127.0.0.1:2"},
        "ports": [1],
    }


def test_the_demos_server_never_takes_the_address_of_one_that_is_known() -> None:
    assert server_port(9, []) == 9
    assert server_port(None, ["http://127.0.0.1:8000"]) != 8000
