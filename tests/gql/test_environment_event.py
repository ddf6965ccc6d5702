"""Everything that happens in an environment: its pipeline's events and its deployments' in one order, from anywhere."""

from collections.abc import Iterator
from itertools import islice

from tests.gql.environment import Environment
from tests.gql.stageline import Data

FOLLOW = """
subscription ($environment: ID!, $after: String) {
  environmentEvents(environment: $environment, after: $after) {
    __typename cursor position version message
    ... on PipelineEvent { happened: type }
    ... on DeploymentEvent { did: type deployment { id number } }
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


def written(environment: Environment) -> list[int]:
    """The positions of the environment's events, each list read by itself."""
    lists = [environment.events()]
    lists += [
        environment.stageline.everything("deploymentEvents", deployment=deployment["id"])
        for deployment in environment.deployments()
    ]
    return sorted(event["position"] for events in lists for event in events)


def test_an_environments_events_come_in_one_order_from_every_cursor_until_it_is_deleted(
    environment: Environment,
) -> None:
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
    assert [event["position"] for event in events] == written(environment)
    assert events[-1]["happened"] == "ENVIRONMENT_DELETED"
    ids = {(event["deployment"]["id"], event["deployment"]["number"]) for event in events if "did" in event}
    assert ids == {(each["id"], each["number"]) for each in environment.deployments()}
    for place in range(0, len(events), 5):
        assert list(follow(environment, events[place]["cursor"])) == events[place + 1 :]
    assert list(follow(environment, events[-1]["cursor"])) == []


def test_it_can_be_followed_from_the_cursor_of_any_answer(environment: Environment) -> None:
    over = environment.end(environment.do("deploy")) if environment.add("api") else {}
    moved = environment.do("createStage", name="Checks")
    (first,) = islice(follow(environment, over["cursor"]), 1)
    assert (first["happened"], first["version"]) == ("STAGE_CREATED", moved["version"])
