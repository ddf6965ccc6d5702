from tests.cli.shell import Answer, Shell

PLAIN: dict[str, object] = dict.fromkeys(("concurrency", "onFailure", "approval", "waitSeconds", "check"))
PLAIN["always"] = False
"""The policy of a new stage."""


def stage(shell: Shell, *words: str) -> Answer:
    return shell("environment", "stage", *words)


def names(shell: Shell) -> list[str]:
    return [each["name"] for each in stage(shell, "list", "--json").json["stages"]]


def add(shell: Shell, name: str) -> None:
    shell.done("service", "add", "-n", name, "-t", "application", "--run", "true")


def test_a_stage_is_made_at_the_end_or_where_it_is_wanted(staging: Shell) -> None:
    assert stage(staging, "create", "-n", "last", "-d", "smoke tests").code == 0
    assert stage(staging, "create", "-n", "first", "--position", "1").code == 0
    assert stage(staging, "create", "-n", "second", "--after", "first").code == 0
    assert stage(staging, "create", "-n", "last but one", "--before", "LAST").code == 0

    order = names(staging)
    assert order[:2] + order[-2:] == ["first", "second", "last but one", "last"]
    assert '# deployment stage 8: "last"\nsmoke tests\n<no service>\n' in stage(staging, "list").out


def test_a_stage_is_edited_in_what_is_said(staging: Shell) -> None:
    stage(staging, "edit", "-n", "job default", "--new-description", "migrations", "--concurrency", "2")
    edited = stage(staging, "list", "--json").json["stages"][1]
    assert (
        edited["name"],
        edited["description"],
        edited["policy"],
    ) == (
        "JOB DEFAULT",
        "migrations",
        PLAIN | {"concurrency": 2},
    )

    answer = stage(
        staging, "edit", "-n", edited["id"], "--new-name", "jobs", "--new-description", "", "--concurrency", "0"
    )
    assert answer.out == "Stage updated successfully\n"
    edited = stage(staging, "list", "--json").json["stages"][1]
    assert (edited["name"], edited["description"], edited["policy"]) == (
        "jobs",
        "",
        PLAIN,
    )


def test_the_policy_of_a_stage_is_edited_option_by_option(staging: Shell) -> None:
    def policy() -> object:
        return stage(staging, "list", "--json").json["stages"][1]["policy"]

    stage(staging, "edit", "-n", "job default", "--on-failure", "continue")
    stage(staging, "edit", "-n", "job default", "--always")
    assert policy() == {
        "concurrency": None,
        "onFailure": "CONTINUE",
        "always": True,
        "approval": None,
        "waitSeconds": None,
        "check": None,
    }
    stage(staging, "edit", "-n", "job default", "--on-failure", "environment", "--not-always")
    assert policy() == {
        "concurrency": None,
        "onFailure": None,
        "always": False,
        "approval": None,
        "waitSeconds": None,
        "check": None,
    }
    refused = stage(staging, "edit", "-n", "job default", "--on-failure", "perhaps")
    assert refused.code == 2
    assert refused.err.startswith("Error: Invalid value for '--on-failure': 'perhaps' is not one of 'stop', ")


def test_the_approval_of_a_stage_is_edited_option_by_option(staging: Shell) -> None:
    def approval() -> object:
        return stage(staging, "list", "--json").json["stages"][1]["policy"]["approval"]

    refused = stage(staging, "edit", "-n", "job default", "--approval-timeout", "60")
    assert (refused.code, refused.err) == (2, "Error: The stage needs no approval: give --approvals, too.\n")
    stage(staging, "edit", "-n", "job default", "--approvals", "2")
    assert approval() == {
        "count": 2,
        "timeoutSeconds": None,
        "onTimeout": "REJECT",
        "selfApproval": True,
        "role": "DEPLOYER",
    }
    stage(staging, "edit", "-n", "job default", "--approval-timeout", "60", "--on-approval-timeout", "approve")
    stage(staging, "edit", "-n", "job default", "--no-self-approval", "--always")
    assert approval() == {
        "count": 2,
        "timeoutSeconds": 60.0,
        "onTimeout": "APPROVE",
        "selfApproval": False,
        "role": "DEPLOYER",
    }
    assert "Policy: always runs; needs 2 approvals by others than the requester within 60 s, else approve" in (
        stage(staging, "list").lines
    )
    stage(staging, "edit", "-n", "job default", "--approval-timeout", "0")
    assert approval() == {
        "count": 2,
        "timeoutSeconds": None,
        "onTimeout": "REJECT",
        "selfApproval": False,
        "role": "DEPLOYER",
    }
    stage(staging, "edit", "-n", "job default", "--approvals", "0")
    assert approval() is None


