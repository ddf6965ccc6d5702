"""What differs between two moments of a pipeline, and which events made it so."""

import json

from tests.gql.environment import APPLICATION, DATABASE, JOB, Environment, snapshot
from tests.gql.stageline import Data

SINCE = """
query ($deployment: ID!) {
  deployment(id: $deployment) {
    pipeline { version stages { name services { name } } }
    changedSince {
      from { version } to { version } differences { change { message } events { edges { node { message } } } }
    }
  }
}
"""


def diff(environment: Environment, **moments: object) -> Data:
    found: Data = environment.stageline.query("pipelineDiff", environment=environment.id, **moments)
    return found


def messages(differences: list[Data]) -> list[str]:
    return [difference["change"]["message"] for difference in differences]


def made_by(difference: Data) -> list[str]:
    return [edge["node"]["message"] for edge in difference["events"]["edges"]]


def test_the_fewest_changes_are_told_each_with_the_events_that_made_it(environment: Environment) -> None:
    environment.add("api")
    environment.add("web")
    before = environment.version
    environment.do("moveService", service="api", stage=DATABASE)
    environment.do("editService", service="api", spec={"runCommand": "./api"})
    environment.do("editService", service="api", spec={"runCommand": "./api", "ports": [80]})
    environment.do("moveService", service="api", stage=APPLICATION)
    environment.do("skipService", service="web")
    environment.do("unskipService", service="web")
    environment.do("createStage", name="Checks")
    environment.do("editStage", stage="Checks", name="Tests")
    environment.do("moveStage", stage=JOB, to={"position": 1})
    found = diff(environment, **{"from": {"version": before}})
    assert (found["from"]["version"], found["to"]) == (before, snapshot(environment.pipeline))
    assert messages(found["differences"]) == [
        "JOB DEFAULT moved from position 2 to 1",
        "Tests created at position 5",
        "api: specification changed: runCommand: true → ./api; ports: – → 80",
        "api moved from JOB DEFAULT to APPLICATION DEFAULT",
    ]
    moved, tests, configured, placed = found["differences"]
    assert made_by(moved) == ["JOB DEFAULT moved from position 2 to 1"]
    assert made_by(tests) == ["Checks renamed to Tests", "Checks created at position 5"]
    assert made_by(configured) == [
        "api: specification changed: ports: – → 80",
        "api: specification changed: runCommand: true → ./api",
    ]
    assert [field["field"] for field in configured["change"]["fields"]] == ["ports", "runCommand"]
    assert made_by(placed) == [
        "api moved from DATABASE DEFAULT to APPLICATION DEFAULT",
        "api moved from JOB DEFAULT to DATABASE DEFAULT",
    ]
    assert placed["change"]["__typename"] == "ServiceMoved"


def test_a_diff_goes_backward_too_and_names_the_same_events(environment: Environment) -> None:
    environment.do("deleteStage", stage=JOB)
    back = diff(environment, **{"from": {"version": 6}, "to": {"version": 5}})
    (difference,) = back["differences"]
    assert difference["change"]["type"] == "STAGE_CREATED"
    assert made_by(difference) == ["JOB DEFAULT deleted"]
    assert diff(environment, **{"from": {"version": 6}})["differences"] == []


def test_what_came_to_a_place_by_the_moves_of_others_names_those(environment: Environment) -> None:
    environment.do("moveStage", stage=DATABASE, to={"position": 2})
    (difference,) = diff(environment, **{"from": {"version": 5}})["differences"]
    assert made_by(difference) == ["DATABASE DEFAULT moved from position 1 to 2"]


def test_a_moment_is_a_version_a_time_or_a_deployment(environment: Environment) -> None:
    environment.add("api")
    deployment = environment.end(environment.do("deploy"))
    pinned = snapshot(environment.pipeline)
    environment.do("skipService", service="api")
    for moment in (
        {"version": pinned["version"]},
        {"asOf": pinned["environment"]["updatedAt"]},
        {"deployment": deployment["id"]},
    ):
        found = diff(environment, **{"from": moment})
        assert found["from"] == pinned
        assert messages(found["differences"]) == ["api skipped from now on"]
        assert diff(environment, **{"from": {"version": pinned["version"] + 1}, "to": moment})["to"] == pinned


def test_a_deployment_shows_the_pipeline_that_it_pinned_and_what_has_changed_since(environment: Environment) -> None:
    environment.add("api")
    deployment = environment.end(environment.do("deploy"))
    environment.do("editStage", stage=JOB, name="Jobs")
    found = environment.stageline.execute(SINCE, deployment=deployment["id"])["deployment"]
    assert found["pipeline"]["version"] == deployment["pipelineVersion"] == 7
    assert found["pipeline"]["stages"][1] == {"name": JOB, "services": [{"name": "api"}]}
    since = found["changedSince"]
    assert (since["from"]["version"], since["to"]["version"]) == (7, 9)
    assert messages(since["differences"]) == ["JOB DEFAULT renamed to Jobs", "Jobs: description removed"]
    assert [made_by(each) for each in since["differences"]] == [[each] for each in messages(since["differences"])]


def test_a_moment_that_never_was_is_refused(environment: Environment) -> None:
    error = environment.stageline.error
    other = Environment(environment.stageline)
    other.add("api")
    deployment = other.end(other.do("deploy"))["id"]
    for moment, code, message in (
        ({"version": 9}, "VERSION_NOT_FOUND", "The pipeline has no version 9: it has 1 to 5."),
        (
            {"asOf": "2020-01-01T00:00:00Z"},
            "INVALID_ARGUMENT",
            "Invalid from: the environment did not exist at that time.",
        ),
        (
            {"asOf": "2020-01-01T00:00:00"},
            "INVALID_ARGUMENT",
            "Invalid from: it needs a time zone, as in 2026-01-31T12:00:00Z.",
        ),
        ({"deployment": deployment}, "DEPLOYMENT_NOT_FOUND", f"There is no deployment {deployment!r}."),
        ({"deployment": "nothing"}, "DEPLOYMENT_NOT_FOUND", "There is no deployment 'nothing'."),
    ):
        found = error("pipelineDiff", environment=environment.id, **{"from": moment})
        assert found == {"code": code, "message": message}
    nowhere = error("pipelineDiff", environment="nowhere", **{"from": {"version": 1}})
    assert nowhere["code"] == "ENVIRONMENT_NOT_FOUND"


def test_the_values_of_a_changed_field_have_the_names_of_the_api(environment: Environment) -> None:
    environment.add("api", "APPLICATION")
    before = environment.version
    check = {"tcp": {"portIndex": 0}, "startPeriodSeconds": 5.0}
    environment.do("editService", service="api", spec={"runCommand": "true", "ports": [80], "healthCheck": check})
    (difference,) = diff(environment, **{"from": {"version": before}})["differences"]
    values = {each["field"]: json.loads(each["after"]) for each in difference["change"]["fields"]}
    assert values.keys() == {"ports", "healthCheck"}
    assert {name: values["healthCheck"][name] for name in check} == check
