import io
import sys
from collections.abc import Callable

import pytest

from tests.cli.shell import Answer, Shell

VALUE = "correct horse battery staple"


@pytest.fixture
def give(staging: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Carries out a command that reads a text, or bytes, from stdin."""

    def give(text: str | bytes, *words: str) -> Answer:
        content = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return staging(*words)

    return give


def test_a_secret_is_set_from_stdin_listed_and_deleted(staging: Shell, give: Callable[..., Answer]) -> None:
    assert staging.done("secret", "list").out == "<no secret>\n"
    assert give(f"{VALUE}\n", "secret", "set", "KEY").out == "Secret set successfully\n"
    give(VALUE, "secret", "set", "--shared", "NPM")
    listed = staging.done("secret", "list").lines
    assert [line.split()[:3] for line in listed] == [
        ["Name", "Of", "Version"],
        ["KEY", "environment", "1"],
        ["NPM", "project", "1"],
    ]
    assert staging.done("secret", "delete", "KEY", "--yes").out == "Secrets deleted successfully\n"
    assert [each["name"] for each in staging.done("secret", "list", "--json").json["secrets"]] == ["NPM"]


def test_a_value_is_asked_for_on_a_terminal_and_not_shown_there(staging: Shell) -> None:
    with staging.terminal("secret", "set", "KEY") as terminal:
        terminal.wait_for("Value of KEY:")
        terminal.type(VALUE)
        assert terminal.end() == 0
        assert "Secret set successfully" in terminal.seen
        assert VALUE not in terminal.seen


def test_the_answer_in_json_has_no_value(staging: Shell, give: Callable[..., Answer]) -> None:
    answer = give(VALUE, "secret", "set", "KEY", "--json")
    (secret,) = answer.json["secrets"]
    assert (answer.json["changed"], secret["name"], secret["version"], secret["setBy"]["id"]) == (
        True,
        "KEY",
        1,
        "admin",
    )
    assert VALUE not in answer.out + answer.err


def test_the_key_is_rotated(staging: Shell, give: Callable[..., Answer]) -> None:
    assert staging.done("key", "rotate").out == "Nothing changed: it is already so\n"
    give(VALUE, "secret", "set", "KEY")
    assert staging.done("key", "rotate").out == "Key rotated successfully\n"
    give(VALUE, "secret", "set", "--shared", "NPM")
    assert staging.done("key", "rotate", "--shared").out == "Key rotated successfully\n"


def test_a_value_that_is_too_short_to_be_masked_is_set_with_a_warning(
    staging: Shell, give: Callable[..., Answer]
) -> None:
    answer = give("abc", "secret", "set", "KEY")
    assert answer.code == 0
    assert "Warning: the value has fewer than 4 characters: it is not masked in the output of steps" in answer.err


def test_a_value_is_no_argument_and_must_be_a_text(staging: Shell, give: Callable[..., Answer]) -> None:
    assert staging("secret", "set", "KEY", VALUE).code == 2
    assert "stageline secret set KEY\n" in staging("secret", "set", f"KEY={VALUE}").err
    answer = give(b"\xff\xfe", "secret", "set", "KEY")
    assert (answer.code, "The value on stdin is not UTF-8." in answer.err) == (2, True)
    answer = give("", "secret", "set", "KEY")
    assert (answer.code, "its value has 0 bytes; 1 to 10,000 are allowed" in answer.err) == (1, True)


def test_a_dry_run_sets_and_destroys_nothing(staging: Shell, give: Callable[..., Answer]) -> None:
    assert give(VALUE, "secret", "set", "KEY", "--dry-run").out == "KEY with a new value\n"
    assert staging.done("secret", "list").out == "<no secret>\n"
    give(VALUE, "secret", "set", "KEY")
    assert staging("secret", "delete", "KEY", "--dry-run").out == "without KEY\n"
    assert len(staging.done("secret", "list").lines) == 2


def test_the_history_of_a_project_has_its_variables_and_secrets(staging: Shell, give: Callable[..., Answer]) -> None:
    staging.done("variable", "set", "--shared", "REGION=eu")
    give(VALUE, "secret", "set", "--shared", "NPM", "--reason", "for builds")
    projects = staging.done("project", "list", "--json").json["projects"]
    project = max(projects, key=lambda each: each["createdAt"])["id"]
    lines = staging.done("project", "history", "-n", project).lines
    assert "variable REGION: – → eu" in lines[-2]
    assert "secret NPM set" in lines[-1]
    assert lines[-1].endswith("for builds")
    assert staging.done("project", "history").lines == lines  # that of the context
    assert staging.done("project", "history", "-n", project, "--json").json["events"][-1]["version"] == len(lines) - 1
