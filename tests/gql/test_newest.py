"""Things followed as they are: the first value at once, changes that come quickly as one, the last value always."""

import time

import pytest

from gql.contract.newest import UPDATES
from tests.gql.environment import Environment

LISTED = """
subscription ($environment: ID!) {
  deployments(environment: $environment, first: 2) { edges { node { number status } } }
}
"""


def test_a_pipeline_is_followed_as_it_stands_until_the_environment_is_deleted(environment: Environment) -> None:
    began = time.monotonic()
    following = environment.stageline.follow("pipeline", environment=environment.id)
    assert next(following) == environment.pipeline
    changes = 3 * UPDATES
    for number in range(changes):
        environment.do("editStage", stage="JOB DEFAULT", description=f"version {number}")
    environment.do("deleteEnvironment")
    given = list(following)
    assert given[-1] == environment.pipeline
    assert given[-1]["environment"]["isDeleted"]
    versions = [pipeline["version"] for pipeline in given]
    assert versions == sorted(set(versions))
    assert len(versions) <= (time.monotonic() - began) * UPDATES + 2  # however long it takes


def test_a_deployment_is_followed_as_it_stands_until_it_is_over(environment: Environment) -> None:
    running = environment.block()
    following = environment.stageline.follow("deployment", id=running["id"])
    assert next(following) == running
    over = environment.let_end(running)
    *_, last = following
    assert last == over
    assert list(environment.stageline.follow("deployment", id=running["id"])) == [over]


def test_an_environments_newest_deployments_are_followed(environment: Environment) -> None:
    with environment.stageline.socket() as socket:
        socket.subscribe("1", LISTED, environment=environment.id)

        def listed() -> dict[int, str]:
            message = socket.receive()
            assert message["type"] == "next", message
            edges = message["payload"]["data"]["deployments"]["edges"]
            return {edge["node"]["number"]: edge["node"]["status"] for edge in edges}

        assert listed() == {}
        environment.add("api")
        for number in range(1, 4):
            environment.end(environment.do("deploy"))
            while (now := listed()).get(number) != "SUCCEEDED":
                pass
            assert len(now) == min(number, 2)
        environment.do("deleteEnvironment")
        while (message := socket.receive())["type"] == "next":
            pass
        assert message == {"type": "complete", "id": "1"}


@pytest.mark.parametrize(
    ("field", "argument", "code"),
    [
        ("pipeline", "environment", "ENVIRONMENT_NOT_FOUND"),
        ("deployment", "id", "DEPLOYMENT_NOT_FOUND"),
        ("deploymentChanges", "deployment", "DEPLOYMENT_NOT_FOUND"),
        ("environmentEvents", "environment", "ENVIRONMENT_NOT_FOUND"),
    ],
)
def test_following_what_is_not_there_is_refused(environment: Environment, field: str, argument: str, code: str) -> None:
    about = {"deployment": "{ number }", "environmentEvents": "{ logPosition }"}.get(field, "{ version }")
    with environment.stageline.socket() as socket:
        socket.subscribe("1", f"subscription ($id: ID!) {{ {field}({argument}: $id) {about} }}", id="nothing")
        message = socket.receive()
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert [error["extensions"]["code"] for error in errors] == [code]
