"""What happened to pipelines: told, typed, narrowed, in pages, and for as long as the log is."""

from datetime import datetime, timedelta

import pytest

from tests.gql.environment import APPLICATION, DATABASE, JOB, Environment, types
from tests.gql.stageline import Data


def history(environment: Environment, **filter_: object) -> list[Data]:
    """The newest first."""
    return environment.stageline.everything("pipelineHistory", environment=environment.id, filter=filter_)


def messages(events: list[Data]) -> list[str]:
    return [event["message"] for event in events]


@pytest.fixture
def lived(environment: Environment) -> Environment:
    environment.add("Backend", "APPLICATION", runCommand="./backend")
    environment.do("editStage", stage=JOB, name="third stage", reason="it is the third")
    environment.do("moveService", service="Backend", stage="third stage", reason="Überholt die Datenbank")
    environment.do("editService", service="Backend", spec={"runCommand": "./backend", "ports": [80], "retries": 2})
    environment.do("moveStage", stage="third stage", to={"position": 1})
    environment.do("skipService", service="Backend")
    return environment


def test_everything_is_told_the_newest_first(lived: Environment) -> None:
    events = history(lived)
    assert messages(events) == [
        "Backend skipped from now on",
        "third stage moved from position 2 to 1",
        "Backend: specification changed: ports: – → 80; retries: 0 → 2",
        "Backend moved from APPLICATION DEFAULT to third stage",
        "third stage: description removed",
        "JOB DEFAULT renamed to third stage",
        "Backend placed in APPLICATION DEFAULT",
        "Backend added",
        *(
            f"{type_} DEFAULT created at position {at}"
            for at, type_ in reversed([*enumerate(["DATABASE", "JOB", "CONTAINER", "APPLICATION"], 1)])
        ),
        "Production created",
    ]
    assert [(event["versionBefore"], event["version"]) for event in events] == [(v - 1, v) for v in range(13, 0, -1)]
    assert events == lived.events()[::-1]


def test_an_event_says_who_did_it_how_and_why_and_where(lived: Environment) -> None:
    (moved,) = history(lived, types=["SERVICE_MOVED"], text="third")
    about = moved["change"]
    assert (moved["actor"]["id"], moved["origin"], moved["reason"]) == ("admin", "API", "Überholt die Datenbank")
    assert moved["token"]["name"] == "admin"
    assert moved["project"] == lived.pipeline["environment"]["project"]
    assert moved["environment"] == {"environmentId": lived.id, "name": "Production"}
    assert (moved["stage"]["name"], moved["service"]["name"]) == ("third stage", "Backend")
    assert about["__typename"] == "ServiceMoved"
    assert (about["fromStage"]["name"], about["toStage"]["name"]) == (APPLICATION, "third stage")
    then = lived.at(version=moved["version"])
    assert then is not None
    assert then["cursor"] == moved["cursor"]


def test_a_request_has_one_correlation(lived: Environment) -> None:
    described, renamed = history(lived, stages=["third stage"], types=["STAGE_RENAMED", "STAGE_DESCRIBED"])
    assert renamed["correlation"] == described["correlation"]
    assert len({event["correlation"] for event in history(lived)}) == 7


def test_a_specification_is_told_field_by_field(lived: Environment) -> None:
    (configured,) = history(lived, types=["SERVICE_CONFIGURED"])
    assert configured["change"]["fields"] == [
        {"field": "ports", "before": "[]", "after": "[80]"},
        {"field": "retries", "before": "0", "after": "2"},
    ]
    assert configured["change"]["previousSpec"]["ports"] == []


def test_every_type_of_event_has_a_type_of_its_own(environment: Environment) -> None:
    first = environment.add("api")
    for field, arguments in (
        ("editEnvironment", {"name": "Live", "concurrency": 2}),
        ("createStage", {"name": "Checks"}),
        ("editStage", {"stage": DATABASE, "name": "First", "policy": {"concurrency": 1}}),
        ("moveStage", {"stage": "First", "to": {"position": 2}}),
        ("editService", {"service": first, "name": "web", "spec": {"image": "web"}}),
        ("moveService", {"service": first, "stage": "Checks"}),
        ("skipService", {"service": first}),
        ("unskipService", {"service": first}),
        ("removeService", {"service": first}),
        ("deleteStage", {"stage": "Checks"}),
        ("applyPipeline", {"document": "stages: [{name: First, defaultForType: null}]"}),
        ("deleteEnvironment", {}),
    ):
        environment.do(field, **arguments)
    told = history(environment)
    for event in told:
        words = "".join(word.capitalize() for word in event["pipelineEventType"].split("_"))
        assert words == event["change"]["__typename"]
        assert (event["change"]["message"], event["change"]["type"]) == (event["message"], event["pipelineEventType"])
    assert len(set(types(told))) == 18  # all but the target's, of which there is one only


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"types": ["STAGE_MOVED", "SERVICE_SKIPPED"]}, [13, 12]),
        ({"services": ["Backend"]}, [13, 11, 10, 7, 6]),
        ({"services": ["backend"], "types": ["SERVICE_MOVED"]}, [10, 7]),
        ({"stages": ["third stage"]}, [13, 12, 11, 10, 9, 8, 3]),
        ({"stages": [APPLICATION]}, [10, 7, 5]),
        ({"actors": ["nobody", "admin"], "text": "moved third"}, [12, 10]),
        ({"actors": ["nobody"]}, []),
        ({"origins": ["CLI", "CONSOLE", "ENGINE"]}, []),
        ({"text": "ÜBERHOLT daten"}, [10]),
        ({"text": "holt"}, []),
        ({"text": "third -- IT"}, [9, 8]),
        ({"text": '"OR* (NOT'}, []),
        ({"types": None, "text": " "}, list(range(13, 0, -1))),
    ],
)
def test_a_history_is_narrowed(lived: Environment, filter_: Data, expected: list[int]) -> None:
    assert [event["version"] for event in history(lived, **filter_)] == expected


