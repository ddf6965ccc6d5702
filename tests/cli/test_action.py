"""`stageline restart`, `stop`, `start`, and the commands that delete instances."""

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def deployed(staging: Shell) -> Shell:
    """A user whose environment runs Backend, and has run the job Migrate."""
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    staging.done("service", "add", "-n", "Backend", "-t", "application", "--run", "exec sleep 300")
    assert staging("environment", "deploy", "--watch").code == 0
    return staging


def test_the_environment_is_stopped_started_and_restarted(deployed: Shell) -> None:
    planned = deployed("stop", "--dry-run")
    assert (planned.code, "  stops services" in planned.lines) == (0, True)
    assert "  · Backend  stop  runs since deployment 1" in planned.lines
    assert "  · Migrate  skipped: a job runs only when it is deployed" in planned.lines
    stopped = deployed.done("stop", "--watch", "--reason", "for the night")
    assert [line.split("  ")[1] for line in stopped.lines if "Backend: " in line] == [
        "Backend: stop started",
        "Backend: stopped",
    ]
    shown = deployed.done("deployment", "show").lines
    assert any("Backend  build skipped  stop succeeded" in line for line in shown)
    assert "      a job runs only when it is deployed" in shown
    (status,) = [line for line in deployed("status").lines if "Backend" in line]
    assert "stopped since 2" in status

    refused = deployed("stop", "--json")
    assert (refused.code, refused.error["code"]) == (1, "NOTHING_TO_DO")
    assert "'Backend': it is stopped, since deployment 2" in refused.error["message"]
    assert deployed.done("start", "--watch").lines[-1].startswith("Deployment 3 of staging succeeded")
    assert deployed.done("restart", "--service", "backend").out == "Deployment 4 of staging requested\n"
    assert deployed("deployment", "watch").code == 0
    assert deployed.done("deployment", "show", "--json").json["action"] == "RESTART"
    assert deployed("rollback", "1", "--watch").code == 0
    listed = [line.split("  ")[1] for line in deployed.done("deployment", "list").lines[1:]]
    assert listed == ["rollback to deployment 1", "restart", "start", "stop", "deploy"]


def test_a_service_is_stopped_started_restarted_and_deleted(deployed: Shell) -> None:
    assert deployed("service", "stop", "-n", "Backend", "--watch").code == 0
    assert deployed("service", "start", "-n", "Backend", "--watch").code == 0
    assert deployed("service", "restart", "-n", "Backend", "--watch").code == 0
    assert deployed("service", "delete-instance", "-n", "Backend").code == 1  # nobody answers the question
    assert deployed("service", "delete-instance", "-n", "Backend", "--yes", "--watch").code == 0
    never = deployed("service", "start", "-n", "Backend", "-n", "Migrate")
    assert (never.code, "'Backend': it has never run, or was deleted since" in never.err) == (1, True)
    data = deployed("environment", "delete-instances", "--volumes", "--yes")
    assert (data.code, "an environment of target PROCESS has no volumes" in data.err) == (1, True)
    assert deployed("environment", "delete-instances", "--yes", "--watch").code == 0
    assert deployed("service", "restart", "-n", "Nobody").code == 1
