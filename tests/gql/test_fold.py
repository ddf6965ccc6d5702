"""A client folds the changes of a subscription into a snapshot, and has the pipeline as it is now."""

import json
from copy import deepcopy
from itertools import islice

import pytest

from tests.gql.environment import Environment, snapshot
from tests.gql.stageline import Data
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
                "policy": {"concurrency": None, "onFailure": None, "always": False},
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


def test_a_move_among_a_thousand_services_sends_less_than_two_kilobytes(environment: Environment) -> None:
    """The event with all its fields: a client folds it, and needs no whole pipeline."""
    some = [{"name": f"job {number}", "type": "JOB", "spec": {"runCommand": "true"}} for number in range(1000)]
    stages = [{"name": "Jobs", "services": some}, {"name": "Later", "services": []}]
    pipeline = environment.do("applyPipeline", document=json.dumps({"stages": stages}))
    environment.do("moveService", service="job 500", stage="Later")
    (event,) = islice(
        environment.stageline.follow("pipelineEvents", environment=environment.id, after=pipeline["cursor"]), 1
    )
    assert event["change"]["__typename"] == "ServiceMoved"
    sizes = [len(json.dumps(each, ensure_ascii=False).encode()) for each in (event, pipeline)]
    assert sizes[0] < 2000 < 100_000 < sizes[1]
