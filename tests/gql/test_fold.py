"""A client folds the changes of a subscription into a snapshot, and has the pipeline as it is now."""

import json
from copy import deepcopy
from itertools import islice, pairwise

import pytest

from gql.subscriptions.pipeline import MAX_CHANGES
from tests.gql.environment import Environment, snapshot
from tests.gql.stageline import PATIENCE, Data
from tests.gql.test_pipeline import _story


def fold(pipeline: Data, event: Data) -> Data:
    """Return *pipeline*, a snapshot, after *event*, as a client would."""
    after, change = deepcopy(pipeline), event["change"]
    after |= {"version": event["version"], "cursor": event["cursor"]}
    environment, stages = after["environment"], after["stages"]
    environment["updatedAt"] = event["recordedAt"]
    stage = next((each for each in stages if change["stage"] and each["stageId"] == change["stage"]["stageId"]), None)
    services = [service for each in stages for service in each["services"]]
    service: Data = next(
        (s for s in services if change["service"] and s["serviceId"] == change["service"]["serviceId"]), {}
    )
    match change["__typename"], stage:
        case "EnvironmentRenamed", _:
            environment["name"] = change["name"]
        case "ConcurrencyChanged", _:
            environment["concurrency"] = change["concurrency"]
        case "EnvironmentPolicyChanged", _:
            environment["policy"] = change["environmentPolicy"]
        case "EnvironmentDeleted", _:
            environment["isDeleted"] = True
        case "StageCreated", _:
            made = {
                "stageId": change["stage"]["stageId"],
                "policy": {
                    "concurrency": None,
                    "onFailure": None,
                    "always": False,
                    "approval": None,
                    "waitSeconds": None,
                    "check": None,
                },
                "services": [],
            }
            made |= {name: change[name] for name in ("name", "description", "defaultForType")}
            stages.insert(change["toPosition"] - 1, made)
        case "StageRenamed" | "StageDescribed" | "StagePolicyChanged" | "StageDefaultChanged", dict(stage):
            stage |= {name: value for name, value in change.items() if name in stage and name not in ("stage", "type")}
        case "StageMoved", dict(stage):
            stages.remove(stage)
            stages.insert(change["toPosition"] - 1, stage)
        case "StageDeleted", dict(stage):
            stages.remove(stage)
        case "ServiceAdded", _:
            after["added"] = {"serviceId": change["service"]["serviceId"], "isSkipped": False}
            after["added"] |= {"name": change["name"], "type": change["serviceType"], "spec": change["spec"]}
        case "ServiceMoved", _:
            moved = after.pop("added", service)
            for each in stages:
                each["services"] = [known for known in each["services"] if known is not moved]
            target = next(each for each in stages if each["stageId"] == change["toStage"]["stageId"])
            target["services"].append(moved | {"stageId": target["stageId"]})
        case "ServiceRenamed" | "ServiceConfigured", _:
            service |= {name: change[name] for name in ("name", "spec") if name in change}
        case "ServiceSkipped" | "ServiceUnskipped", _:
            service["isSkipped"] = change["__typename"] == "ServiceSkipped"
        case "ServiceRemoved", _:
            for each in stages:
                each["services"] = [known for known in each["services"] if known is not service]
        case other:
            pytest.fail(f"unknown change {other}")
    for position, each in enumerate(stages, 1):
        each["position"] = position
    return after


def test_the_changes_of_a_subscription_lead_from_a_snapshot_to_now(environment: Environment) -> None:
    environment.add("first", runCommand="echo first")
    begin = snapshot(environment.pipeline)
    story = _story(environment)
    folded, after = begin, begin["cursor"]
    seen = list(environment.stageline.follow("pipelineEvents", environment=environment.id, after=after))
    assert [event["version"] for event in seen] == list(range(begin["version"] + 1, story[-1]["version"] + 1))
    expected = {then["version"]: snapshot(then) for then in story}
    for event in seen:
        folded = fold(folded, event)
        if event["version"] in expected:
            assert folded == expected[event["version"]]
    assert folded == snapshot(environment.pipeline)


