"""A deployment is sent once, and then its parts that change."""

import json
from itertools import islice

from tests.gql.environment import APPLICATION, JOB, Environment
from tests.gql.stageline import PATIENCE

FOLLOW = """
subscription ($deployment: ID!, $after: String) {
  deploymentChanges(deployment: $deployment, after: $after) {
    cursor version
    deployment { id status startedAt finishedAt }
    stages { id stageId name status }
    services { id stageId name status build { status attempts { attempt } } deploy { status attempts { attempt } } }
  }
}
"""


def test_a_step_among_a_thousand_services_sends_less_than_two_kilobytes(environment: Environment) -> None:
    gate = f'until [ -e "{environment.gate}" ]; do sleep 0.02; done'
    idle = [
        {"name": f"job {number}", "type": "JOB", "isSkipped": True, "spec": {"runCommand": "true"}}
        for number in range(999)
    ]
    runs = {"name": "gate", "type": "JOB", "spec": {"runCommand": gate}}
    environment.do("applyPipeline", document=json.dumps({"stages": [{"name": "Jobs", "services": [runs, *idle]}]}))
    deployment = environment.do("deploy")
    for event in environment.stageline.follow("deploymentEvents", deployment=deployment["id"]):
        if event["deploymentEventType"] == "SERVICE_DEPLOY_STARTED":
            break
    with environment.stageline.socket() as socket:
        socket.subscribe("1", FOLLOW, deployment=deployment["id"])
        first = str(socket.connection.recv(PATIENCE))
        environment.gate.touch()
        later = []
        while (frame := str(socket.connection.recv(PATIENCE))) != '{"id":"1","type":"complete"}':
            later.append(frame)
    assert len(json.loads(first)["payload"]["data"]["deploymentChanges"]["services"]) == 1000
    sent = [json.loads(each)["payload"]["data"]["deploymentChanges"] for each in later]
    assert {service["name"] for each in sent for service in each["services"]} == {"gate"}
    assert sent[-1]["deployment"]["status"] == "SUCCEEDED"
    assert max(len(each) for each in later) < 2_000 < 200_000 < len(first)


def test_a_deployment_is_followed_from_any_cursor_by_its_changes(environment: Environment) -> None:
    environment.add("api", "APPLICATION", runCommand="exec sleep 3600")
    running = environment.block()
    follow = environment.stageline.follow("deploymentChanges", deployment=running["id"])
    first = next(follow)
    assert first["deployment"] == running
    assert (first["stages"], first["version"]) == (running["stages"], running["version"])
    assert first["services"] == [service for stage in running["stages"] for service in stage["services"]]
    (again,) = islice(
        environment.stageline.follow("deploymentChanges", deployment=running["id"], after=first["cursor"]), 1
    )
    assert (again["deployment"], again["stages"], again["services"]) == (running, [], [])
    over = environment.let_end(running)
    *_, last = follow
    assert last["deployment"] == over
    (rest,) = environment.stageline.follow("deploymentChanges", deployment=running["id"], after=first["cursor"])
    assert rest["deployment"] == over
    assert [stage["name"] for stage in rest["stages"]] == [JOB, "CONTAINER DEFAULT", APPLICATION]
    assert [service["name"] for service in rest["services"]] == ["gate", "api"]
    (nothing,) = environment.stageline.follow("deploymentChanges", deployment=running["id"], after=over["cursor"])
    assert (nothing["deployment"], nothing["stages"], nothing["services"]) == (over, [], [])
