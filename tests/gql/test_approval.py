"""Stages that wait for approval: what a client sees of them, and how it approves and rejects."""

import hashlib
from datetime import datetime, timedelta

import pytest

from tests.gql.environment import APPLICATION, Environment, types
from tests.gql.stageline import Data

WAIT = """
query ($id: ID!, $environment: ID!) {
  deployment(id: $id) {
    waitsFor { reason message deadline stage { name } }
    stages { name status gate { reason message missingApprovals deadline } }
  }
  environment(id: $environment) { pipeline { stages { services { name waitsFor { reason message stage { name } } } } } }
}
"""


def seen(environment: Environment, deployment: Data) -> Data:
    return environment.stageline.execute(WAIT, id=deployment["id"], environment=environment.id)


def events(environment: Environment, deployment: Data) -> list[Data]:
    return environment.stageline.everything("deploymentEvents", deployment=deployment["id"])


def as_another(environment: Environment, deployment: Data) -> Data:
    """Approves the last stage as another actor."""
    token = f"secret {environment.number}"
    hashed = hashlib.sha256(token.encode()).hexdigest()
    deployer = [{"role": "DEPLOYER"}]
    environment.stageline.do("issueToken", name=f"bob {environment.number}", hash=hashed, actor="bob", roles=deployer)
    return environment.stageline.mutate_as(token, "approveStage", deployment=deployment["id"], stage=APPLICATION)


def test_a_stage_that_waits_for_approval_says_so_everywhere(environment: Environment) -> None:
    deployment = environment.ask(count=2, selfApproval=False, timeoutSeconds=3600)
    found = seen(environment, deployment)
    wait, stage = found["deployment"]["waitsFor"], found["deployment"]["stages"][-1]
    deadline = datetime.fromisoformat(wait["deadline"])
    message = f"stage {APPLICATION} needs 2 approvals by others than its requester until {deadline:%F %T} UTC"
    assert wait == {
        "reason": "APPROVAL",
        "message": message,
        "deadline": wait["deadline"],
        "stage": {"name": APPLICATION},
    }
    requested = events(environment, deployment)[-1]
    assert deadline - datetime.fromisoformat(requested["recordedAt"]) < timedelta(seconds=3600.5)
    gate = {"reason": "APPROVAL", "message": message, "missingApprovals": 2, "deadline": wait["deadline"]}
    assert stage == {"name": APPLICATION, "status": "QUEUED", "gate": gate}
    (api,) = found["environment"]["pipeline"]["stages"][-1]["services"]
    assert api["waitsFor"] == {"reason": "APPROVAL", "message": message, "stage": {"name": APPLICATION}}
    assert (requested["deploymentEventType"], requested["waitReason"]) == ("STAGE_APPROVAL_REQUESTED", "APPROVAL")


def test_approvals_by_different_actors_start_the_stage(environment: Environment) -> None:
    deployment = environment.ask(count=2)
    first = environment.stageline.do("approveStage", deployment=deployment["id"], stage=APPLICATION, reason="tried it")
    assert first["stages"][-1]["gate"]["missingApprovals"] == 1
    again = environment.stageline.payload("approveStage", deployment=deployment["id"], stage=APPLICATION)
    assert again["changed"] is False
    assert as_another(environment, deployment)["__typename"] == "Deployment"
    over = environment.end(deployment)
    assert (over["status"], over["stages"][-1]["gate"]) == ("SUCCEEDED", None)
    approvals = [each for each in events(environment, deployment) if each["deploymentEventType"] == "STAGE_APPROVED"]
    assert [(each["actor"]["id"] != "bob", each["reason"]) for each in approvals] == [(True, "tried it"), (False, None)]


def test_who_requested_a_deployment_is_no_other_actor(environment: Environment) -> None:
    deployment = environment.ask(selfApproval=False)
    refused = environment.stageline.refusal("approveStage", deployment=deployment["id"], stage=APPLICATION)
    assert refused == "SELF_APPROVAL"
    assert as_another(environment, deployment)["__typename"] == "Deployment"
    assert environment.end(deployment)["status"] == "SUCCEEDED"


