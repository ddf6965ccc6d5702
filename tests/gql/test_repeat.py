"""Deployments once more: retries and rollbacks."""

from tests.gql.environment import Environment
from tests.gql.stageline import Data


def _statuses(deployment: Data) -> dict[str, str]:
    return {each["name"]: each["status"] for stage in deployment["stages"] for each in stage["services"]}


def test_a_retry_deploys_what_failed_and_what_never_began(environment: Environment) -> None:
    mended = environment.stageline.folder / f"mended-{environment.number}"
    environment.add("second", runCommand=f'[ -e "{mended}" ]')
    environment.add("third", "APPLICATION", runCommand="sleep 60")
    environment.add("first", "DATABASE", runCommand="sleep 60")
    failed = environment.end(environment.do("deploy"))
    assert _statuses(failed) == {"first": "SUCCEEDED", "second": "FAILED", "third": "CANCELLED"}
    mended.touch()
    environment.do(
        "editService", service="first", spec={"runCommand": "exit 1"}
    )  # the specifications of then are retried

    before = environment.stageline.position
    rehearsed = environment.stageline.do("retryDeployment", deployment=failed["id"], dryRun=True)
    assert _statuses(rehearsed) == {"first": "SKIPPED", "second": "QUEUED", "third": "QUEUED"}
    assert environment.stageline.position == before

    retried = environment.stageline.do("retryDeployment", deployment=failed["id"], reason="mended")
    assert (retried["action"], retried["sourceNumber"], retried["number"]) == ("RETRY", 1, 2)
    assert retried["pipelineVersion"] == failed["pipelineVersion"] < environment.version
    over = environment.end(retried)
    assert over["status"] == "SUCCEEDED"
    assert _statuses(over) == {"first": "SKIPPED", "second": "SUCCEEDED", "third": "SUCCEEDED"}
    (planned,) = [
        event["message"]
        for event in environment.stageline.everything("deploymentEvents", deployment=over["id"])
        if event["deploymentEventType"] == "DEPLOYMENT_PLANNED"
    ]
    assert planned == f"deployment 2 requested, pipeline version {failed['pipelineVersion']}: retry of deployment 1"


def test_a_rollback_deploys_the_specifications_of_then_and_leaves_the_pipeline(environment: Environment) -> None:
    mark = environment.stageline.folder / f"mark-{environment.number}"
    environment.add("job", runCommand=f'echo one > "{mark}"')
    first = environment.end(environment.do("deploy"))
    environment.do("editService", service="job", spec={"runCommand": f'echo two > "{mark}"'})
    environment.end(environment.do("deploy"))
    assert mark.read_text() == "two\n"
    version = environment.version
    rolled = environment.end(environment.stageline.do("rollBackTo", deployment=first["id"]))
    assert (rolled["action"], rolled["sourceNumber"], rolled["status"]) == ("ROLLBACK", 1, "SUCCEEDED")
    assert (mark.read_text(), environment.version) == ("one\n", version)


def test_after_a_failure_the_server_rolls_back_what_was_renewed(environment: Environment) -> None:
    environment.add("api", "DATABASE", runCommand="sleep 60")
    environment.end(environment.do("deploy"))
    environment.do("editService", service="api", spec={"runCommand": "sleep 61"})
    environment.add("broken", runCommand="exit 3")
    environment.do("editEnvironment", policy={"onFailure": "ROLL_BACK"})
    failed = environment.end(environment.do("deploy"))
    assert _statuses(failed) == {"api": "SUCCEEDED", "broken": "FAILED"}
    document = "query ($id: ID!) { deployment(id: $id) { rollback { id number } } }"
    rollback = environment.stageline.execute(document, id=failed["id"])["deployment"]["rollback"]
    assert rollback["number"] == 3
    over = environment.end(rollback)
    assert (over["action"], over["sourceNumber"], over["undoneNumber"]) == ("ROLLBACK", None, 2)
    assert (over["status"], over["requestedBy"]["id"]) == ("SUCCEEDED", "engine")
    assert [
        (each["name"], each["status"], each["sourceNumber"]) for stage in over["stages"] for each in stage["services"]
    ] == [("api", "SUCCEEDED", 1)]
    messages = [
        event["message"] for event in environment.stageline.everything("deploymentEvents", deployment=over["id"])
    ]
    version = over["pipelineVersion"]
    assert (
        messages[0] == f"deployment 3 requested, pipeline version {version}: rollback after the failure of deployment 2"
    )


def test_a_rollback_leaves_a_service_as_it_is_whose_secret_was_deleted(environment: Environment) -> None:
    """A refusal would fail the report of the step that failed, and nothing would be brought back."""
    environment.do("setEnvironmentSecret", name="KEY", value="correct horse battery staple")
    environment.add("api", "DATABASE", runCommand="sleep 60", env=[{"name": "A", "value": "${{ secrets.KEY }}"}])
    environment.add("web", "DATABASE", runCommand="sleep 60")
    environment.end(environment.do("deploy"))
    environment.do("editService", service="api", spec={"runCommand": "sleep 61", "env": []})
    environment.do("editService", service="web", spec={"runCommand": "sleep 61"})
    environment.do("deleteEnvironmentSecrets", names=["KEY"])
    environment.add("broken", runCommand="exit 3")
    environment.do("editEnvironment", policy={"onFailure": "ROLL_BACK"})
    failed = environment.end(environment.do("deploy"))
    assert _statuses(failed) == {"api": "SUCCEEDED", "web": "SUCCEEDED", "broken": "FAILED"}

    document = "query ($id: ID!) { deployment(id: $id) { rollback { id } } }"
    over = environment.end(environment.stageline.execute(document, id=failed["id"])["deployment"]["rollback"])
    assert (over["status"], _statuses(over)) == ("FAILED", {"api": "FAILED", "web": "SUCCEEDED"})
    document = "query ($id: ID!) { deployment(id: $id) { failure { failureReason } } }"
    reason = environment.stageline.execute(document, id=over["id"])["deployment"]["failure"]["failureReason"]
    assert "no such secret when the deployment started: set it" in reason
    instances = """query ($id: ID!) { pipeline(environment: $id) { stages { services {
      name instance { status deployment { number } } } } } }"""
    stages = environment.stageline.execute(instances, id=environment.id)["pipeline"]["stages"]
    runs = {each["name"]: each["instance"] for stage in stages for each in stage["services"]}
    assert {name: runs[name]["deployment"]["number"] for name in ("api", "web")} == {"api": 2, "web": 3}


def test_a_deployment_that_runs_is_not_retried(environment: Environment) -> None:
    running = environment.block()
    for mutation in ("retryDeployment", "rollBackTo"):
        assert environment.stageline.refusal(mutation, deployment=running["id"]) == "ENVIRONMENT_BUSY"
    over = environment.let_end(running)
    refused = environment.stageline.refusal("rollBackTo", deployment=over["id"], expectedVersion=over["version"] - 1)
    assert refused == "VERSION_MISMATCH"


def test_a_failure_that_is_allowed_lets_a_deployment_succeed(environment: Environment) -> None:
    environment.do("addService", name="checks", type="JOB", spec={"runCommand": "exit 1", "allowFailure": True})
    environment.add("web", "JOB")
    over = environment.end(environment.do("deploy"))
    assert (over["status"], _statuses(over)) == ("SUCCEEDED", {"checks": "FAILED", "web": "SUCCEEDED"})
