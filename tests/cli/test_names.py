"""Things are found by the names that they have, had, and had last before they were deleted."""

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def renamed(staging: Shell) -> Shell:
    """A stage and a service that were renamed, and a deployment with the service's old name."""
    staging.done("service", "add", "-n", "Api", "-t", "job", "--run", "echo hello")
    staging.done("environment", "deploy", "--watch")
    staging.done("service", "edit", "-n", "Api", "--new-name", "Backend")
    staging.done("environment", "stage", "edit", "-n", "JOB DEFAULT", "--new-name", "⚙ jobs")
    return staging


@pytest.mark.parametrize("ref", ["Api", "api", "Backend", " BACKEND "])
def test_logs_are_found_by_the_old_and_the_new_name_of_a_service(renamed: Shell, ref: str) -> None:
    assert renamed.done("deployment", "logs", "1", ref).out.endswith("Api deploy | hello\n")
    assert renamed.done("deployment", "logs", ref, "-f").out.endswith("Api deploy | hello\n")


def test_logs_are_found_when_the_service_is_gone(renamed: Shell) -> None:
    renamed.done("service", "remove", "-n", "Backend", "--yes")
    assert renamed.done("deployment", "logs", "backend").out.endswith("Api deploy | hello\n")
    assert renamed("deployment", "logs", "nothing").code == 1


@pytest.mark.parametrize("ref", ["JOB DEFAULT", "⚙ jobs", "⚙️ JOBS"])
def test_history_of_a_stage_is_found_by_every_name_that_it_had(renamed: Shell, ref: str) -> None:
    lines = renamed.done("history", "--stage", ref, "--type", "stage-renamed").lines
    assert [line.partition("admin  ")[2] for line in lines] == ["JOB DEFAULT renamed to ⚙ jobs"]


@pytest.mark.parametrize("ref", ["Api", "Backend"])
def test_history_of_a_deleted_service_is_found_by_every_name_that_it_had(renamed: Shell, ref: str) -> None:
    renamed.done("service", "remove", "-n", "Backend", "--yes")
    lines = renamed.done("history", "--service", ref).lines
    assert lines[0].endswith("Backend removed")
    assert lines[-1].endswith("Api added")
    assert renamed("history", "--service", "nothing").code == 1


