"""Freezes of an environment: refused and held requests, and those that ignore the freeze."""

import pytest

from tests.gql.environment import Environment

ALWAYS = {"cron": "* * * * *", "durationSeconds": 7200}


@pytest.fixture
def frozen(environment: Environment) -> Environment:
    environment.add("api")
    environment.do("editEnvironment", policy={"freezes": [ALWAYS]})
    return environment


def test_a_request_during_a_freeze_is_refused(frozen: Environment) -> None:
    before = frozen.stageline.position
    assert frozen.refusal("deploy") == "ENVIRONMENT_FROZEN"
    assert frozen.refusal("redeploy") == "ENVIRONMENT_FROZEN"
    assert frozen.stageline.position == before


def test_a_request_ignores_the_freeze_for_a_reason(frozen: Environment) -> None:
    assert frozen.refusal("deploy", ignoreFreeze=True) == "INVALID_ARGUMENT"
    over = frozen.end(frozen.do("deploy", ignoreFreeze=True, reason="a leak"))
    assert over["status"] == "SUCCEEDED"
    assert frozen.stageline.refusal("retryDeployment", deployment=over["id"]) == "NOTHING_TO_RETRY"
    assert frozen.stageline.refusal("rollBackTo", deployment=over["id"]) == "ENVIRONMENT_FROZEN"


def test_a_held_request_says_until_when_it_waits(frozen: Environment) -> None:
    frozen.do("editEnvironment", policy={"freezes": [ALWAYS | {"action": "HOLD"}]})
    held = frozen.do("deploy")
    document = "query ($id: ID!) { deployment(id: $id) { status waitsFor { reason message } } }"
    found = frozen.stageline.execute(document, id=held["id"])["deployment"]
    assert (found["status"], found["waitsFor"]["reason"]) == ("QUEUED", "FREEZE")
    assert found["waitsFor"]["message"].startswith("the environment is frozen until 20")
    assert frozen.do("deploy")["id"] == held["id"], "it merges"
    assert frozen.end(frozen.do("deploy", ignoreFreeze=True, reason="now"))["status"] == "SUCCEEDED"
    cancelled = frozen.stageline.do("cancelDeployment", deployment=held["id"])
    assert cancelled["status"] == "CANCELLED"
