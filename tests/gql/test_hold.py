"""Deployments that are held and released."""

from tests.gql.environment import APPLICATION, Environment, types

WAIT = """
query ($id: ID!, $environment: ID!) {
  deployment(id: $id) { isHeld waitsFor { reason message } }
  environment(id: $environment) { pipeline { stages { services { name waitsFor { reason message stage { name } } } } } }
}
"""


def test_a_held_deployment_says_so_and_goes_on_when_it_is_released(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api")
    environment.do("moveService", service="api", stage=APPLICATION)
    deployment = environment.block()
    held = stageline.do("holdDeployment", deployment=deployment["id"], reason="the database is slow")
    assert (held["isHeld"], held["status"]) == (True, "RUNNING")
    assert stageline.payload("holdDeployment", deployment=deployment["id"])["changed"] is False
    environment.gate.touch()
    for event in stageline.follow("deploymentEvents", deployment=deployment["id"]):
        if event["deploymentEventType"] == "STAGE_SUCCEEDED":
            break
    seen = stageline.execute(WAIT, id=deployment["id"], environment=environment.id)
    message = "it is held, until somebody releases it"
    assert seen["deployment"] == {"isHeld": True, "waitsFor": {"reason": "HOLD", "message": message}}
    (api,) = seen["environment"]["pipeline"]["stages"][-1]["services"]
    assert api["waitsFor"] == {"reason": "HOLD", "message": message, "stage": {"name": APPLICATION}}
    assert stageline.do("releaseDeployment", deployment=deployment["id"])["isHeld"] is False
    assert environment.end(deployment)["status"] == "SUCCEEDED"
    events = stageline.everything("deploymentEvents", deployment=deployment["id"])
    assert [each["reason"] for each in events if each["deploymentEventType"] == "DEPLOYMENT_HELD"] == [
        "the database is slow"
    ]
    at = types(events).index("DEPLOYMENT_RELEASED")
    assert "STAGE_STARTED" in types(events)[at + 1 :]
