import itertools

import pytest

from tests.cli.shell import Shell

numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """A name that no other token has."""
    return f"robot-{next(numbers)}"


def test_a_token_that_was_made_lets_in_until_it_is_revoked(
    shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = ("--role", "admin", "--everything")
    answer = shell("token", "create", name, "--expires-in", "90d", "--actor", "robot", *roles)
    token = answer.out.strip()
    assert "can't be shown again" in answer.err
    row = next(line for line in shell.done("token", "list").lines if line.startswith(f"{name} "))
    assert " robot " in row
    assert token not in row
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", token)
        shell.done("project", "list")
        shell.done("token", "revoke", name, "--yes")
        for words in (("project", "list"), ("audit", "export")):
            refused = shell(*words)
            assert refused.code == 3
            assert "rejected the token. The token was revoked. Ask for another" in refused.err
            assert "stageline auth" in refused.err
    assert name not in shell.done("token", "list").out
    (listed,) = [each for each in shell.done("token", "list", "--all", "--json").json["tokens"] if each["name"] == name]
    assert (listed["revokedBy"]["id"], listed["isValid"]) == ("robot", False)


def test_revoking_is_asked_for_on_a_terminal(shell: Shell, name: str) -> None:
    shell("token", "create", name)
    with shell.terminal("token", "revoke", name) as terminal:
        terminal.wait_for("Revoke the token")
        terminal.type("n")
        assert terminal.end() == 1
    assert name in shell.done("token", "list").out


def test_revoking_names_the_tokens_that_a_token_issued(
    shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shell("token", "create", name).out.strip()
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", token)
        shell("token", "create", f"{name}-copy")
    revoked = shell("token", "revoke", name, "--yes", "--json")
    assert f"Tokens that it issued: {name}-copy" in revoked.err
    id_ = revoked.json["id"]
    assert f"stageline token revoke {id_} --with-issued" in revoked.err
    assert f"{name}-copy" in shell.done("token", "list").out
    assert shell("token", "revoke", id_, "--with-issued", "--yes").code == 0
    assert f"{name}-copy" not in shell.done("token", "list").out


def test_a_trial_makes_no_token(shell: Shell, name: str) -> None:
    assert name in shell("token", "create", name, "--dry-run").out
    assert shell("token", "create", name, "--dry-run", "--json").json["token"] is None
    assert name not in shell.done("token", "list", "--all").out


def test_tokens_of_one_name_are_told_apart_by_their_ids(shell: Shell, name: str) -> None:
    ids = [shell("token", "create", name, "--json").json["id"] for _ in range(2)]
    refused = shell("token", "revoke", name, "--yes")
    assert refused.code == 1
    assert "2 tokens have the name" in refused.err
    shell.done("token", "revoke", ids[0], "--yes")
    shell.done("token", "revoke", name, "--yes")
    assert shell("token", "revoke", name, "--yes", "--json").error["code"] == "TOKEN_NOT_FOUND"


@pytest.mark.parametrize("time", ["90", "0d", "1y", "-1d", "soon", "100000d"])
def test_a_time_that_can_not_be_meant_is_refused(shell: Shell, name: str, time: str) -> None:
    refused = shell("token", "create", name, f"--expires-in={time}")
    assert refused.code == 2
    assert "12h or 90d" in refused.err


def test_a_token_that_would_last_longer_than_ones_own_is_refused_with_what_to_do(
    shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shell("token", "create", name, "--expires-in", "1h").out.strip()
    monkeypatch.setenv("STAGELINE_TOKEN", token)
    for words in ((), ("--expires-in", "2h")):
        refused = shell("token", "create", name, *words)
        assert refused.code == 1
        assert "your own token expires at " in refused.err
        assert "Give a shorter --expires-in" in refused.err
    assert shell("token", "create", name, "--expires-in", "30m").code == 0
