"""The pipeline as it stands, as it stood, and what happened to it."""

from datetime import datetime, timedelta

from tests.gql.environment import APPLICATION, DATABASE, JOB, Environment, snapshot, types
from tests.gql.stageline import Data


def _story(environment: Environment) -> list[Data]:
    """Changes of every kind; the answers to them, which say how the pipeline stood then."""
    answers = [
        environment.do("createStage", name="Checks", to={"after": JOB}),
        environment.do("editStage", stage=DATABASE, name="First", policy={"concurrency": 1}),
        environment.do("moveStage", stage="First", to={"position": 3}),
        environment.do("addService", name="api", type="APPLICATION", spec={"runCommand": "./api"}),
        environment.do("addService", name="web", type="APPLICATION"),
        environment.do("editService", service="api", name="backend", spec={"runCommand": "./api", "ports": [80]}),
        environment.do("moveService", service="web", stage="Checks"),
        environment.do("skipService", service="web"),
        environment.do("unskipService", service="web"),
        environment.do("deleteStage", stage=APPLICATION, servicesTo="Checks"),
        environment.do("editEnvironment", name="Live", concurrency=3),
        environment.do("removeService", service="web"),
        environment.do("deleteEnvironment"),
    ]
    for answer in answers:
        assert answer.pop("__typename") == "Pipeline"
    return answers


def test_an_old_version_is_as_the_mutation_that_made_it_answered(environment: Environment) -> None:
    story = _story(environment)
    assert [environment.at(version=then["version"]) for then in story] == [snapshot(then) for then in story]
    assert environment.pipeline == story[-1]


def test_the_pipeline_as_of_a_time_is_that_of_the_last_change_until_then(environment: Environment) -> None:
    story = _story(environment)
    for then in story:
        assert environment.at(asOf=then["environment"]["updatedAt"]) == snapshot(then)
    about = story[-1]["environment"]
    early = datetime.fromisoformat(about["createdAt"]) - timedelta(microseconds=1)
    late = datetime.fromisoformat(about["updatedAt"]) + timedelta(days=1)
    assert environment.at(asOf=early.isoformat()) is None
    assert environment.at(asOf=late.isoformat()) == snapshot(story[-1])


def test_a_pipeline_that_is_not_there_is_null(environment: Environment) -> None:
    ask = environment.stageline.query
    for version in (0, -1, 6, 2**31 - 1):
        assert environment.at(version=version) is None
    assert environment.at(deployment=f"deployment_{'0' * 32}") is None
    others = (environment.project, f"environment_{environment.project.partition('_')[2]}", "Production")
    for nothing in (f"environment_{'0' * 32}", *others):
        assert ask("pipeline", environment=nothing) is None
        assert ask("pipelineSnapshot", environment=nothing, at={"version": 1}) is None


def test_the_time_of_a_snapshot_has_a_zone(environment: Environment) -> None:
    now = environment.pipeline["environment"]["updatedAt"].partition("+")[0]
    assert environment.stageline.error("pipelineSnapshot", environment=environment.id, at={"asOf": now}) == {
        "code": "INVALID_ARGUMENT",
        "message": "Invalid at: it needs a time zone, as in 2026-01-31T12:00:00Z.",
    }


def test_the_events_tell_the_story_in_words(environment: Environment) -> None:
    story = _story(environment)
    events = environment.events()
    assert [event["version"] for event in events] == list(range(1, story[-1]["version"] + 1))
    assert types(events[:6]) == ["ENVIRONMENT_CREATED", *["STAGE_CREATED"] * 5]
    moved = next(event for event in events if event["pipelineEventType"] == "SERVICE_MOVED" and event["version"] > 14)
    assert events[-1]["message"] == "Live deleted"
    by_version = {event["version"]: event for event in events}
    assert [by_version[then["version"]]["cursor"] for then in story] == [then["cursor"] for then in story]
    assert {event["actor"]["id"] for event in events} == {"admin"}
    assert moved["service"]["name"] == "web"
    assert moved["message"] == "web moved from APPLICATION DEFAULT to Checks"


def test_the_door_through_which_a_change_came_is_kept(environment: Environment) -> None:
    stageline = environment.stageline
    """A token's holder can't pass for the console, which has a session, nor for the engine."""
    for number, (header, origin) in enumerate(
        [("CLI", "CLI"), ("cli", "CLI"), ("CONSOLE", "API"), ("ENGINE", "API"), ("elsewhere", "API")]
    ):
        mutation = f'mutation {{ createStage(environment: "{environment.id}", name: "S{number}") {{ __typename }} }}'
        headers = {"authorization": f"Bearer {stageline.token}", "stageline-origin": header}
        assert stageline.send(json={"query": mutation}, headers=headers).is_success
        assert environment.events()[-1]["origin"] == origin
