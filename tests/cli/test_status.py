"""`stageline status`."""

import json
import signal
from pathlib import Path

import pytest

from cli.text import width
from tests.cli.shell import Shell, finish, wait_for_line

PORT = ("--port", "0", "--health-command", "true")


def test_an_environment_is_seen_at_a_glance(staging: Shell, project: str) -> None:
    staging.done("service", "add", "-n", "Web", "-t", "application", "--run", "exec sleep 60", *PORT)
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    staging.done("service", "add", "-n", "Old", "-t", "job", "--run", "true")
    staging.done("environment", "stage", "skip", "-n", "Old")
    assert staging.done("status").lines == [
        f"staging of {project}: all is well",
        "never deployed",
        '1 "DATABASE DEFAULT"',
        '2 "JOB DEFAULT"',
        "  · Migrate  did not run",
        "  - Old      skipped",
        '3 "CONTAINER DEFAULT"',
        '4 "APPLICATION DEFAULT"',
        "  · Web      does not run",
    ]
    staging.done("environment", "deploy", "--watch", "--revision", "0123456789abcdef")
    first, last, *rest = staging.done("status").lines
    assert first == f"staging of {project}: all is well"
    assert last.startswith("deployment 1 succeeded 0.")
    assert "  ✓ Migrate  done in 1" in rest
    assert rest[-1].startswith("  ✓ Web      runs since 1 (")
    assert "  0123456789a…  :" in rest[-1]
    found = staging.done("status", "--json").json
    assert set(found) == {
        *("environment", "isWell", "problems", "lastDeployment", "queue", "stages", "workers"),
    }
    assert (found["isWell"], found["problems"], found["queue"]) == (True, [], [])
    (web,) = found["stages"][3]["services"]
    assert (web["instance"]["deployment"]["number"], web["lastStep"]["phase"]) == (1, "DEPLOY")