def test_a_rollback_to_a_time_before_the_approval_waits_for_it(environment: Environment) -> None:
    environment.add("api")
    environment.do("moveService", service="api", stage=APPLICATION)
    before = environment.end(environment.do("deploy"))
    environment.do("editStage", stage=APPLICATION, policy={"approval": {"role": "ADMIN"}})
    rolled = environment.stageline.do("rollBackTo", deployment=before["id"])
    for event in environment.stageline.follow("deploymentEvents", deployment=rolled["id"]):
        if event["deploymentEventType"] in ("STAGE_APPROVAL_REQUESTED", "STAGE_STARTED"):
            break
    refused = as_another(environment, rolled)
    assert refused["message"] == (f"This needs the role admin to approve stage {APPLICATION!r}, and you are deployer.")
    environment.stageline.do("approveStage", deployment=rolled["id"], stage=APPLICATION)
    assert environment.end(rolled)["status"] == "SUCCEEDED"


def test_a_rejection_fails_the_deployment_with_its_comment(environment: Environment) -> None:
    deployment = environment.ask()
    rejected = environment.stageline.do(
        "rejectStage", deployment=deployment["id"], stage=APPLICATION, reason="not on a Friday"
    )
    assert (rejected["status"], rejected["stages"][-1]["status"]) == ("FAILED", "FAILED")
    assert rejected["failure"] == {
        "stage": rejected["failure"]["stage"],
        "service": None,
        "phase": None,
        "failureReason": "rejected: not on a Friday",
    }
    assert rejected["stages"][-1]["services"][0]["status"] == "CANCELLED"
    last = events(environment, deployment)[-4:]
    assert types(last) == ["STAGE_REJECTED", "SERVICE_CANCELLED", "STAGE_FAILED", "DEPLOYMENT_FAILED"]
    assert last[0]["message"] == f"{APPLICATION} rejected: not on a Friday"
    retry = environment.stageline.do("retryDeployment", deployment=deployment["id"])
    for event in environment.stageline.follow("deploymentEvents", deployment=retry["id"]):
        if event["deploymentEventType"] == "STAGE_APPROVAL_REQUESTED":
            break


@pytest.mark.parametrize(("decision", "status"), [("APPROVE", "SUCCEEDED"), ("REJECT", "FAILED")])
def test_time_decides_where_people_do_not(environment: Environment, decision: str, status: str) -> None:
    over = environment.end(environment.ask(timeoutSeconds=0.2, onTimeout=decision))
    assert over["status"] == status
    failure = None if status == "SUCCEEDED" else "not approved within 0.2 s"
    assert failure == (over["failure"] and over["failure"]["failureReason"])


def test_a_dry_run_of_an_approval_changes_nothing(environment: Environment) -> None:
    deployment = environment.ask()
    dry = environment.stageline.do("approveStage", deployment=deployment["id"], stage=APPLICATION, dryRun=True)
    assert dry["stages"][-1]["status"] == "RUNNING"
    assert environment.deployment(deployment) == deployment


def test_the_approval_of_a_stage_is_in_documents_and_is_restored(environment: Environment) -> None:
    approval = {"count": 2, "timeoutSeconds": 60.0, "onTimeout": "APPROVE", "selfApproval": False, "role": "EDITOR"}
    before = environment.version
    edited = environment.do("editStage", stage=APPLICATION, policy={"approval": approval})
    document = environment.stageline.query("exportPipeline", environment=environment.id)
    assert (
        "  approval:\n    count: 2\n    timeoutSeconds: 60.0\n    onTimeout: APPROVE\n    selfApproval: false\n"
        "    role: EDITOR\n" in document
    )
    assert edited["stages"][-1]["policy"]["approval"] == approval
    restored = environment.do("restorePipeline", version=before)
    assert restored["stages"][-1]["policy"]["approval"] is None
    assert environment.do("applyPipeline", document=document)["stages"][-1]["policy"]["approval"] == approval
    wrong = document.replace("count: 2", "count: 21")
    refused = environment.stageline.mutate("applyPipeline", environment=environment.id, document=wrong)
    assert refused["message"].endswith("invalid policy: approval.count: 21 is not between 1 and 20.")
    assert environment.do("undoPipelineChange")["stages"][-1]["policy"]["approval"] is None
