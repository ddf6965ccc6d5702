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
