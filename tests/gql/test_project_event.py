"""Everything that happens in the environments of a project, in one order."""

from collections.abc import Iterator
from itertools import islice

import pytest

from gql.types import chronicle
from store import feed
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline
from tests.gql.test_environment_event import follow as follow_environment

FOLLOW = """
subscription ($project: ID!, $after: String) {
  projectEvents(project: $project, after: $after) {
    __typename id cursor logPosition version message
    ... on PipelineEvent { pipelineEventType environment { environmentId name } }
    ... on DeploymentEvent { deploymentEventType deployment { deploymentId number } }
    ... on QueueEvent { queueEventType deployment { deploymentId number } }
  }
}
"""


def follow(stageline: Stageline, project: str, after: str | None = None) -> Iterator[Data]:
    with stageline.socket() as socket:
        socket.subscribe("1", FOLLOW, project=project, after=after)
        while (message := socket.receive())["type"] == "next":
            assert "errors" not in message["payload"], message
            yield message["payload"]["data"]["projectEvents"]
        assert message == {"type": "complete", "id": "1"}


@pytest.mark.parametrize("stories", [chronicle.MAX_STORIES, 1], ids=["with all names", "with few names"])
@pytest.mark.parametrize("kept", [feed.TAIL_SIZE, 4], ids=["from memory", "from the store"])
def test_a_projects_events_come_in_one_order_from_every_cursor_until_it_is_deleted(
    environment: Environment, kept: int, stories: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL_SIZE", kept)
    monkeypatch.setattr(chronicle, "MAX_STORIES", stories)
    stageline, project = environment.stageline, environment.project
    Environment(stageline).add("elsewhere")
    live = follow(stageline, project)
    assert next(live)["pipelineEventType"] == "ENVIRONMENT_CREATED"
    running = environment.block()
    other = stageline.do("createEnvironment", project=project, name="Staging")["environment"]["id"]
    stageline.do("addService", environment=other, name="job", type="JOB", spec={"runCommand": "true"})
    deployment = stageline.do("deploy", environment=other)
    stageline.do("editEnvironment", environment=other, name="Canary")
    environment.let_end(running)
    environment.end(deployment)
    stageline.do("renameProject", project=project, name=f"{environment.project_name} again")
    for each in (other, environment.id):
        stageline.do("deleteEnvironment", environment=each)
    stageline.do("deleteProject", project=project)
    events = list(live)
    assert events[-1]["pipelineEventType"] == "ENVIRONMENT_DELETED"
    own = [follow_environment(environment), follow_environment(_Other(stageline, other))]
    told = sorted((event for some in own for event in some), key=lambda event: event["logPosition"])
    assert [event["logPosition"] for event in events] == [event["logPosition"] for event in told][1:]
    assert [event["message"] for event in events] == [event["message"] for event in told][1:]
    for place in range(0, len(events), 7):
        assert list(follow(stageline, project, events[place]["cursor"])) == events[place + 1 :]
    after = stageline.do("createProject", name=f"{environment.project_name} later")["cursor"]
    assert list(follow(stageline, project, after)) == []


class _Other(Environment):
    """Another environment, which is there."""

    def __init__(self, stageline: Stageline, id_: str) -> None:
        self.stageline, self.id = stageline, id_


def test_a_project_is_followed_by_its_name_and_from_the_cursor_of_any_answer(environment: Environment) -> None:
    cursor = environment.do("createStage", name="Checks")["cursor"]
    environment.do("createStage", name="More checks")
    (event,) = islice(follow(environment.stageline, environment.project_name, cursor), 1)
    assert (event["pipelineEventType"], event["message"]) == ("STAGE_CREATED", "More checks created at position 6")
    with environment.stageline.socket() as socket:
        socket.subscribe("1", FOLLOW, project="no project", after=None)
        assert socket.receive()["payload"]["errors"][0]["extensions"]["code"] == "PROJECT_NOT_FOUND"
