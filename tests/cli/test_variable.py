from tests.cli.shell import Shell


def test_variables_are_set_listed_and_deleted(staging: Shell) -> None:
    assert staging.done("variable", "list").out == "<no variable>\n"
    answer = staging.done("variable", "set", "REGION=eu", "URL=http://x?a=b")
    assert answer.out == "Variables set successfully\n"
    assert staging.done("variable", "list").lines == [
        "Name    Value         Of",
        "REGION  eu            environment",
        "URL     http://x?a=b  environment",
    ]
    assert staging.done("variable", "delete", "URL").out == "Variables deleted successfully\n"
    again = staging.done("variable", "set", "REGION=eu")
    assert again.out == "Nothing changed: it is already so\n"
    assert staging.done("variable", "set", "REGION=us", "--json").json == {
        "changed": True,
        "variables": [{"name": "REGION", "value": "us"}],
    }


def test_those_of_the_environment_replace_those_of_its_project(staging: Shell) -> None:
    staging.done("variable", "set", "--shared", "REGION=eu", "COMPANY=Acme")
    staging.done("variable", "set", "REGION=us")
    assert staging.done("variable", "list").lines[1:] == ["COMPANY  Acme   project", "REGION   us     environment"]
    shared = staging.done("variable", "list", "--shared", "--json").json["variables"]
    assert [(each["name"], each["value"]) for each in shared] == [("COMPANY", "Acme"), ("REGION", "eu")]
    staging.done("variable", "delete", "--shared", "COMPANY")
    assert staging.done("variable", "list").lines[1:] == ["REGION  us     environment"]


def test_a_shared_variable_that_a_service_needs_is_kept(staging: Shell) -> None:
    staging.done("variable", "set", "--shared", "REGION=eu")
    staging.done("service", "add", "-n", "Web", "-t", "job", "--run", "echo ${{ variables.REGION }}")
    answer = staging("variable", "delete", "--shared", "REGION")
    assert (answer.code, "Service 'Web' refers to variables.REGION" in answer.err) == (1, True)
    assert "REGION" in staging.done("variable", "list").out


def test_a_dry_run_shows_the_result(staging: Shell) -> None:
    assert staging("variable", "set", "A=1", "--dry-run").lines == ["Name  Value", "A     1"]
    assert staging.done("variable", "list").out == "<no variable>\n"


def test_a_misuse_names_the_way_out(staging: Shell) -> None:
    answer = staging("variable", "set", "REGION")
    assert (answer.code, "Invalid variable 'REGION': give NAME=VALUE." in answer.err) == (2, True)
    answer = staging("variable", "set", "--shared", "A=1", "--expected-version", "3")
    assert (answer.code, "A project has no version: leave out --expected-version." in answer.err) == (2, True)
    answer = staging("variable", "delete", "NONE")
    assert (answer.code, "The environment has no variable 'NONE'." in answer.err) == (1, True)


def test_a_dry_run_of_a_restore_and_of_an_undo_shows_the_variables_that_change(staging: Shell) -> None:
    staging.done("variable", "set", "A=1", "B=1")
    before = staging.done("environment", "stage", "list", "--json").json["version"]
    staging.done("variable", "delete", "A")
    staging.done("variable", "set", "B=2")
    lines = staging("restore", str(before), "--dry-run").lines
    assert [line for line in lines if line.startswith("~")] == ["~ variable A: – → 1", "~ variable B: 2 → 1"]
    undone = staging("undo", "--dry-run", "--json").json
    assert undone["variableChanges"] == [{"name": "B", "before": "2", "after": "1"}]
    assert undone["environment"]["variables"] == [{"name": "B", "value": "1"}]
