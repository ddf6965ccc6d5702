import itertools
import re

import pytest

from tests.cli.shell import Shell

numbers = itertools.count(1)


@pytest.fixture
def ann() -> str:
    """The id of an actor that nobody else has."""
    return f"ann-{next(numbers)}"


def test_an_actor_is_known_until_it_is_forgotten(shell: Shell, ann: str) -> None:
    shell.done("actor", "set", ann, "--name", "Ann Example", "--address", "ann@example.org")
    rows = [re.split("  +", line) for line in shell.done("actor", "list").lines]
    assert [ann, "Ann Example", "admin", "ann@example.org"] in [[*filter(None, row)] for row in rows]
    answer = shell.done("actor", "forget", ann, "--yes")
    assert answer.out == f"Actor {ann} forgotten\n"
    (actor,) = [each for each in shell.done("actor", "list", "--json").json["actors"] if each["id"] == ann]
    assert (actor["name"], actor["address"], actor["isForgotten"]) == (None, None, True)


def test_history_names_an_actor_as_long_as_it_is_known(
    staging: Shell, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = staging("token", "create", ann, "--actor", ann, "--role", "editor", "--everything").out.strip()
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", token)
        staging.done("environment", "stage", "create", "-n", "checks")
    staging.done("actor", "set", ann, "--name", "Ann Example")
    assert f"  Ann Example ({ann})  " in staging("history", "--limit", "1").out
    staging.done("actor", "forget", ann, "--yes")
    assert f"  {ann}  " in staging("history", "--limit", "1").out
    refused = staging("actor", "set", ann, "--name", "Somebody Else", "--json")
    assert (refused.code, refused.error["code"]) == (1, "FORGOTTEN_ACTOR")
    assert f"  {ann}  " in staging("history", "--limit", "1").out


def test_forgetting_is_asked_for_on_a_terminal(shell: Shell, ann: str) -> None:
    shell.done("actor", "set", ann, "--name", "Ann Example")
    with shell.terminal("actor", "forget", ann) as terminal:
        terminal.wait_for("Forget the name and address")
        terminal.type("n")
        assert terminal.end() == 1
    assert "Ann Example" in shell.done("actor", "list").out


def test_a_trial_changes_nothing(shell: Shell, ann: str) -> None:
    assert "Ann" in shell("actor", "set", ann, "--name", "Ann", "--dry-run").out
    assert ann not in shell.done("actor", "list").out
    refused = shell("actor", "forget", ann, "--yes", "--json")
    assert (refused.code, refused.error["code"]) == (1, "ACTOR_NOT_FOUND")
