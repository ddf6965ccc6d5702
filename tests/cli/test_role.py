"""`stageline role`, the roles of tokens, and `stageline auth whoami`."""

import pytest

from tests.cli.shell import Shell


def test_a_token_with_a_role_does_what_the_role_allows(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("project", "create", "-n", "Roles")
    shell("environment", "create", "-n", "production", "--project", "Roles")
    place = ("--project", "Roles", "--environment", "production")
    text = shell("token", "create", "robot", "--actor", "robot", "--role", "viewer", *place).out.strip()
    assert "viewer on environment Roles/production" in shell.done("token", "list").out
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", text)
        assert shell.done("auth", "whoami").lines == [
            "Actor: robot",
            "Token: robot",
            "Roles: viewer on environment Roles/production",
        ]
        assert shell.done("auth").code == 0
        refused = shell("environment", "stage", "create", "-n", "Checks", *place)
        assert refused.code == 1
        assert "needs the role editor on environment 'Roles/production', and you are viewer" in refused.err


def test_roles_of_an_actor_are_granted_listed_and_revoked(shell: Shell) -> None:
    shell("project", "create", "-n", "Held")
    granted = shell.done("role", "grant", "ann", "editor", "--project", "Held")
    assert granted.lines == ["Actor ann holds: editor on project Held"]
    assert "ann    editor  project Held" in shell.done("role", "list").out
    (held,) = shell.done("role", "list", "--json").json["roles"]
    assert [(each["role"], each["project"]["name"]) for each in held["roles"]] == [("EDITOR", "Held")]
    assert "ann    viewer  everything" in shell("role", "grant", "ann", "viewer", "--everything", "--dry-run").out
    assert "those of its actor" in shell("token", "create", "laptop", "--actor", "ann", "--dry-run").out
    assert shell.done("role", "revoke", "ann", "--project", "Held").lines == ["Actor ann holds: none"]
    assert "ROLE_NOT_FOUND" in shell("role", "revoke", "ann", "--project", "Held", "--json").err


def test_the_place_of_a_role_is_never_the_contexts(shell: Shell) -> None:
    shell("project", "create", "-n", "Placed")
    shell("environment", "create", "-n", "production", "--project", "Placed")
    shell("context", "set", "--project", "Placed", "--environment", "production")
    refused = shell("role", "grant", "ann", "viewer", "--environment", "production")
    assert (refused.code, "Give --project with the name of an environment" in refused.err) == (2, True)
    (found,) = shell.done("environment", "list", "--json").json["environments"]
    granted = shell.done("role", "grant", "ann", "viewer", "--environment", found["id"])
    assert granted.lines == ["Actor ann holds: viewer on environment Placed/production"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("role", "grant", "ann", "viewer"), "Say what the role is for: --environment, --project, or --everything."),
        (("role", "grant", "ann", "viewer", "--everything", "--project", "P"), "Give --everything without --project"),
        (("token", "create", "x", "--everything"), "Give --role with --environment, --project or --everything."),
        (("token", "create", "x", "--role", "viewer"), "Say what the role is for"),
    ],
)
def test_a_role_needs_one_place(shell: Shell, words: tuple[str, ...], why: str) -> None:
    refused = shell(*words)
    assert refused.code == 2
    assert why in refused.err
