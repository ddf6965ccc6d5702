"""`stageline up`."""

import json
import signal
from pathlib import Path

import pytest

from tests.cli.shell import Shell, finish, wait_for_line

STAGES = """\
stages:
- name: jobs
  services:
  - name: Migrate
    type: JOB
    spec: {workingDirectory: ./jobs, runCommand: '[ "$PWD" = FOLDER/jobs ]'}
"""


@pytest.fixture
def folder(shell: Shell) -> Path:
    """A folder with a pipeline file that names no environment, and a job that checks where it runs."""
    folder = shell.home / "repository"
    (folder / "jobs" / "deep").mkdir(parents=True)
    (folder / "stageline.yaml").write_text(STAGES.replace("FOLDER", str(folder)))
    return folder


def test_the_file_above_is_applied_deployed_and_watched(
    staging: Shell, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "jobs" / "deep")
    asked = staging("up")
    assert (asked.code, asked.lines[0]) == (1, f"{folder}/stageline.yaml → staging of {project}")
    assert any(line.startswith("+ ") and "Migrate" in line for line in asked.lines)
    assert asked.err.splitlines() == [
        f"Error: Apply this to staging of {project}, and deploy it? Nothing was changed.",
        "Without a terminal this needs --yes.",
    ]
    done = staging.done("up", "--yes", "--reason", "ticket 7")
    assert done.lines[-1].startswith("Deployment 1 of staging succeeded")
    assert staging.done("deployment", "list", "--json").json["deployments"][0]["reason"] == "ticket 7"

    again = staging.done("up")  # nothing to ask
    assert again.lines[1] == "<no difference>"
    assert again.lines[-1].startswith("Deployment 2 of staging succeeded")


def test_a_freeze_is_ignored_with_a_reason(staging: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    staging.done("environment", "edit", "--freeze", "* * * * *; 2h; Europe/Berlin")
    refused = staging("up", "--yes")
    assert (refused.code, "with --ignore-freeze" in refused.err) == (1, True)
    unexplained = staging("up", "--yes", "--ignore-freeze")
    assert (unexplained.code, "(--reason)" in unexplained.err) == (1, True)
    staging.done("up", "--yes", "--ignore-freeze", "--reason", "a leak")


def test_a_dry_run_changes_nothing_and_a_detached_one_watches_nothing(
    staging: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = staging.done("environment", "stage", "list", "--json").out
    tried = staging("up", "--dry-run")
    assert (tried.code, tried.err.startswith("Dry run: nothing was changed.")) == (0, True)
    assert staging.done("environment", "stage", "list", "--json").out == before
    lines = staging.done("up", "--yes", "--detach", "--json").objects
    assert [*lines[0]] == ["file", "creates", "diff"]
    assert (lines[0]["creates"], lines[0]["diff"]["from"]["version"] > 0) == ({}, True)
    assert lines[1]["deployment"]["number"] == 1
    assert staging("deployment", "watch").code == 0
    planned = staging("up", "--dry-run").lines
    assert "  · Migrate  renew" in planned
    assert [*staging.done("up", "--dry-run", "--json").objects[1]] == ["deployment"]
    assert len(staging.done("deployment", "list", "--json").json["deployments"]) == 1


def test_an_environment_that_the_file_names_is_created(
    staging: Shell, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes before the context's, and after the options'."""
    monkeypatch.chdir(folder)
    file = folder / "stageline.yaml"
    file.write_text(f"project: {project} 2\nenvironment: dev\n{file.read_text()}")
    assert staging("up").lines[1:] == [
        f"+ project {project} 2",
        "+ environment dev",
        "+ stage jobs",
        "+ service Migrate",
    ]
    done = staging.done("up", "--yes")
    assert done.lines[-1].startswith("Deployment 1 of dev succeeded")
    named = "--project", f"{project} 2", "--environment", "dev"
    assert staging.done("status", *named).lines[0] == f"dev of {project} 2: all is well"
    assert staging.done("up").lines[0].endswith(f" → dev of {project} 2")
    assert staging("up", "--environment", "staging", "--project", project).lines[0].endswith(f" → staging of {project}")
    missing = staging("up", "--environment", "typo")
    assert (missing.code, "There is no environment 'typo'" in missing.err) == (1, True)
    missing = staging("up", "--project", "typo")
    assert (missing.code, "'typo'" in missing.err) == (1, True)
    staging.done("environment", "delete", *named, "--yes")
    assert staging("up").lines[1] == "+ environment dev"
    assert "dev" not in staging.done("pipeline", "export").out


def test_the_exit_code_is_that_of_the_deployment(staging: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "stageline.yaml").write_text(STAGES)  # it runs elsewhere
    answer = staging("up", "--yes")
    assert answer.code == 4
    assert "stageline deployment logs 1 Migrate --project" in answer.err


def test_the_file_is_found_in_its_repository_only(
    staging: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "jobs" / ".git").mkdir()
    monkeypatch.chdir(folder / "jobs" / "deep")
    answer = staging("up", "--yes")
    assert (answer.code, f"There is no stageline.yaml in {folder}/jobs/deep" in answer.err) == (2, True)
    named = staging("up", "-f", "../../stageline.yaml", "--dry-run")
    assert (named.code, named.lines[0].startswith("../../stageline.yaml → ")) == (0, True)
    (folder / "jobs" / "stageline.yml").write_text("stages: []\n")
    answer = staging("up", "--yes")
    assert (answer.code, "Line 1: " in answer.err) == (1, True)
    (folder / "jobs" / "stageline.yaml").write_text(STAGES)
    assert staging("up").code == 2


@pytest.mark.long
def test_ctrl_c_leaves_the_deployment_and_says_how_to_go_on(
    staging: Shell, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = folder / "go"
    (folder / "stageline.yaml").write_text(
        STAGES.replace('[ "$PWD" = FOLDER/jobs ]', f"while [ ! -e {gate} ]; do sleep 0.1; done")
    )
    monkeypatch.chdir(folder)
    process = staging.process("up", "--yes")
    wait_for_line(process, "Migrate: deploy started")
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130
    hint = f"stageline deployment watch 1 --project '{project}' --environment staging"
    assert f"Stopped watching; deployment 1 continues.\nWatch it again: {hint}." in answer.err
    gate.touch()
    assert staging("deployment", "watch", "1", "--project", project, "--environment", "staging").code == 0


@pytest.mark.long
def test_a_terminal_is_asked(staging: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with staging.terminal("up") as terminal:
        terminal.wait_for("and deploy it? [y/N]")
        terminal.type("n")
        assert terminal.end() == 1
    assert json.loads(staging.done("deployment", "list", "--json").out)["deployments"] == []
