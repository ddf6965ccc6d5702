import json

import pytest

from tests.cli.shell import Shell


def test_contexts_are_kept_listed_and_changed_over_to(staging: Shell, project: str) -> None:
    staging.done("environment", "create", "-n", "production")
    set_ = staging.done("context", "set", "--environment", "PRODUCTION", "--name", "live")
    assert f"Context live: project {project}, environment production\n" == set_.out

    listed = staging.done("context", "list", "--json").json["contexts"]
    assert [(each["name"], each["project"], each["environment"], each["isCurrent"]) for each in listed] == [
        ("default", project, "staging", False),
        ("live", project, "production", True),
    ]
    assert all(each["environmentId"].startswith("environment_") and each["url"] is None for each in listed)
    assert staging.done("context", "list").lines[2].split()[:2] == ["*", "live"]

    staging.done("context", "set", "--name", "default")
    current = staging.done("context", "current", "--json").json
    assert (current["name"], current["environment"]) == ("default", "staging")

    staging.setenv("STAGELINE_CONTEXT", "live")
    assert staging.done("context", "current", "--json").json["name"] == "live"
    staging.setenv("STAGELINE_CONTEXT", "nowhere")
    assert "Error: Unknown context 'nowhere' in STAGELINE_CONTEXT" in staging("environment", "stage", "list").err


def test_a_context_is_of_an_environment_that_is_there(shell: Shell, project: str) -> None:
    answer = shell("context", "set", "--project", project, "--environment", "nowhere")
    assert (answer.code, answer.out) == (1, "")
    answer = shell("context", "current")
    assert (answer.code, answer.err) == (1, "Error: No context is set.\nSet one: stageline context set\n")
    assert shell.done("context", "list").out == "<no context>\n"


def test_options_go_before_variables_and_variables_before_the_context(staging: Shell, project: str) -> None:
    staging.done("environment", "create", "-n", "production")
    staging.done("environment", "create", "-n", "ci")

    def used(*options: str) -> str:
        name: str = staging.done("environment", "stage", "list", "--json", *options).json["environment"]["name"]
        return name

    assert used() == "staging"
    staging.setenv("STAGELINE_ENVIRONMENT", "production")
    assert used() == "production"
    assert used("--environment", "CI") == "ci"
    assert used("--environment", "ci", "--project", project) == "ci"
    staging.setenv("STAGELINE_PROJECT", "nowhere")
    assert staging("environment", "stage", "list").code == 1
    assert used("--project", project, "--environment", "staging") == "staging"


def test_an_environment_can_be_named_by_its_id(staging: Shell, shell: Shell) -> None:
    id_ = staging.done("environment", "stage", "list", "--json").json["environment"]["id"]
    shell.config.unlink()
    shell.setenv("STAGELINE_TOKEN", shell.server.token)
    shown = shell.done("environment", "stage", "list", "--environment", id_, "--json").json
    assert id_ == shown["environment"]["id"]


def test_the_contexts_environment_is_not_meant_in_another_project(staging: Shell) -> None:
    staging.done("project", "create", "-n", f"Other {staging.home.name}")
    answer = staging("environment", "stage", "list", "--project", f"Other {staging.home.name}")
    assert (answer.code, answer.out) == (2, "")


def test_where_nobody_can_be_asked_it_is_said_what_to_do(shell: Shell) -> None:
    for words in (("environment", "stage", "list"), ("environment", "list"), ("context", "set")):
        answer = shell(*words)
        assert (answer.code, answer.out) == (2, "")
        assert "--project" in answer.err


def test_a_person_is_asked_for_the_context(staging: Shell, project: str) -> None:
    staging.done("environment", "create", "-n", "another")
    staging.config.write_text(json.dumps({"tokens": {staging.server.url: staging.server.token}}))
    with staging.terminal("context", "set") as terminal:
        terminal.wait_for("Project (number or name): ")
        terminal.type("no such one")
        terminal.wait_for("'no such one' is not in the list.")
        terminal.type(project.lower())
        terminal.wait_for("2  staging")
        terminal.wait_for("Environment (number or name): ")
        terminal.type("2")
        assert terminal.end() == 0
    current = staging.done("context", "current", "--json").json
    assert (project, "staging") == (current["project"], current["environment"])


def test_a_person_can_leave_a_question(staging: Shell, project: str) -> None:
    staging.config.write_text(json.dumps({"tokens": {staging.server.url: staging.server.token}}))
    with staging.terminal("environment", "stage", "list") as terminal:
        terminal.wait_for("Project (number or name): ")
        terminal.type("\x04")
        assert terminal.end() == 130
    assert terminal.seen.rstrip().endswith("Aborted.")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J", "a\u202eb", "\u200b"])
def test_the_name_of_a_context_is_visible_and_has_no_control_characters(
    staging: Shell, project: str, name: str
) -> None:
    refused = staging("context", "set", "--name", name, "--project", project, "--environment", "staging")
    assert (refused.code, refused.err.startswith("Error: Invalid name of a context ")) == (2, True)
    assert [each["name"] for each in staging.done("context", "list", "--json").json["contexts"]] == ["default"]