def test_the_time_and_the_check_of_a_stage_are_edited_option_by_option(staging: Shell) -> None:
    def policy() -> dict[str, object]:
        found: dict[str, object] = stage(staging, "list", "--json").json["stages"][1]["policy"]
        return found

    refused = stage(staging, "edit", "-n", "job default", "--check-timeout", "60")
    assert (refused.code, refused.err) == (2, "Error: The stage has no check: give --check-url, too.\n")
    stage(staging, "edit", "-n", "job default", "--wait", "30", "--check-url", "https://example.org/up")
    stage(staging, "edit", "-n", "job default", "--check-timeout", "60")
    check = {"url": "https://example.org/up", "intervalSeconds": 10.0, "timeoutSeconds": 60.0}
    assert (policy()["waitSeconds"], policy()["check"]) == (30.0, check)
    assert "Policy: waits 30 s; checks https://example.org/up for 60 s" in stage(staging, "list").lines
    stage(staging, "edit", "-n", "job default", "--wait", "0", "--check-url", "")
    assert (policy()["waitSeconds"], policy()["check"]) == (None, None)


def test_a_list_and_a_dry_run_show_policies(staging: Shell) -> None:
    policy = "--on-failure", "continue", "--always", "--concurrency", "2"
    line = "Policy: on failure continue; always runs; 2 services at once"
    assert line in stage(staging, "edit", "-n", "job default", *policy, "--dry-run").lines
    assert "Policy" not in stage(staging, "list").out
    stage(staging, "edit", "-n", "job default", *policy)
    assert stage(staging, "list").lines.count(line) == 1
    edited = staging("environment", "edit", "--on-failure", "continue", "--build-barrier", "--dry-run")
    assert edited.lines[-1].endswith("; policy: on failure continue; builds end before deploys")


def test_a_change_that_is_not_needed_says_that_nothing_changed(staging: Shell) -> None:
    assert stage(staging, "edit", "-n", "JOB DEFAULT", "--new-name", "jobs", "--json").json["changed"] is True
    again = stage(staging, "edit", "-n", "jobs", "--new-name", "jobs")
    assert (again.code, again.out) == (0, "Nothing changed: it is already so\n")
    assert stage(staging, "edit", "-n", "jobs", "--new-name", "jobs", "--json").json["changed"] is False
    dry = stage(staging, "edit", "-n", "jobs", "--new-name", "jobs", "--dry-run")
    assert (dry.code, dry.err) == (0, "Dry run: nothing to change.\n")
    assert "changed" not in stage(staging, "list", "--json").json


def test_a_service_is_moved_to_a_place_and_a_type_gets_its_default_stage(staging: Shell) -> None:
    for name in ("one", "two"):
        add(staging, name)
    moved = stage(staging, "move", "-n", "two", "-s", "APPLICATION DEFAULT", "--before", "one")
    assert (moved.code, moved.out) == (0, 'Application moved into stage "APPLICATION DEFAULT"\n')
    assert [line for line in stage(staging, "list").lines if "|" in line and "Type" not in line] == [
        "APPLICATION | two",
        "APPLICATION | one",
    ]
    several = stage(staging, "move", "-n", "two", "-s", "APPLICATION DEFAULT", "--before", "one", "--position", "2")
    assert several.code == 2
    set_ = stage(staging, "default", "-t", "application")
    assert (set_.code, set_.out) == (0, "New services of type APPLICATION go to the last stage\n")
    set_ = stage(staging, "default", "-t", "application", "-n", "application default")
    assert (set_.code, set_.out) == (0, 'New services of type APPLICATION go to stage "APPLICATION DEFAULT"\n')
    refused = stage(staging, "default", "-t", "job", "-n", "APPLICATION DEFAULT", "--json")
    assert (refused.code, refused.error["code"]) == (1, "DEFAULT_TAKEN")


def test_an_edit_of_a_name_leaves_the_policy_as_it_is(staging: Shell) -> None:
    stage(staging, "edit", "-n", "JOB DEFAULT", "--concurrency", "2")
    stage(staging, "edit", "-n", "JOB DEFAULT", "--new-name", "jobs")
    assert stage(staging, "list", "--json").json["stages"][1]["policy"]["concurrency"] == 2


def test_an_edit_that_says_nothing_is_a_misuse(staging: Shell) -> None:
    answer = stage(staging, "edit", "-n", "JOB DEFAULT")
    assert (answer.code, answer.out) == (2, "")
    assert "--new-name, --new-description, --concurrency" in answer.err


def test_a_stage_that_holds_services_is_deleted_when_it_is_said_where_they_go(staging: Shell) -> None:
    add(staging, "Backend")
    refused = stage(staging, "delete", "-n", "APPLICATION DEFAULT")
    assert (refused.code, refused.out) == (1, "")
    assert "Error: Stage 'APPLICATION DEFAULT' still has services (Backend)" in refused.err

    answer = stage(staging, "delete", "-n", "APPLICATION DEFAULT", "--move-services-to", "JOB DEFAULT")
    assert (answer.code, answer.out) == (0, "Stage deleted successfully\n")
    assert names(staging) == ["DATABASE DEFAULT", "JOB DEFAULT", "CONTAINER DEFAULT"]
    assert "APPLICATION | Backend" in stage(staging, "list").lines


