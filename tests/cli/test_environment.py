from tests.cli.shell import Shell


def test_a_project_is_made_and_listed(shell: Shell, project: str) -> None:
    listed = shell.done("project", "list", "--json").json["projects"]
    (own,) = [each for each in listed if each["name"] == project]
    assert {"id", "name", "createdAt"} == set(own)
    assert project in shell.done("project", "list").out

    again = shell("project", "create", "-n", project.upper(), "--json")
    assert (again.code, again.error["code"]) == (1, "NAME_TAKEN")


def test_a_dry_run_makes_no_project(shell: Shell) -> None:
    answer = shell("project", "create", "-n", "Imagined", "--dry-run")
    assert (answer.code, answer.out) == (0, "Project Imagined\n")
    assert "Imagined" not in shell.done("project", "list").out


def test_a_project_is_renamed_and_deleted_once_it_is_empty(shell: Shell, project: str) -> None:
    shell.done("environment", "create", "-n", "staging", "--project", project)
    renamed = shell.done("project", "rename", "-n", project.upper(), "--new-name", f"{project} 2")
    assert renamed.out == "Project renamed successfully\n"
    again = shell.done("project", "rename", "-n", f"{project} 2", "--new-name", f"{project} 2")
    assert again.out == "Nothing changed: it is already so\n"
    refused = shell("project", "delete", "-n", f"{project} 2", "--yes", "--json")
    assert (refused.code, refused.error["code"]) == (1, "PROJECT_NOT_EMPTY")
    assert "(staging)" in refused.error["message"]
    shell.done("environment", "delete", "--project", f"{project} 2", "-n", "staging", "--yes")
    asked = shell("project", "delete", "-n", f"{project} 2", "--json")
    assert (asked.code, asked.error["code"]) == (1, "NOT_CONFIRMED")
    dry = shell("project", "delete", "-n", f"{project} 2", "--dry-run")
    assert (dry.code, dry.out) == (0, f"Project {project} 2 deleted\n")
    assert shell.done("project", "delete", "-n", f"{project} 2", "--yes").out == "Project deleted successfully\n"
    assert f"{project} 2" not in shell.done("project", "list").out


def test_an_environment_is_made_listed_edited_and_deleted(shell: Shell, project: str) -> None:
    of = ("--project", project.lower())
    assert shell.done("environment", "list", *of).out == "<no environment>\n"
    made = shell.done("environment", "create", "-n", "staging", *of, "--concurrency", "3")
    assert made.out == "Environment created successfully\n"

    (listed,) = shell.done("environment", "list", *of, "--json").json["environments"]
    assert {"id", "name", "project", "target", "concurrency", "policy", "createdAt", "updatedAt"} == set(listed)
    assert (listed["name"], listed["target"], listed["concurrency"]) == ("staging", "PROCESS", 3)
    assert shell.done("environment", "list", *of).lines[1].split()[:3] == ["staging", "process", "3"]

    edited = shell.done(
        "environment", "edit", *of, "--environment", "staging", "--new-name", "ci", "--concurrency", "5"
    )
    assert edited.out == "Environment updated successfully\n"
    assert shell("environment", "edit", *of, "--environment", "ci").code == 2

    shell.done("environment", "edit", *of, "--environment", "ci", "--on-failure", "continue")
    careful = shell.done("environment", "edit", *of, "--environment", "ci", "--build-barrier", "--json").json
    policy = {
        "onFailure": "CONTINUE",
        "buildBarrier": True,
        "deploymentTimeoutSeconds": None,
        "onRequest": "MERGE",
        "freezes": [],
    }
    assert careful["environment"]["policy"] == policy
    limited = shell.done("environment", "edit", *of, "--environment", "ci", "--deployment-timeout", "900", "--json")
    assert limited.json["environment"]["policy"] == policy | {"deploymentTimeoutSeconds": 900.0}
    free = shell.done("environment", "edit", *of, "--environment", "ci", "--deployment-timeout", "0", "--json").json
    assert free["environment"]["policy"] == policy
    assert careful["environment"]["concurrency"] == 5

    deleted = shell.done("environment", "delete", *of, "-n", "CI", "--yes")
    assert deleted.out == "Environment deleted successfully\n"
    assert shell.done("environment", "list", *of).out == "<no environment>\n"


def test_an_environment_that_is_not_there_is_refused(shell: Shell, project: str) -> None:
    answer = shell("environment", "delete", "--project", project, "-n", "nowhere", "--yes", "--json")
    assert (answer.code, answer.out, answer.error["code"]) == (1, "", "ENVIRONMENT_NOT_FOUND")


def test_a_project_that_is_not_there_is_refused(shell: Shell) -> None:
    answer = shell("environment", "list", "--project", "nowhere")
    assert (answer.code, answer.out, answer.err) == (
        1,
        "",
        "Error: There is no project 'nowhere'.\nSee: stageline project list\n",
    )


def test_a_person_is_asked_before_an_environment_is_deleted(staging: Shell, project: str) -> None:
    question = f"Delete environment 'staging' of project '{project}'? [y/N]: "
    with staging.terminal("environment", "delete") as terminal:
        terminal.wait_for(question)
        terminal.type("")
        assert terminal.end() == 1
    assert "staging" in staging.done("environment", "list").out

    with staging.terminal("environment", "delete") as terminal:
        terminal.wait_for(question)
        terminal.type("y")
        assert terminal.end() == 0
    assert staging.done("environment", "list").out == "<no environment>\n"
    with staging.terminal("environment", "delete", "--yes") as terminal:
        assert terminal.end() == 1
    assert "Delete environment" not in terminal.seen


def test_help_names_the_targets(shell: Shell) -> None:
    for words in (("environment", "create"), ("environment", "edit")):
        assert "process|docker|kubernetes" in shell.done(*words, "--help").out


def test_the_policy_of_an_environment_is_shown(staging: Shell, project: str) -> None:
    lines = [line.split(maxsplit=1) for line in staging.done("environment", "show").lines]
    assert lines[:3] == [["Setting", "Value"], ["Environment", "staging"], ["Project", project]]
    assert "Build barrier       no" in staging.done("environment", "show").out
    staging.done("environment", "edit", "--on-failure", "roll-back", "--deployment-timeout", "900", "--build-barrier")
    staging.done("environment", "edit", "--freeze", "0 18 * * FRI; 60h; Europe/Berlin; hold", "--on-request", "wait")
    assert staging.done("environment", "show").lines[3:] == [
        "Target              process",
        "Concurrency         8 services at once",
        "On failure          roll-back",
        "Build barrier       yes",
        "Deployment timeout  900 s",
        "On request          wait",
        "Freeze              0 18 * * FRI; 60h; Europe/Berlin; hold",
    ]
    assert staging.done("environment", "show", "--json").json["policy"]["onRequest"] == "WAIT"
