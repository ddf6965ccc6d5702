import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import Shell, finish, wait_for_line

SUMMARY = {
    *("id", "environment", "number", "action", "status", "actor", "reason", "pipelineVersion", "requestedAt"),
    *("startedAt", "finishedAt", "cancellation", "failure"),
}


@pytest.fixture
def deployed(staging: Shell) -> Shell:
    """Two deployments: the first failed, the second succeeded."""
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--build", "echo made", "--run", "echo no; exit 7")
    assert staging("environment", "deploy", "--watch", "--reason", "ticket 7").code == 4
    staging.done("service", "edit", "-n", "Migrate", "--run", "echo one; echo two >&2")
    assert staging("environment", "deploy", "--watch").code == 0
    return staging


def test_deployments_are_listed_and_shown(deployed: Shell) -> None:
    listed = deployed.done("deployment", "list", "--json").json["deployments"]
    assert [(each["number"], each["status"], each["reason"]) for each in listed] == [
        (2, "SUCCEEDED", None),
        (1, "FAILED", "ticket 7"),
    ]
    assert set(listed[0]) == SUMMARY
    lines = deployed.done("deployment", "list").lines
    assert [line.split()[:2] for line in lines[1:]] == [["2", "succeeded"], ["1", "failed"]]
    assert len(deployed.done("deployment", "list", "--limit", "1", "--json").json["deployments"]) == 1

    shown = deployed.done("deployment", "show", "--json").json
    assert SUMMARY | {"stages", "version", "cursor"} == set(shown)
    (service,) = shown["stages"][1]["services"]
    assert {"id", "name", "type", "status", "ports", "build", "deploy"} == set(service)
    assert {"status", "attempt", "startedAt", "finishedAt", "reason"} == set(service["build"])
    assert shown == deployed.done("deployment", "show", shown["id"], "--json").json

    text = deployed.done("deployment", "show", "1").out
    assert "Deployment 1 of staging: failed" in text
    assert "Failed: Migrate, deploy: the job ended with exit code 7" in text


def test_a_deployment_that_is_not_there_is_refused(staging: Shell) -> None:
    for words in (("show",), ("events",), ("logs",), ("watch",), ("logs", "-f"), ("show", "9")):
        answer = staging("deployment", *words)
        assert (answer.code, answer.out) == (1, "")
    assert staging("deployment", "show", "latest").code == 2
    assert staging.done("deployment", "list").out == "<no deployment>\n"
    cancelled = staging("environment", "cancel")
    assert (cancelled.code, cancelled.out) == (1, "")


def test_events_are_printed_once_each(deployed: Shell) -> None:
    events = deployed.done("deployment", "events", "--json").objects
    assert list(range(1, len(events) + 1)) == [event["version"] for event in events]
    assert (events[0]["type"], events[-1]["type"]) == ("DEPLOYMENT_PLANNED", "DEPLOYMENT_SUCCEEDED")
    assert {
        *("id", "cursor", "position", "version", "type", "recordedAt", "actor", "origin", "reason", "message"),
        *("stage", "service", "phase", "attempt", "detail", "ports"),
    } == set(events[0])
    assert events == deployed.done("deployment", "events", "-f", "--json").objects
    lines = deployed.done("deployment", "events", "2").lines
    assert [event["message"] for event in events] == [line.partition("  ")[2] for line in lines]


def test_logs_are_printed_of_all_services_or_of_one(deployed: Shell) -> None:
    deployed.done("service", "add", "-n", "Other job", "-t", "job", "--run", "echo other")
    deployed("environment", "deploy", "--watch")

    def texts(*words: str) -> list[str]:
        lines = deployed.done("deployment", "logs", *words, "--json").objects
        return [line["text"] for line in lines if line["kind"] == "LINE"]

    assert {"made", "one", "two", "other"} == set(texts())
    assert texts("other job") == ["other"]
    assert ["made", "no"] == texts("1", "Migrate") == texts("1")
    assert ["other"] == texts("3", "Other job", "-f") == texts("Other job", "--follow")
    (line,) = deployed.done("deployment", "logs", "Other job").lines
    assert line.endswith("  Other job deploy | other")
    (line,) = deployed.done("deployment", "logs", "Other job", "--json").objects
    assert {"cursor", "at", "service", "phase", "attempt", "kind", "text"} == set(line)


def test_logs_are_followed_while_they_come_and_end_by_themselves(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    run = f"echo before; while [ ! -e {gate} ]; do sleep 0.05; done; echo after"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", run)
    assert staging.done("environment", "deploy").out == "Deployment 1 of staging requested\n"

    following = staging.process("deployment", "logs", "-f")
    wait_for_line(following, "Migrate deploy | before")
    gate.touch()
    answer = finish(following)
    assert (answer.code, answer.err) == (0, "")
    assert [line.partition("  ")[2] for line in answer.lines] == ["Migrate deploy | after"]


def test_a_reader_that_goes_away_ends_the_command_silently(deployed: Shell) -> None:
    for words in (["deployment", "events"], ["deployment", "events", "-f"], ["--help"]):
        script = 'exec 3>&1; { "$@"; echo "code $?" >&3; } | head -n 1 > /dev/null'
        program = [sys.executable, "-m", "cli.main", *words]
        done = subprocess.run(
            ["sh", "-c", script, "sh", *program], env=deployed.env, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout in ("code 141\n", "code 0\n", "code 1\n")


def test_a_dry_run_shows_the_plan_and_deploys_nothing(staging: Shell) -> None:
    empty = staging("environment", "deploy", "--dry-run")
    assert (empty.code, empty.out) == (1, "")
    assert "There is nothing to deploy" in empty.err

    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    answer = staging("environment", "deploy", "--dry-run", "--watch")
    assert (answer.code, answer.err) == (0, "Dry run: nothing was changed. The result would be:\n")
    assert "  · Migrate  build skipped  deploy queued" in answer.lines
    assert staging.done("deployment", "list").out == "<no deployment>\n"


def test_a_deployment_that_waits_can_be_cancelled(staging: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    staging.done("environment", "deploy")
    staging.done("service", "add", "-n", "Later", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    assert staging.done("environment", "cancel", "2").out == "Cancellation of deployment 2 requested\n"
    assert staging("deployment", "watch", "2").code == 5
    assert staging.done("environment", "cancel", "--force").out == "Cancellation of deployment 1 requested\n"
    assert staging("deployment", "watch", "1").code == 5