def test_a_stage_is_given_another_place(staging: Shell) -> None:
    answer = stage(staging, "reorder", "-n", "job default", "--position", "1")
    assert (answer.code, answer.out) == (0, 'Stage "JOB DEFAULT" moved to position 1\n')
    stage(staging, "reorder", "-n", "APPLICATION DEFAULT", "--before", "DATABASE DEFAULT")
    stage(staging, "reorder", "-n", "JOB DEFAULT", "--after", "CONTAINER DEFAULT")
    assert names(staging) == ["APPLICATION DEFAULT", "DATABASE DEFAULT", "CONTAINER DEFAULT", "JOB DEFAULT"]


def test_a_stage_has_one_place(staging: Shell) -> None:
    assert stage(staging, "reorder", "-n", "JOB DEFAULT").code == 2
    assert stage(staging, "reorder", "-n", "JOB DEFAULT", "--position", "1", "--after", "DATABASE DEFAULT").code == 2
    refused = stage(staging, "reorder", "-n", "JOB DEFAULT", "--position", "9")
    assert (refused.code, refused.err) == (1, "Error: Invalid position 9: it must be between 1 and 4.\n")


def test_a_skipped_service_is_marked(staging: Shell) -> None:
    add(staging, "Frontend")
    answer = stage(staging, "skip", "-n", "frontend")
    assert (answer.code, answer.out) == (0, 'Service "Frontend" will be skipped\n')
    assert "APPLICATION | Frontend (skipped)" in stage(staging, "list").lines

    answer = stage(staging, "unskip", "-n", "frontend")
    assert (answer.code, answer.out) == (0, 'Service "Frontend" will be deployed\n')
    assert "APPLICATION | Frontend" in stage(staging, "list").lines


def test_a_service_that_is_not_there_is_refused_in_the_servers_words(staging: Shell) -> None:
    answer = stage(staging, "move", "-n", "Nothing", "-s", "JOB DEFAULT")
    refusal = "Error: The environment has no service 'Nothing'.\nSee: stageline service list\n"
    assert (answer.code, answer.out, answer.err) == (1, "", refusal)


def test_a_dry_run_shows_what_would_be_and_changes_nothing(staging: Shell) -> None:
    answer = stage(staging, "create", "-n", "fifth stage", "--dry-run")
    assert (answer.code, answer.err) == (0, "Dry run: nothing was changed. The result would be:\n")
    assert '# deployment stage 5: "fifth stage"' in answer.lines
    assert len(names(staging)) == 4


def test_a_change_can_expect_a_version(staging: Shell) -> None:
    version = stage(staging, "list", "--json").json["version"]
    moved = stage(staging, "create", "-n", "a", "--expected-version", str(version), "--json")
    assert (0, version + 1) == (moved.code, moved.json["version"])

    refused = stage(staging, "create", "-n", "b", "--expected-version", str(version), "--json")
    assert (refused.code, refused.out) == (1, "")
    assert ("VERSION_MISMATCH", version + 1, 1) == (
        refused.error["code"],
        refused.error["currentVersion"],
        refused.error["exitCode"],
    )
    assert f"Version {version} was expected" in refused.error["message"]


def test_a_change_that_is_sent_twice_with_one_key_is_made_once(staging: Shell) -> None:
    key = f"{staging.home}"
    first = stage(staging, "create", "-n", "once", "--idempotency-key", key, "--json")
    again = stage(staging, "create", "-n", "once", "--idempotency-key", key, "--json")
    assert (first.code, again.code) == (0, 0)
    assert names(staging).count("once") == 1


def test_the_reason_and_the_origin_are_kept_with_the_change(staging: Shell) -> None:
    stage(staging, "create", "-n", "audited", "--reason", "ticket 7")
    (event,) = staging("history", "--limit", "1", "--json").objects
    assert (event["pipelineEventType"], event["origin"], event["reason"]) == ("STAGE_CREATED", "CLI", "ticket 7")


def test_the_listing_can_be_of_an_earlier_version(staging: Shell) -> None:
    before = stage(staging, "list", "--json").json
    stage(staging, "edit", "-n", "JOB DEFAULT", "--new-name", "jobs")
    assert "JOB DEFAULT" in stage(staging, "list", "--at-version", str(before["version"])).out
    assert "JOB DEFAULT" not in stage(staging, "list", "--as-of", "2999-01-01").out
    assert stage(staging, "list", "--as-of", "yesterday").code == 2
    assert stage(staging, "list", "--as-of", "2999-01-01", "--at-version", "1").code == 2


def test_the_listing_in_json_has_a_stable_shape(staging: Shell) -> None:
    add(staging, "Backend")
    shown = stage(staging, "list", "--json").json
    assert {"environment", "version", "cursor", "stages"} == set(shown)
    assert {"id", "name", "project", "target", "concurrency", "policy", "variables"} == set(shown["environment"])
    last = shown["stages"][3]
    assert {"id", "position", "name", "description", "defaultForType", "policy", "services"} == set(last)
    assert (last["position"], last["defaultForType"]) == (4, "APPLICATION")
    (service,) = last["services"]
    assert {"id", "name", "type", "isSkipped", "spec"} == set(service)
    assert (
        service["name"],
        service["type"],
        service["isSkipped"],
        service["spec"]["runCommand"],
    ) == ("Backend", "APPLICATION", False, "true")
