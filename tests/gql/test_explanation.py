"""`Deployment.explanation`: alone and in lists, compared with the deployments before."""

from statistics import median

import pytest

from projections.explanation import COMPARED
from tests.gql.environment import Environment

FIELDS = """
number durationSeconds explanation {
  waitSeconds usualSeconds compared
  stages { stage { name } seconds usualSeconds }
  steps { service { name } phase seconds usualSeconds isSlow attempts { attempt status backoffSeconds isCritical } }
  criticalPath { service { name } phase attempt waitSeconds seconds }
}
"""
LIST = f"query ($id: ID!) {{ environment(id: $id) {{ deployments {{ nodes {{ id {FIELDS} }} }} }} }}"
ONE = f"query ($id: ID!) {{ deployment(id: $id) {{ id {FIELDS} }} }}"


def test_each_deployment_of_a_list_is_compared_with_the_successful_ones_before_it(
    environment: Environment, is_long: bool
) -> None:
    count = 12 if is_long else 3
    environment.add("job", runCommand=f'[ -e "{environment.gate}" ]')
    environment.end(environment.do("deploy"))
    environment.gate.touch()
    for _ in range(count):
        environment.end(environment.do("deploy"))
    nodes = environment.stageline.execute(LIST, id=environment.id)["environment"]["deployments"]["nodes"]
    assert [each["explanation"]["compared"] for each in nodes] == [
        *(min(COMPARED, each) for each in reversed(range(count))),
        0,
    ]
    first = nodes[-1]["explanation"]
    assert (first["usualSeconds"], first["steps"][0]["usualSeconds"]) == (None, None)
    assert [(each["phase"], each["attempt"]) for each in first["criticalPath"]] == [("DEPLOY", 1)]
    path = [each["waitSeconds"] + each["seconds"] for each in first["criticalPath"]]
    assert sum(path) <= nodes[-1]["durationSeconds"] <= sum(path) + 1
    last = nodes[0]["explanation"]
    (step,) = last["steps"]
    assert (step["service"]["name"], step["phase"], step["attempts"][0]["isCritical"]) == ("job", "DEPLOY", True)
    times = sorted(each["explanation"]["steps"][0]["seconds"] for each in nodes[1:-1][:COMPARED])
    assert step["usualSeconds"] == pytest.approx(median(times))
    for each in (nodes[0], nodes[2], nodes[-1]):
        assert environment.stageline.execute(ONE, id=each["id"])["deployment"] == each


def test_an_explanation_is_new_after_each_deployment(environment: Environment) -> None:
    """Its answer is cached, and depends on the deployments before, which may end later."""
    environment.add("job", runCommand=f'until [ -e "{environment.gate}" ]; do sleep 0.02; done')
    environment.do("deploy")
    environment.add("other")
    second = environment.do("deploy")

    def compared() -> int:
        found: int = environment.stageline.execute(ONE, id=second["id"])["deployment"]["explanation"]["compared"]
        return found

    assert [compared(), compared()] == [0, 0]
    environment.gate.touch()
    environment.end(second)
    assert compared() == 1


def test_a_deployment_is_compared_with_those_of_the_same_effect(environment: Environment) -> None:
    environment.add("web", "CONTAINER", runCommand="exec sleep 60")
    for mutation in ("deploy", "stopServices", "startServices", "redeploy", "stopServices", "deleteInstances"):
        assert environment.end(environment.do(mutation))["status"] == "SUCCEEDED"
    nodes = environment.stageline.execute(LIST, id=environment.id)["environment"]["deployments"]["nodes"]
    nodes.reverse()
    assert [each["explanation"]["compared"] for each in nodes] == [0, 0, 0, 1, 1, 0]
    for before, after in ((0, 3), (1, 4)):
        took = [each["seconds"] for each in nodes[before]["explanation"]["stages"]]
        assert [each["usualSeconds"] for each in nodes[after]["explanation"]["stages"]] == took
    assert environment.stageline.execute(ONE, id=nodes[4]["id"])["deployment"] == nodes[4]


def test_a_deployment_is_not_compared_with_the_retry_of_a_stop(environment: Environment) -> None:
    environment.add("web", "CONTAINER", runCommand="exec sleep 60")
    first = environment.block()
    stop = environment.do("stopServices", services=["web"])
    environment.stageline.do("cancelDeployment", deployment=stop["id"])
    environment.gate.touch()
    environment.end(first)
    retry = environment.end(environment.stageline.do("retryDeployment", deployment=stop["id"]))
    assert (retry["action"], retry["status"]) == ("RETRY", "SUCCEEDED")
    last = environment.end(environment.do("deploy"))
    explained = environment.stageline.execute(ONE, id=last["id"])["deployment"]["explanation"]
    assert explained["compared"] == 1