def test_an_event_is_the_same_wherever_it_is_met(environment: Environment) -> None:
    _story(environment)
    arguments = {"environment": environment.id}
    streamed = list(environment.stageline.follow("pipelineEvents", **arguments))
    listed = environment.events()
    history = environment.stageline.everything("pipelineHistory", **arguments)
    assert streamed == listed == history[::-1]
    assert environment.stageline.node("PipelineEvent", listed[3]["id"]) == listed[3] | {"__typename": "PipelineEvent"}


CHANGES = """
subscription ($environment: ID!, $after: String) {
  pipelineChanges(environment: $environment, after: $after) {
    cursor version
    pipeline { id version stages { id name services { id name type isSkipped } } }
    changes {
      version message recordedAt actor { id }
      change {
        __typename service { serviceId name }
        ... on ServiceMoved { fromStage { stageId name } toStage { stageId name } positionInStage }
      }
    }
  }
}
"""


def test_a_move_among_a_thousand_services_sends_less_than_two_kilobytes(environment: Environment) -> None:
    some = [{"name": f"job {number}", "type": "JOB", "spec": {"runCommand": "true"}} for number in range(1000)]
    stages = [{"name": "Jobs", "services": some}, {"name": "Later", "services": []}]
    pipeline = environment.do("applyPipeline", document=json.dumps({"stages": stages}))
    with environment.stageline.socket() as socket:
        socket.subscribe("1", CHANGES, environment=environment.id)
        first = str(socket.connection.recv(PATIENCE))
        assert len(json.loads(first)["payload"]["data"]["pipelineChanges"]["pipeline"]["stages"][0]["services"]) == 1000
        moved = environment.do("moveService", service="job 500", stage="Later")
        frame = str(socket.connection.recv(PATIENCE))
    assert len(frame.encode()) < 2000 < 90_000 < len(first.encode())
    sent = json.loads(frame)["payload"]["data"]["pipelineChanges"]
    assert (sent["version"], sent["pipeline"]) == (moved["version"], None)
    assert [each["message"] for each in sent["changes"]] == ["job 500 moved from Jobs to Later"]
    # The event with all its fields is no larger, also where each event is followed.
    follow = environment.stageline.follow("pipelineEvents", environment=environment.id, after=pipeline["cursor"])
    (event,) = islice(follow, 1)
    assert len(json.dumps(event, ensure_ascii=False).encode()) < 2000


def test_a_pipeline_is_sent_once_and_then_its_changes(environment: Environment) -> None:
    following = environment.stageline.follow("pipelineChanges", environment=environment.id)
    first = next(following)
    assert (first["pipeline"], first["changes"]) == (environment.pipeline, [])
    _story(environment)  # the environment is deleted in the end
    sent = [first, *following]
    folded = snapshot(first["pipeline"])
    for each in sent[1:]:
        assert each["pipeline"] is None
        for event in each["changes"]:
            folded = fold(folded, event)
        assert (folded["version"], folded["cursor"]) == (each["version"], each["cursor"])
    assert folded == snapshot(environment.pipeline)
    for each, later in pairwise(sent):  # from every cursor come the rest
        rest = list(environment.stageline.follow("pipelineChanges", environment=environment.id, after=each["cursor"]))
        assert all(one["pipeline"] is None for one in rest)
        assert next(event for one in rest for event in one["changes"]) == later["changes"][0]
        assert rest[-1]["version"] == sent[-1]["version"]


def test_a_subscriber_that_missed_many_changes_gets_the_whole_pipeline(environment: Environment) -> None:
    before = environment.pipeline
    for number in range(MAX_CHANGES):
        environment.do("editStage", stage="JOB DEFAULT", description=f"version {number}")

    def begin(after: str) -> Data:
        follow = environment.stageline.follow("pipelineChanges", environment=environment.id, after=after)
        (first,) = islice(follow, 1)
        return dict(first)

    sent = begin(before["cursor"])
    assert (sent["pipeline"], len(sent["changes"])) == (None, MAX_CHANGES)
    after = environment.do("editStage", stage="JOB DEFAULT", description="one more")
    sent = begin(before["cursor"])
    assert (sent["pipeline"]["version"], sent["changes"]) == (after["version"], [])
    sent = begin(after["cursor"])
    assert (sent["pipeline"], sent["changes"], sent["version"]) == (None, [], after["version"])