def test_the_exit_code_says_that_not_all_is_well(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exit 7")
    assert staging("environment", "deploy", "--watch").code == 4
    answer = staging("status")
    assert (answer.code, answer.err) == (4, "")
    assert answer.lines[0].endswith(": not well")
    assert "  ✗ Migrate  failed in 1" in answer.lines
    assert "      deploy failed in deployment 1: the job ended with exit code 7" in answer.lines
    found = staging("status", "--json")
    assert (found.code, found.json["isWell"], len(found.json["problems"])) == (4, False, 2)
    staging.done("service", "edit", "-n", "Migrate", "--run", "true")
    staging.done("environment", "deploy", "--watch")
    staging.done("status")


def test_what_a_start_or_a_stop_leaves_out_is_shown_as_it_is(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    staging.done("service", "add", "-n", "Web", "-t", "application", "--run", "exec sleep 60", *PORT)
    staging.done("service", "add", "-n", "Worker", "-t", "application", "--run", "exec sleep 60", *PORT)
    staging.done("environment", "deploy", "--watch")
    staging.done("stop", "--service", "Worker", "--watch")
    staging.done("start", "--watch")
    lines = staging.done("status").lines
    assert "  ✓ Web      runs since 1 (" in [line[:27] for line in lines]
    assert "  - Migrate  left out of 3" in lines
    staging.done("restart", "--service", "Web", "--watch")
    assert "  - Migrate  left out of 3" in staging.done("status").lines


def test_a_failure_stays_until_the_service_is_deployed_again(staging: Shell) -> None:
    for name, run in (("Migrate", "exit 7"), ("Other", "true")):
        staging.done("service", "add", "-n", name, "-t", "job", "--run", run)
    assert staging("environment", "deploy", "--service", "Migrate", "--watch").code == 4
    staging.done("environment", "deploy", "--service", "Other", "--watch")
    answer = staging("status")
    assert answer.code == 4
    assert "  ✗ Migrate  failed in 1" in answer.lines
    assert "  ✓ Other    done in 2" in answer.lines
    staging.done("service", "add", "-n", "New", "-t", "job", "--run", "true")
    assert "  · New      not in 2" in staging("status").lines


def test_lines_fit_eighty_columns(staging: Shell) -> None:
    staging.done("service", "add", "-n", "データベース" * 8, "-t", "job", "--run", f"echo {'x' * 90}; exit 7")
    staging.done("service", "add", "-n", "w" * 60, "-t", "application", "--run", "exec sleep 60", *PORT)
    staging.done(
        "environment", "stage", "edit", "-n", "JOB DEFAULT", "--new-name", "s" * 90, "--on-failure", "continue"
    )
    staging("environment", "deploy", "--watch", "--revision", "r" * 90)
    lines = staging("status").lines
    assert max(map(width, lines)) <= 80
    assert any("…" in line for line in lines)
    assert any("  :" in line for line in lines)


def test_what_runs_and_what_waits_is_shown_with_the_reason(staging: Shell, tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", wait)
    staging.done("environment", "deploy")
    while not staging.done("status", "--json").json["queue"][0]["currentStage"]:
        pass
    staging.done("service", "add", "-n", "Later", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    lines = staging.done("status").lines
    (runs,) = [line for line in lines if line.startswith("deployment 1 ")]
    assert runs.endswith(', stage "JOB DEFAULT", 0 of 1 services done')
    assert "deployment 2 waits: deployment 1 of the environment must end first" in lines
    assert "      waits: deployment 1 of the environment must end first" in lines
    (tmp_path / "go").touch()


def test_an_instance_that_ended_is_not_well(staging: Shell, tmp_path: Path) -> None:
    run = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 3"
    staging.done("service", "add", "-n", "Web", "-t", "application", "--run", run, "--restart", "no", *PORT)
    staging.done("environment", "deploy", "--watch")
    found = staging.done("status", "--json").json["stages"][3]["services"][0]["instance"]
    assert (found["status"], found["restarts"], len(found["endpoints"])) == ("RUNNING", 0, 1)
    (tmp_path / "go").touch()
    while (answer := staging("status")).code == 0:
        pass
    assert (answer.code, answer.lines[0].endswith(": not well")) == (4, True)
    assert answer.lines[6].startswith("  ✗ Web  exited (")
    assert answer.lines[6].split("  ")[-2].endswith("), from 1")
    assert answer.lines[7].startswith("      ended: exit code 3, ")
    assert answer.lines[8] == "      start it again: stageline start --service Web"
    assert staging("status", "--json").json["problems"][0].startswith("Web is exited")
    assert "  · Web  start  has ended, from deployment 1" in staging("start", "--dry-run").lines


def test_changes_are_shown_as_they_come_until_the_environment_is_deleted(staging: Shell) -> None:
    watching = staging.process("status", "-w")
    wait_for_line(watching, "never deployed")
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exit 7")
    wait_for_line(watching, "Migrate  did not run")
    staging.done("environment", "delete", "--yes")
    answer = finish(watching)
    assert (answer.code, any(line.endswith(": deleted") for line in answer.lines)) == (0, True)
    answer = staging("status")
    assert (answer.code, answer.err) == (
        1,
        "Error: The environment 'staging' was deleted.\nSee: stageline environment list\n",
    )


@pytest.mark.long
def test_programs_get_a_line_for_each_change_until_ctrl_c(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exit 7")
    watching = staging.process("status", "-w", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["lastDeployment"] is None
    staging("environment", "deploy", "--watch")
    while not json.loads(watching.stdout.readline())["problems"]:
        pass
    watching.send_signal(signal.SIGINT)
    answer = finish(watching)
    assert (answer.code, json.loads(answer.err)["error"]["code"]) == (130, "INTERRUPTED")


@pytest.mark.long
def test_a_terminal_shows_the_status_in_colour_and_in_place(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exit 7")
    with staging.terminal("status", "-w") as terminal:
        terminal.wait_for("never deployed")
        staging("environment", "deploy", "--watch")
        terminal.wait_for("\x1b[31mnot well")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130


@pytest.mark.parametrize("words", [("--environment", "none"), ("--environment", f"environment_{'0' * 32}")])
def test_an_environment_that_is_not_there_has_no_status(staging: Shell, words: tuple[str, ...]) -> None:
    answer = staging("status", *words)
    assert (answer.code, answer.out) == (1, "")
