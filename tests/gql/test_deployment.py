"""Deployments: requested, waiting for their turn, cancelled, and read."""

import pytest

from tests.gql.environment import DATABASE, JOB, STAGES, Environment, deployment_snapshot, names, types
from tests.gql.stageline import Data


def test_a_deployment_is_planned_at_once_and_carried_out(environment: Environment) -> None:
    environment.add("migrate", buildCommands=["true"])
    environment.add("later")
    environment.do("skipService", service="later")
    planned = environment.do("deploy", reason="because")
    assert planned.pop("__typename") == "Deployment"
    assert (planned["number"], planned["action"], planned["status"]) == (1, "DEPLOY", "QUEUED")
    assert (planned["requestedBy"]["id"], planned["reason"], planned["pipelineVersion"]) == (
        "admin",
        "because",
        environment.version,
    )
    assert planned["environment"] == environment.pipeline["environment"]
    assert planned["startedAt"] is planned["finishedAt"] is planned["cancellation"] is planned["failure"] is None
    assert names(planned["stages"]) == STAGES

    over = environment.end(planned)
    assert over["status"] == "SUCCEEDED"
    assert over["requestedAt"] == planned["requestedAt"] <= over["startedAt"] <= over["finishedAt"]
    statuses = {stage["name"]: stage["status"] for stage in over["stages"]}
    assert statuses == dict.fromkeys(STAGES, "SKIPPED") | {JOB: "SUCCEEDED"}
    migrate, later = over["stages"][1]["services"]
    assert (migrate["status"], migrate["build"]["status"], migrate["deploy"]["status"]) == ("SUCCEEDED",) * 3
    assert (later["status"], later["build"]["status"], later["deploy"]["startedAt"]) == ("SKIPPED", "SKIPPED", None)


def test_a_failed_deployment_says_which_step_failed_and_why(environment: Environment) -> None:
    environment.add("db", "DATABASE", buildCommands=["exit 3"])
    environment.add("api")
    over = environment.end(environment.do("deploy"))
    assert over["status"] == "FAILED"
    failure = over["failure"]
    assert (failure["stage"]["name"], failure["service"]["name"], failure["phase"]) == (DATABASE, "db", "BUILD")
    assert "3" in failure["failureReason"]
    assert over["stages"][0]["services"][0]["build"]["failureReason"] == failure["failureReason"]
    assert [stage["status"] for stage in over["stages"]] == ["FAILED", "CANCELLED", "CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(
    ("selected", "given"),
    [
        ("number status", {}),
        ("failure { failureReason phase }", {}),
        ("... on Deployment { ...Steps }", {}),
        ("number stages @include(if: $yes) { name status }", {"yes": True}),
        ("number stages @include(if: $yes) { name status }", {"yes": False}),
        ("n: number s: stages { services { build { failureReason } } }", {}),
        ("...Steps ...Steps pipeline { stages { name } }", {}),
    ],
)
def test_a_listed_deployment_says_what_it_says_alone(environment: Environment, selected: str, given: Data) -> None:
    environment.add("db", "DATABASE", buildCommands=["exit 3"])
    over = environment.end(environment.do("deploy"))
    given = {"of": environment.id, "id": over["id"], "yes": False} | given
    document = f"""query ($of: ID!, $id: ID!, $yes: Boolean!) {{
      deployments(environment: $of) {{ edges {{ node {{ __typename @include(if: $yes) {selected} }} }} }}
      deployment(id: $id) {{ __typename @include(if: $yes) {selected} }}
    }}"""
    document += "fragment Steps on Deployment { failure { stage { name } } ...More }" * ("...Steps" in selected)
    document += "fragment More on Deployment { stages { id position startedAt } }" * ("...Steps" in selected)
    found = environment.stageline.execute(document, **given)
    (listed,) = (edge["node"] for edge in found["deployments"]["edges"])
    assert listed == found["deployment"]
    assert listed.get("stages") != []
    assert listed.get("failure", over) is not None


def test_the_plan_stays_as_it_was_when_the_pipeline_changes(environment: Environment) -> None:
    running = environment.block()
    environment.do("editStage", stage=JOB, name="Jobs")
    environment.do("removeService", service="gate")
    over = environment.let_end(running)
    assert names(over["stages"]) == STAGES
    assert over["pipelineVersion"] == environment.version - 3  # a renamed stage loses its description, too
    assert over["status"] == "SUCCEEDED"


