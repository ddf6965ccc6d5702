"""`stageline retry` and `stageline rollback`."""

from pathlib import Path

from tests.cli.shell import Shell


def test_a_failed_deployment_is_retried_and_an_earlier_one_rolled_back_to(staging: Shell, tmp_path: Path) -> None:
    assert staging("retry").code == 1  # nothing was deployed yet
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", f"[ -e {tmp_path}/mended ]")
    assert staging("environment", "deploy", "--watch").code == 4
    (tmp_path / "mended").touch()
    rehearsed = staging("retry", "--dry-run")
    assert (rehearsed.code, "  retry of deployment 1" in rehearsed.lines) == (0, True)
    assert staging.done("retry", "--watch").lines[-1].startswith("Deployment 2 of staging succeeded")
    refused = staging("retry", "--json")
    assert (refused.code, refused.error["code"]) == (1, "NOTHING_TO_RETRY")

    staging.done("service", "edit", "-n", "Migrate", "--run", "exit 3")
    assert staging("environment", "deploy", "--watch").code == 4
    assert staging("rollback", "2", "--watch").code == 0
    assert "  rollback to deployment 2" in staging.done("deployment", "show").lines
    assert staging.done("rollback", "1", "--reason", "again").out == "Deployment 5 of staging requested\n"
    assert staging("rollback", "99").code == 1


def test_chosen_services_are_deployed_and_planned(staging: Shell) -> None:
    for name in ("One", "Two", "Three"):
        staging.done("service", "add", "-n", name, "-t", "job", "--run", "true")
    staging.done("environment", "stage", "move", "-n", "Three", "-s", "APPLICATION DEFAULT")
    planned = staging("plan", "--service", "one", "--service", "TWO").out
    assert ("One " in planned, "Two " in planned, "Three" in planned) == (True, True, False)
    staging.done("environment", "deploy", "--stage", "application default", "--watch")
    shown = staging.done("deployment", "show", "--json").json
    names = [service["name"] for stage in shown["stages"] for service in stage["services"]]
    assert (shown["status"], names) == ("SUCCEEDED", ["Three"])
    assert staging("environment", "deploy", "--with-dependencies").code == 1


def test_a_failed_deployment_that_is_rolled_back_says_by_which_one(staging: Shell) -> None:
    staging.done("service", "add", "-n", "DB", "-t", "database", "--run", "exec sleep 60")
    assert staging("environment", "deploy", "--watch").code == 0
    staging.done("service", "edit", "-n", "DB", "--run", "exec sleep 61")
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exit 3")
    edited = staging("environment", "edit", "--on-failure", "roll-back", "--dry-run")
    assert "policy: on failure roll back" in edited.out
    staging.done("environment", "edit", "--on-failure", "roll-back")
    failed = staging("environment", "deploy", "--watch")
    assert failed.code == 4
    assert "deployment 2 failed: Migrate: deploy failed; the services that it renewed are rolled back" in failed.out
    assert "Watch deployment 3, which rolls it back: stageline deployment watch 3." in failed.err
    assert staging("deployment", "watch", "3").code == 0
    shown = staging.done("deployment", "show", "3").out
    assert "  rollback after the failure of deployment 2\n" in shown
    assert "  rollback after the failure of deployment 2" in staging("status").lines
    assert "as in deployment 1" in shown
    last = staging.done("deployment", "show", "2").lines[-1]
    assert last == "Deployment 3 rolls back the services that it renewed."


def test_a_deployment_that_waits_is_superseded_by_a_later_one(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "exec sleep 60")
    staging.done("environment", "edit", "--on-request", "supersede")
    staging.done("environment", "deploy")
    staging.done("environment", "deploy", "--revision", "one")
    staging.done("environment", "deploy", "--revision", "two")
    superseded = staging("deployment", "watch", "2")
    assert (superseded.code, "Deployment 2 was superseded by deployment 3." in superseded.err) == (5, True)
    shown = staging.done("deployment", "show", "2").out
    assert "  superseded by deployment 3\n" in shown
    staging.done("environment", "cancel", "3")
    staging("environment", "cancel", "1", "--force", "--watch")


def test_a_freeze_refuses_or_holds_a_deployment_unless_it_is_ignored_with_a_reason(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Migrate", "-t", "job", "--run", "true")
    invalid = staging("environment", "edit", "--freeze", "0 18 * * FRI")
    assert (invalid.code, "one is '0 18 * * FRI; 60h; Europe/Berlin; hold'" in invalid.err) == (2, True)
    always = "* * * * *; 2h; Europe/Berlin"
    edited = staging.done("environment", "edit", "--freeze", always, "--json").json
    assert edited["environment"]["policy"]["freezes"] == [
        {"cron": "* * * * *", "durationSeconds": 7200.0, "timeZone": "Europe/Berlin", "action": "REFUSE"}
    ]
    refused = staging("environment", "deploy", "--json")
    assert (refused.code, refused.error["code"]) == (1, "ENVIRONMENT_FROZEN")
    assert "with --ignore-freeze" in refused.error["message"]
    assert staging("environment", "deploy", "--ignore-freeze").code == 1, "a reason is missing"
    assert staging("environment", "deploy", "--ignore-freeze", "--reason", "a leak", "--watch").code == 0
    history = staging.done("history").out
    assert "freeze of 2 h at * * * * * Europe/Berlin (REFUSE)" in history

    staging.done("environment", "edit", "--freeze", f"{always}; hold")
    staging.done("environment", "deploy")
    shown = staging.done("deployment", "show", "2", "--json").json
    assert (shown["status"], shown["waitsFor"]["reason"]) == ("QUEUED", "FREEZE")
    assert "waits: the environment is frozen until " in staging.done("deployment", "show", "2").out
    staging.done("environment", "edit", "--freeze", "")
    assert staging("environment", "cancel", "2", "--watch").code == 0


def test_one_service_of_a_deployment_is_cancelled(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Stuck", "-t", "job", "--run", "exec sleep 60")
    staging.done("service", "add", "-n", "Quick", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    assert staging("environment", "cancel", "--service", "nothing").code == 1
    cancelled = staging.done("environment", "cancel", "--service", "stuck", "--force")
    assert cancelled.out == "Cancellation of stuck in deployment 1 requested\n"
    assert staging("deployment", "watch", "1").code == 0
    shown = staging.done("deployment", "show", "1", "--json").json
    services = {each["name"]: each["status"] for stage in shown["stages"] for each in stage["services"]}
    assert (shown["status"], services) == ("SUCCEEDED", {"Stuck": "CANCELLED", "Quick": "SUCCEEDED"})


def test_a_deployment_that_waits_is_moved(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Stuck", "-t", "job", "--run", "exec sleep 60")
    for revision in ("one", "two", "three"):
        staging.done("environment", "deploy", "--revision", revision)
    assert staging("deployment", "move", "1").code == 1
    assert staging.done("deployment", "move", "3").out == "Deployment 3 moved to place 1 of those that wait\n"
    queue = staging("status", "--json").json["queue"]
    assert [each["number"] for each in queue] == [1, 3, 2]
    assert queue[1]["waitsFor"]["message"] == "deployment 1 of the environment must end first"
    for number in ("2", "3", "1"):
        staging("environment", "cancel", number, "--force")