def test_history_is_found_by_the_display_name_of_an_actor(staging: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    token = staging("token", "create", "t", "--actor", "ann-7", "--role", "editor", "--everything").out.strip()
    staging.done("actor", "set", "ann-7", "--name", "Ann Example")
    with monkeypatch.context() as patch:
        patch.setenv("STAGELINE_TOKEN", token)
        staging.done("environment", "stage", "create", "-n", "checks")
    staging.done("actor", "set", "ann-7", "--name", "Ann Married")
    for ref in ("ann-7", "ann example", "Ann Married"):
        (line,) = staging.done("history", "--by", ref).lines
        assert line.endswith("  Ann Married (ann-7)  checks created at position 5")
    staging.done("actor", "forget", "ann-7", "--yes")
    assert staging.done("history", "--by", "ann example").out == "<no event>\n"


def test_a_project_is_found_by_its_old_name_and_when_it_was_deleted(staging: Shell, project: str) -> None:
    staging.done("project", "rename", "-n", project, "--new-name", f"{project} new")
    for ref in (project, f" {project.upper()}", f"{project} new"):
        assert staging.done("environment", "list", "--project", ref).lines[1].startswith("staging ")
        (line,) = staging.done("history", "--project", ref, "--type", "environment-created").lines
        assert staging.done("history", "--project", ref, "--environment", "staging").lines
        assert staging.done("history", "--project", ref, "--whole-project").lines[-1].endswith(line.rpartition("  ")[2])
    staging.done("project", "create", "-n", project)
    assert staging.done("environment", "list", "--project", project).out == "<no environment>\n"
    staging.done("project", "delete", "-n", project, "--yes")
    assert staging.done("environment", "list", "--project", project).lines[1].startswith("staging ")

    staging.done("environment", "delete", "--yes")
    staging.done("project", "delete", "-n", f"{project} new", "--yes")
    deleted = staging.done("history", "--project", f"{project} new", "--environment", "staging").lines
    assert deleted[0].endswith("staging deleted")
    several = staging("history", "--project", project, "--whole-project")
    assert several.code == 1
    assert several.err.count("project_") == 2
    unknown = staging("environment", "list", "--project", "nothing")
    assert (unknown.code, unknown.err) == (1, "Error: There is no project 'nothing'.\nSee: stageline project list\n")


def test_an_environment_is_found_by_its_old_name_and_when_it_was_deleted(staging: Shell, project: str) -> None:
    staging.done("environment", "edit", "--new-name", "production")
    for ref in ("staging", "STAGING", "production"):
        answer = staging.done("history", "--project", project, "--environment", ref, "--type", "environment-renamed")
        assert answer.out.endswith("staging renamed to production\n")
    staging.done("environment", "create", "-n", "staging")
    assert staging.done("history", "--environment", "staging", "--json").objects[-1]["environment"]["name"] == "staging"
    assert staging.done("history", "--environment", "staging", "--type", "environment-renamed").out == "<no event>\n"

    staging.done("environment", "delete", "--environment", "production", "--yes")
    assert staging("history", "--environment", "production", "--limit", "1").out.endswith("production deleted\n")
    refused = staging("environment", "deploy", "--environment", "production")
    assert (refused.code, refused.err) == (
        1,
        "Error: There is no environment 'production'.\nSee: stageline environment list\n",
    )
    assert staging("history", "--environment", "nothing").code == 1


def test_several_environments_that_had_a_name_are_told_apart_by_id(staging: Shell) -> None:
    staging.done("environment", "edit", "--new-name", "one")
    staging.done("environment", "create", "-n", "staging")
    staging.done("environment", "edit", "--environment", "staging", "--new-name", "two")
    answer = staging("history", "--environment", "staging")
    assert answer.code == 1
    assert answer.err.count("environment_") == 2


def test_a_context_follows_its_environment(staging: Shell, project: str) -> None:
    id_ = staging.done("context", "current", "--json").json["environmentId"]
    staging.done("environment", "edit", "--new-name", "production")
    staging.done("environment", "create", "-n", "staging")
    assert staging.done("environment", "stage", "list", "--json").json["environment"]["id"] == id_
    assert staging.done("context", "current").out == f"Context default: project {project}, environment production\n"

    staging.done("environment", "delete", "--yes")
    assert staging("history", "--limit", "1").out.endswith("production deleted\n")
    staging.done("environment", "create", "-n", "production")
    assert staging.done("environment", "stage", "list", "--json").json["environment"]["id"] != id_


def test_a_context_follows_its_project(staging: Shell, project: str) -> None:
    id_ = staging.done("context", "current", "--json").json["environmentId"]
    staging.done("project", "rename", "-n", project, "--new-name", f"{project} again")
    assert staging.done("environment", "stage", "list", "--json").json["environment"]["id"] == id_
    assert staging.done("context", "current").out == f"Context default: project {project} again, environment staging\n"
    assert staging.done("environment", "list", "--json").json["environments"][0]["id"] == id_


def test_a_context_without_ids_is_found_by_its_names(staging: Shell) -> None:
    text = staging.config.read_text()
    kept = text.replace('"projectId"', '"x"').replace('"environmentId"', '"y"')
    assert kept != text
    staging.config.write_text(kept)
    staging.done("environment", "stage", "list")


def test_a_context_is_deleted(staging: Shell, project: str) -> None:
    staging.done("context", "set", "--project", project, "--environment", "staging", "--name", "other")
    assert staging.done("context", "delete", "other").out == "Context other deleted; default is current\n"
    assert staging.done("context", "current", "--json").json["name"] == "default"
    assert staging.done("context", "delete", "default").out == "Context default deleted; no context is current now\n"
    assert staging.done("context", "list").out == "<no context>\n"
    for words in (("delete", "other"), ("set", "--name", "other")):
        refused = staging("context", *words)
        assert (refused.code, refused.out) == (1, "")
        assert "There is no context 'other'." in refused.err