def test_a_second_request_waits_and_the_same_once_more_is_the_same(environment: Environment) -> None:
    running = environment.block()
    waiting = environment.do("deploy")
    assert (waiting["number"], waiting["status"]) == (2, "QUEUED")
    assert environment.do("deploy") == waiting
    dry = environment.do("deploy", dryRun=True)
    assert dry == deployment_snapshot(waiting) | {"__typename": "DeploymentSnapshot"}
    environment.do("createStage", name="Checks")
    third = environment.do("deploy")
    assert (third["number"], len(third["stages"])) == (3, 5)
    assert [each["id"] for each in environment.deployments()] == [third["id"], waiting["id"], running["id"]]
    assert environment.let_end(running)["status"] == "SUCCEEDED"
    assert environment.end(waiting)["status"] == "SUCCEEDED"
    last = environment.end(third)
    assert last["status"] == "SUCCEEDED"
    assert last["startedAt"] >= environment.deployment(waiting)["finishedAt"]


def test_a_waiting_deployment_is_cancelled_at_once(environment: Environment) -> None:
    stageline, running = environment.stageline, environment.block()
    waiting = environment.do("deploy")
    cancelled = stageline.do("cancelDeployment", deployment=waiting["id"])
    assert cancelled.pop("__typename") == "Deployment"
    assert (cancelled["status"], cancelled["cancellation"]) == ("CANCELLED", "SAFE")
    assert cancelled["startedAt"] is None
    assert cancelled == environment.deployment(waiting)
    assert environment.do("deploy")["number"] == 3
    assert environment.deployment(running) == running


def test_a_cancelled_deployment_lets_end_what_runs(environment: Environment) -> None:
    environment.add("web", "APPLICATION")
    running = environment.block()
    cancelled = environment.stageline.do("cancelDeployment", deployment=running["id"], reason="enough")
    assert (cancelled["status"], cancelled["cancellation"]) == ("RUNNING", "SAFE")
    over = environment.let_end(running)
    assert over["status"] == "CANCELLED"
    assert [stage["status"] for stage in over["stages"]] == ["SKIPPED", "SUCCEEDED", "SKIPPED", "CANCELLED"]


def test_a_forced_cancellation_stops_what_runs(environment: Environment) -> None:
    running = environment.block()
    stageline = environment.stageline
    stageline.do("cancelDeployment", deployment=running["id"])
    forced = stageline.do("cancelDeployment", deployment=running["id"], force=True)
    assert (forced["status"], forced["cancellation"]) == ("RUNNING", "FORCED")
    over = environment.end(running)
    assert (over["status"], over["cancellation"]) == ("CANCELLED", "FORCED")
    assert over["stages"][1]["services"][0]["status"] == "CANCELLED"
    asked = [event for event in _events(environment, over) if event["deploymentEventType"] == "CANCELLATION_REQUESTED"]
    assert [event["cancellation"] for event in asked] == ["SAFE", "FORCED"]


def test_a_busy_environment_is_deleted_when_it_is_no_longer(environment: Environment) -> None:
    running = environment.block()
    assert environment.refusal("deleteEnvironment") == "ENVIRONMENT_BUSY"
    environment.let_end(running)
    environment.do("deleteEnvironment")
    assert environment.deployment(running)["status"] == "SUCCEEDED"
    assert environment.refusal("deploy") == "ENVIRONMENT_NOT_FOUND"


def test_a_dry_run_of_a_cancellation_has_a_cursor_behind_which_nothing_is_missed(environment: Environment) -> None:
    running = environment.block()
    imagined = environment.stageline.do("cancelDeployment", deployment=running["id"], dryRun=True)
    environment.stageline.do("cancelDeployment", deployment=running["id"])
    environment.let_end(running)
    follow = environment.stageline.follow("deploymentEvents", deployment=running["id"], after=imagined["cursor"])
    assert types(list(follow))[0] == "CANCELLATION_REQUESTED"


def test_the_id_of_something_else_is_no_deployment(environment: Environment) -> None:
    uuid = environment.id.partition("_")[2]
    for nothing in (f"deployment_{'0' * 32}", f"deployment_{uuid}", environment.id, "1"):
        assert environment.stageline.query("deployment", id=nothing) is None


def _events(environment: Environment, deployment: Data) -> list[Data]:
    return environment.stageline.everything("deploymentEvents", deployment=deployment["id"])


def test_a_repeated_request_answers_a_snapshot_once_the_deployment_went_on(environment: Environment) -> None:
    environment.add("api")
    key = f"once {environment.id}"
    queued = environment.do("deploy", idempotencyKey=key)
    over = environment.end(queued)
    again = environment.do("deploy", idempotencyKey=key)
    assert again == deployment_snapshot(queued) | {"__typename": "DeploymentSnapshot"}
    assert (again["status"], over["status"]) == ("QUEUED", "SUCCEEDED")


def test_a_dry_run_of_a_cancellation_is_not_the_live_deployment(environment: Environment) -> None:
    running = environment.block()
    dry = environment.stageline.do("cancelDeployment", deployment=running["id"], force=True, dryRun=True)
    assert (dry["__typename"], dry["deploymentId"], dry["cancellation"]) == (
        "DeploymentSnapshot",
        running["id"],
        "FORCED",
    )
    assert environment.deployment(running) == running
