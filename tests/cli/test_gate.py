"""`stageline approve` and `stageline reject`, and how commands show the wait."""

from tests.cli.shell import Shell, finish, wait_for_line


def ask(shell: Shell, *options: str) -> None:
    """Deploys a stage that waits for approval, and returns when it does."""
    shell.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    shell.done("environment", "stage", "edit", "-n", "job default", "--approvals", "1", *options)
    shell.done("environment", "deploy")
    follower = shell.process("deployment", "events", "-f")
    try:
        wait_for_line(follower, "JOB DEFAULT needs")
    finally:
        follower.kill()
        follower.communicate()


def test_a_stage_is_approved_with_a_comment(staging: Shell) -> None:
    refused = staging("approve")
    assert refused.err.startswith("Error: There is no deployment to change: none is running or queued.")
    ask(staging, "--approvals", "2")
    assert "  waits: stage JOB DEFAULT needs 2 approvals" in staging.done("deployment", "show").lines
    answer = staging.done("approve", "--comment", "tried it")
    assert answer.out == 'Stage "JOB DEFAULT" of deployment 1 approved; it needs 1 more\n'
    shown = staging.done("deployment", "show", "--json").json
    wait = {"reason": "APPROVAL", "message": "stage JOB DEFAULT needs an approval"}
    assert shown["waitsFor"] | wait == shown["waitsFor"]
    assert shown["stages"][1]["gate"] == wait | {"missingApprovals": 1, "deadline": None}
    assert staging.done("approve").out == "Nothing changed: it is already so\n"
    lines = staging.done("deployment", "events").lines
    assert lines[-1].partition("  ")[2] == "JOB DEFAULT approved by admin: tried it"


def test_a_stage_is_rejected_and_the_watched_deployment_fails(staging: Shell) -> None:
    ask(staging)
    watcher = staging.process("deployment", "watch")
    try:
        wait_for_line(watcher, "JOB DEFAULT needs an approval")
        rehearsed = staging("reject", "-m", "too late", "--dry-run")
        rejected = staging.done("reject", "1", "-m", "too late", "--json").json
        watched = finish(watcher)
    finally:
        watcher.kill()
    assert '✗ stage 2 "JOB DEFAULT": failed' in rehearsed.lines
    assert (rejected["status"], rejected["changed"]) == ("FAILED", True)
    assert watched.code == 4
    lines = [line.partition("  ")[2] for line in watched.lines]
    assert "JOB DEFAULT rejected by admin: too late" in lines
    assert watched.err.startswith("Error: Deployment 1 failed: stage JOB DEFAULT: rejected: too late\n")
    refused = staging("reject", "1", "--json")
    assert (refused.code, refused.error["code"]) == (1, "STAGE_NOT_WAITING")


def test_a_deployment_is_held_and_released(staging: Shell) -> None:
    ask(staging)
    assert staging.done("deployment", "hold", "--reason", "slow").out == "Deployment 1 is held\n"
    assert staging.done("deployment", "hold", "1").out == "Nothing changed: it is already so\n"
    assert "  waits: it is held, until somebody releases it" in staging.done("deployment", "show").lines
    assert staging.done("deployment", "events").lines[-1].endswith("held by admin: slow")
    assert staging.done("approve").code == 0
    assert staging.done("deployment", "show", "--json").json["stages"][1]["status"] == "QUEUED"
    assert staging.done("deployment", "release").out == "Deployment 1 goes on\n"
    assert staging.done("deployment", "watch").lines[-1].startswith("Deployment 1 of staging succeeded")