def test_a_time_narrows_it_too(lived: Environment) -> None:
    times = {event["version"]: datetime.fromisoformat(event["recordedAt"]) for event in history(lived)}
    span = {"since": times[8].isoformat(), "until": times[11].isoformat()}
    assert [event["version"] for event in history(lived, **span)] == [11, 10, 9, 8]
    late = (times[13] + timedelta(days=1)).isoformat()
    assert history(lived, since=late) == []
    assert len(history(lived, until=late)) == 13
    assert history(lived, until=(times[1] - timedelta(days=400)).isoformat()) == []
    error = lived.stageline.error("pipelineHistory", environment=lived.id, filter={"since": "2026-01-01T00:00:00"})
    assert error["message"] == "Invalid since: it needs a time zone, as in 2026-01-31T12:00:00Z."


def test_pages_both_ways_are_the_whole(lived: Environment) -> None:
    whole = [event["version"] for event in history(lived, services=["Backend"])]
    ask, found, after = lived.stageline.query, [], None
    arguments = {"environment": lived.id, "filter": {"services": ["Backend"]}}
    while True:
        page = ask("pipelineHistory", **arguments, first=2, after=after)
        found += [edge["node"]["version"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert found == whole == [13, 11, 10, 7, 6]
    first = ask("pipelineHistory", **arguments, last=1)
    assert [edge["node"]["version"] for edge in first["edges"]] == [6]
    assert first["pageInfo"]["hasPreviousPage"]
    earlier = ask("pipelineHistory", **arguments, last=2, before=first["pageInfo"]["startCursor"])
    assert [edge["node"]["version"] for edge in earlier["edges"]] == [10, 7]


def test_a_project_has_the_history_of_its_environments_and_all_have_one(lived: Environment) -> None:
    stageline = lived.stageline
    other = stageline.do("createEnvironment", project=lived.project, name="Staging")["environment"]["id"]
    own = stageline.everything("history", project=lived.project_name)
    assert messages(own[:1]) == ["APPLICATION DEFAULT created at position 4"]
    assert [event["environment"]["environmentId"] for event in own] == [other] * 5 + [lived.id] * 13
    page = stageline.query("history", first=20)
    assert [edge["node"] for edge in page["edges"]][: len(own)] == own
    service = own[5]["service"]["serviceId"]
    assert len(stageline.everything("history", filter={"services": [service]})) == 5


def test_a_deleted_environment_keeps_its_history(lived: Environment) -> None:
    lived.do("deleteEnvironment", reason="no longer needed")
    assert messages(history(lived, text="needed")) == ["Production deleted"]


def test_who_is_not_there_has_no_history(environment: Environment) -> None:
    error = environment.stageline.error
    assert error("pipelineHistory", environment="nowhere")["code"] == "ENVIRONMENT_NOT_FOUND"
    assert error("history", project="nowhere")["code"] == "PROJECT_NOT_FOUND"
    nobody = {"services": ["nobody"]}
    assert error("pipelineHistory", environment=environment.id, filter=nobody)["code"] == "SERVICE_NOT_FOUND"
    assert error("history", filter=nobody)["code"] == "SERVICE_NOT_FOUND"
    assert error("history", filter={"stages": [DATABASE]})["code"] == "STAGE_NOT_FOUND"


@pytest.mark.parametrize("field", ["types", "actors", "origins", "stages", "services"])
def test_an_empty_list_in_a_filter_matches_no_event(lived: Environment, field: str) -> None:
    assert history(lived, **{field: []}) == []
    assert history(lived, **{field: [], "text": "Backend"}) == []
    assert history(lived, **{field: None}) == history(lived) != []
    everywhere = lived.stageline.query("history", project=lived.project, filter={field: []})
    assert everywhere["edges"] == []


def test_a_restore_and_an_undo_say_that_they_are_that(environment: Environment) -> None:
    version = environment.pipeline["version"]
    environment.do("createStage", name="Checks", reason="why not")
    environment.do("undoPipelineChange")
    undone = history(environment)[0]["id"]
    environment.do("undoPipelineChange", change=undone, reason="after all")
    environment.do("restorePipeline", version=version)
    environment.do("createStage", name="Tests")
    environment.do("restorePipeline", version=version, reason="as before")
    reasons = [event["reason"] for event in history(environment)]
    assert reasons[:6] == [
        f"restored to version {version}: as before",
        None,
        f"restored to version {version}",
        "undo: after all",
        "undo",
        "why not",
    ]
