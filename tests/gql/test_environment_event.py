"""Everything that happens in an environment: its pipeline's events, its queue's and its deployments', in one order."""

import json
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

import pytest

from domain.deployment import queue
from domain.project import EnvironmentId
from endpoint.streams.subscription import SubscriptionPlans
from store import feed
from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.gql.test_audit import export
from tests.gql.test_event import lost

FOLLOW = """
subscription ($environment: ID!, $after: String) {
  environmentEvents(environment: $environment, after: $after) {
    __typename id cursor logPosition version message
    ... on PipelineEvent { pipelineEventType }
    ... on DeploymentEvent { deploymentEventType deployment { deploymentId number } }
    ... on QueueEvent { queueEventType deployment { deploymentId number } }
    ... on InstanceEvent { instanceEventType }
  }
}
"""


def follow(environment: Environment, after: str | None = None) -> Iterator[Data]:
    with environment.stageline.socket() as socket:
        socket.subscribe("1", FOLLOW, environment=environment.id, after=after)
        while (message := socket.receive())["type"] == "next":
            assert "errors" not in message["payload"], message
            yield message["payload"]["data"]["environmentEvents"]
        assert message == {"type": "complete", "id": "1"}


def queue_positions(environment: Environment) -> list[int]:
    stream = str(queue.stream(EnvironmentId(UUID(environment.id.partition("_")[2]))))
    every = map(json.loads, export(environment.stageline))
    return [each["position"] for each in every if each["link"][2] == stream]


def written(environment: Environment) -> list[int]:
    """The positions of the environment's events, each list read by itself."""
    lists = [environment.events()]
    lists += [
        environment.stageline.everything("deploymentEvents", deployment=deployment["id"])
        for deployment in environment.deployments()
    ]
    return sorted([event["logPosition"] for events in lists for event in events] + queue_positions(environment))


@pytest.mark.parametrize("kept", [feed.TAIL_SIZE, 4], ids=["from memory", "from the store"])
def test_an_environments_events_come_in_one_order_from_every_cursor_until_it_is_deleted(
    environment: Environment, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL_SIZE", kept)
    other = Environment(environment.stageline)
    running = environment.block()
    other.add("elsewhere")
    waiting = environment.do("deploy")  # two deployments are under way at once
    live = follow(environment)
    before = list(islice(live, len(written(environment))))
    environment.do("createStage", name="Checks")
    environment.let_end(running)
    environment.end(waiting)
    other.end(other.do("deploy"))
    environment.do("deleteEnvironment")
    events = before + list(live)
    assert [event["logPosition"] for event in events] == written(environment)
    assert events[-1]["pipelineEventType"] == "ENVIRONMENT_DELETED"
    told = [event for event in events if "deployment" in event]
    ids = {(event["deployment"]["deploymentId"], event["deployment"]["number"]) for event in told}
    assert ids == {(each["id"], each["number"]) for each in environment.deployments()}
    for place in range(0, len(events), 5):
        assert list(follow(environment, events[place]["cursor"])) == events[place + 1 :]
    assert list(follow(environment, events[-1]["cursor"])) == []


def test_it_can_be_followed_from_the_cursor_of_any_answer(environment: Environment) -> None:
    over = environment.end(environment.do("deploy")) if environment.add("api") else {}
    moved = environment.do("createStage", name="Checks")
    closed, first = islice(follow(environment, over["cursor"]), 2)
    assert (closed["queueEventType"], closed["deployment"]["number"]) == ("DEPLOYMENT_CLOSED", 1)
    assert (first["pipelineEventType"], first["version"]) == ("STAGE_CREATED", moved["version"])


def test_what_happens_in_the_queue_is_told(environment: Environment) -> None:
    running = environment.block()
    cursor = environment.do("createStage", name="Checks")["cursor"]
    waiting = environment.do("deploy")
    assert environment.do("deploy", reason="once more")["id"] == waiting["id"]
    environment.do("createStage", name="More checks")
    cancelled = environment.do("deploy")
    environment.stageline.do("cancelDeployment", deployment=cancelled["id"])
    environment.let_end(running)
    environment.end(waiting)
    environment.do("deleteEnvironment")
    told = [
        (each["queueEventType"], each["message"]) for each in follow(environment, cursor) if "queueEventType" in each
    ]
    assert told == [
        ("DEPLOYMENT_REQUESTED", "deployment 2 put into the queue"),
        ("DEPLOYMENT_MERGED", "deployment 2 requested once more while it waits: one deployment for both"),
        ("DEPLOYMENT_REQUESTED", "deployment 3 put into the queue"),
        ("DEPLOYMENT_CLOSED", "deployment 3 left the queue"),
        ("DEPLOYMENT_CLOSED", "deployment 1 left the queue"),
        ("DEPLOYMENT_ADMITTED", "deployment 2: its turn has come"),
        ("DEPLOYMENT_CLOSED", "deployment 2 left the queue"),
    ]


def test_a_cursor_beyond_the_end_of_the_log_is_refused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubscriptionPlans, "subscription", lambda *_: None)  # by who carries it out, too
    with environment.stageline.socket() as following:
        following.subscribe("1", FOLLOW, environment=environment.id, after=lost(environment.pipeline["cursor"]))
        (error,) = following.receive()["payload"]["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert "beyond the end of the log" in error["message"]
