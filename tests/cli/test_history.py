import csv
import re
from datetime import UTC, datetime

import pytest
from graphql import GraphQLEnumType, build_schema

from cli.history import CSV_COLUMNS, ORIGINS, TYPES
from tests.cli.shell import Answer, Shell, finish, wait_for_line
from tests.serving import ROOT


def rename(shell: Shell, old: str, new: str, *options: str) -> None:
    shell.done("environment", "stage", "edit", "-n", old, "--new-name", new, *options)


def messages(answer: Answer) -> list[str]:
    return [event["message"] for event in answer.objects]


def test_history_is_told_with_the_newest_first(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs", "--reason", "ticket 7")
    rename(staging, "jobs", "tasks")
    lines = staging.done("history").lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  v\d+ +admin  .*jobs.*tasks.*", lines[0])
    assert lines[1].endswith("  (ticket 7)")
    assert lines[0].split("v")[1] > lines[1].split("v")[1]
    assert "\x1b" not in "".join(lines)
    assert staging("history", "--limit", "1").lines == lines[:1]


def test_history_is_narrowed(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs", "--reason", "ticket 7")
    rename(staging, "CONTAINER DEFAULT", "containers")
    named = staging.done("history", "--type", "stage-renamed", "--json").objects
    assert [event["pipelineEventType"] for event in named] == ["STAGE_RENAMED"] * 2
    assert len(staging.done("history", "--stage", "jobs", "--type", "stage-renamed").lines) == 1
    assert len(staging.done("history", "--text", "renamed ticket").lines) == 1
    assert staging.done("history", "--by", "nobody").lines == ["<no event>"]
    assert staging.done("history", "--since", "2999-01-01").lines == ["<no event>"]
    assert staging.done("history", "--since", "2999-01-01", "--json").lines == []
    assert staging.done("history", "--until", "2999-01-01", "--origin", "cli").lines == staging.done("history").lines
    assert staging("history", "--since", "yesterday").code == 2
    unknown = staging("history", "--type", "painted")
    assert unknown.code == 2
    assert "Invalid --type 'painted': it is one of environment-created, " in unknown.err
    assert "Invalid --origin 'moon': it is one of api, cli," in staging("history", "--origin", "moon").err


def test_history_of_a_whole_project_says_where_it_was(staging: Shell, project: str) -> None:
    staging.done("environment", "create", "-n", "production")
    lines = staging.done("history", "--whole-project").lines
    assert any("  production: " in line for line in lines)
    assert any("  staging: " in line for line in lines)
    staging.done("variable", "set", "REGION=eu")
    assert "  staging: variable REGION: " in staging("history", "--whole-project", "--limit", "1").out
    assert set(lines) < set(staging.done("history", "--everything", "--limit", "100000").lines)


def test_history_in_json_has_a_stable_shape(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs")
    event = staging.done("history", "--limit", "1", "--json").objects[0]
    assert {
        "id",
        "cursor",
        "logPosition",
        "pipelineEventType",
        "version",
        "versionBefore",
        "message",
        "recordedAt",
    } < set(event)
    assert {"actor", "origin", "reason", "correlation", "token", "environment", "stage"} < set(event)
    assert event["version"] == event["versionBefore"] + 1


def test_history_is_followed(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs")
    with staging.process("history", "-f", "--limit", "1") as process:
        assert "jobs" in wait_for_line(process, "jobs")[0]
        rename(staging, "jobs", "tasks")
        lines = wait_for_line(process, "tasks")
        assert len(lines) == 1
        staging.done("environment", "delete", "--yes")
        wait_for_line(process, "deleted")
        assert finish(process).code == 0
    assert staging("history", "-f", "--by", "admin").code == 2


def test_history_has_colours_on_a_terminal(staging: Shell) -> None:
    with staging.terminal("history", "--limit", "1") as terminal:
        assert terminal.end() == 0
        assert "\x1b[33mv" in terminal.seen


def test_a_difference_is_shown_with_the_events_that_made_it(staging: Shell) -> None:
    before = staging.done("environment", "stage", "list", "--json").json["version"]
    assert staging.done("diff", str(before)).out == "<no difference>\n"
    rename(staging, "JOB DEFAULT", "jobs", "--reason", "first")
    rename(staging, "jobs", "tasks", "--reason", "second")
    staging.done("service", "add", "-n", "Api", "-t", "application", "--run", "true")
    staging.done("environment", "stage", "create", "-n", "new")
    lines = staging.done("diff", str(before)).lines
    assert sum(line.startswith("~ ") and "tasks" in line for line in lines) >= 1
    assert sum(line.startswith("+ ") for line in lines) == 2
    reasons = [line.rpartition("  ")[2] for line in lines if line.startswith("    ") and " renamed to " in line]
    assert reasons == ["(first)", "(second)"]
    found = staging.done("diff", f"v{before}", str(before + 1), "--json").json
    assert (found["from"]["version"], found["to"]["version"]) == (before, before + 1)
    assert [(each["change"]["type"], len(each["events"])) for each in found["differences"]] == [("STAGE_RENAMED", 1)]
    assert staging("diff", str(before), "--exit-code").code == 1
    assert staging("diff", str(before + 1), str(before + 1), "--exit-code").code == 0


def test_a_moment_is_a_version_a_time_or_a_deployment(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Api", "-t", "job", "--run", "true")
    staging.done("environment", "deploy")
    staging.done("service", "edit", "-n", "Api", "--run", "false", "--env", "A=b")
    lines = staging.done("diff", "deployment:1").lines
    assert any(line.strip().startswith("runCommand: ") for line in lines)
    assert staging.done("diff", "2999-01-01").out == "<no difference>\n"
    assert staging("diff", "yesterday").code == 2
    assert staging("diff", "99").code == 1
    assert staging("diff", "deployment:99").code == 1


def test_a_pipeline_is_led_back(staging: Shell) -> None:
    before = staging.done("environment", "stage", "list").out
    version = staging.done("environment", "stage", "list", "--json").json["version"]
    rename(staging, "JOB DEFAULT", "jobs")
    staging.done("environment", "stage", "delete", "-n", "DATABASE DEFAULT")
    trial = staging("restore", str(version), "--dry-run")
    assert (trial.code, trial.out) == (0, before)
    assert staging.done("environment", "stage", "list").out != before
    answer = staging.done("restore", str(version), "--reason", "as before")
    assert answer.out.startswith(f"Pipeline restored to version {version}; it is version ")
    assert staging.done("environment", "stage", "list").out == before
    assert staging("history", "--limit", "1").out.endswith(f"(restored to version {version}: as before)\n")
    refused = staging("restore", "99", "--json")
    assert (refused.code, refused.error["code"]) == (1, "VERSION_NOT_FOUND")


def test_the_last_change_and_a_chosen_one_are_taken_back(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs")
    rename(staging, "DATABASE DEFAULT", "data")
    rename(staging, "CONTAINER DEFAULT", "more")
    assert staging.done("undo").out == "Last change undone; it is version 13 now\n"
    assert staging.done("undo").out == "Last change undone; it is version 15 now\n"
    again = staging.done("undo", "13", "--json").json
    assert [stage["name"] for stage in again["stages"]] == ["DATABASE DEFAULT", "jobs", "more", "APPLICATION DEFAULT"]
    assert staging.done("undo", "6").out == "Change of version 6 undone; it is version 19 now\n"
    for version, code in ("99", "VERSION_NOT_FOUND"), ("6", "ALREADY_UNDONE"):
        assert staging("undo", version, "--json").error["code"] == code


def test_an_undo_is_itself_undone_by_its_version(staging: Shell) -> None:
    rename(staging, "JOB DEFAULT", "jobs")
    assert staging.done("undo").out.startswith("Last change undone; it is version ")
    assert '"JOB DEFAULT"' in staging.done("environment", "stage", "list").out
    undone = staging("history", "--limit", "2").lines
    assert any(line.endswith("renamed to JOB DEFAULT  (undo)") for line in undone)
    staging.done("undo", "8", "--reason", "no, it was right")
    again = staging("history", "--limit", "2").lines
    assert any(line.endswith("renamed to jobs  (undo: no, it was right)") for line in again)
    assert len(staging.done("history", "--text", "undo").lines) == 4
    assert '"jobs"' in staging.done("environment", "stage", "list").out


def test_history_says_when_there_is_more_and_how_to_get_it(staging: Shell) -> None:
    answer = staging("history", "--limit", "2")
    assert len(answer.lines) == 2
    assert answer.err == "There are older events: add --limit 4 to see more.\n"
    assert staging.done("history", "--limit", "5").err == ""
    assert staging.done("history", "--limit", "2", "--json").err == ""


def test_a_time_is_a_span_before_now_too(staging: Shell) -> None:
    assert len(staging.done("history", "--since", "1h").lines) == 5
    assert staging.done("history", "--until", "2d").lines == ["<no event>"]
    assert "did not exist at that time" in staging("diff", "1d").err
    assert staging.done("environment", "stage", "list", "--as-of", "2999-01-01").code == 0
    for wrong in ("0h", "1y", "h", "-1h"):
        answer = staging("history", "--since", wrong)
        assert answer.code == 2
        assert "such as 1h or 7d" in answer.err


def test_history_is_printed_for_spreadsheets(staging: Shell) -> None:
    staging.done("environment", "stage", "edit", "-n", "JOB DEFAULT", "--new-description", "")
    rename(staging, "JOB DEFAULT", "a, b", "--reason", "=1+1")
    rows = list(csv.DictReader(staging.done("history", "--csv").out.splitlines()))
    assert (rows[0]["message"], rows[0]["reason"]) == ("JOB DEFAULT renamed to a, b", "'=1+1")
    assert (rows[0]["actor"], rows[0]["type"], rows[0]["environment"]) == ("admin", "STAGE_RENAMED", "staging")
    assert len(rows) == 7
    assert staging.done("history", "--csv", "--since", "2999-01-01").lines == [",".join(CSV_COLUMNS)]
    assert staging("history", "--csv", "--json").code == 2


def test_a_pipeline_is_led_back_to_a_time_or_a_deployment(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Api", "-t", "job", "--run", "true")
    version = staging.done("environment", "stage", "list", "--json").json["version"]
    staging.done("environment", "deploy")
    before = datetime.now(UTC).isoformat()
    staging.done("service", "edit", "-n", "Api", "--run", "false")
    for moment in ("deployment:1", before, f"v{version}"):
        trial = staging("restore", moment, "--dry-run")
        assert trial.code == 0
        assert "~ Api: runCommand: false → true" in trial.lines
    answer = staging.done("restore", "deployment:1")
    assert answer.out.startswith(f"Pipeline restored to version {version}; ")
    assert staging("restore", "yesterday").code == 2
    assert staging("restore", "deployment:9").code == 1
    assert "--environment" not in staging("restore", "2000-01-01").err


def test_a_trial_shows_changes_of_a_specification_field_by_field(staging: Shell) -> None:
    added = staging("service", "add", "-n", "Api", "-t", "job", "--run", "true", "--env", "A=1", "--dry-run")
    assert added.lines[-2:] == ["~ Api: runCommand: – → true", "~ Api: env: +A=1"]
    staging.done("service", "add", "-n", "Api", "-t", "job", "--run", "true", "--env", "A=1")
    edit = ("service", "edit", "-n", "Api", "--env", "LOG=debug", "--env", "A=2", "--retries", "1")
    trial = staging(*edit, "--dry-run")
    lines = ["env: +LOG=debug", "env: A=1 → 2", "retries: 0 → 1"]
    assert trial.lines[-3:] == [f"~ Api: {line}" for line in lines]
    trial_json = staging(*edit, "--dry-run", "--json").json
    assert [field["field"] for field in trial_json["specChanges"][0]["fields"]] == ["env", "retries"]
    assert "specChanges" not in staging.done(*edit, "--json").json
    assert staging("history", "--limit", "1").out.endswith(
        "Api: specification changed: env: A=1 → 2, +LOG=debug; retries: 0 → 1\n"
    )
    (head, *fields) = staging.done("diff", "7").lines[:4]
    assert head == "~ Api: specification changed"
    assert sorted(line.strip() for line in fields) == sorted(lines)
    undone = staging("undo", "--dry-run").lines
    assert undone[-3:] == ["~ Api: env: A=2 → 1", "~ Api: env: -LOG", "~ Api: retries: 1 → 0"]


def test_the_types_and_origins_are_those_of_the_server() -> None:
    schema = build_schema((ROOT / "gql" / "schema.graphql").read_text())
    for name, values in (("PipelineEventType", TYPES), ("Origin", ORIGINS)):
        enum = schema.type_map[name]
        assert isinstance(enum, GraphQLEnumType)
        assert sorted(values) == sorted(enum.values)


@pytest.mark.parametrize("words", [("restore", "latest"), ("diff", "latest"), ("diff", "1", "latest")])
def test_a_moment_that_is_none_names_all_that_it_can_be(staging: Shell, words: tuple[str, ...]) -> None:
    answer = staging(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        "Error: Invalid moment 'latest': give a version, deployment:NUMBER, a time in ISO 8601"
    )
