"""Events as they are followed: replayed, live, to their end, and from every place again."""

import base64
import json
from collections.abc import Callable
from itertools import islice

import pytest

from endpoint.streams.subscription import SubscriptionPlans
from tests.gql.environment import Environment, types
from tests.gql.stageline import Data, Stageline, document


def test_a_deployment_that_is_over_is_replayed_from_every_cursor(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", buildCommands=["true"])
    over = environment.end(environment.do("deploy"))
    events = stageline.everything("deploymentEvents", deployment=over["id"])
    assert types(events)[0] == "DEPLOYMENT_PLANNED"
    assert types(events)[-1] == "DEPLOYMENT_SUCCEEDED"
    assert [event["version"] for event in events] == list(range(1, over["version"] + 1))
    assert events[-1]["cursor"] == over["cursor"]
    assert list(stageline.follow("deploymentEvents", deployment=over["id"])) == events
    with stageline.socket() as socket:
        for place, event in enumerate(events, 1):
            rest = socket.follow("deploymentEvents", deployment=over["id"], after=event["cursor"])
            assert list(rest) == events[place:]


def test_a_running_deployment_is_followed_to_its_end(environment: Environment) -> None:
    stageline, running = environment.stageline, environment.block()
    before = stageline.everything("deploymentEvents", deployment=running["id"])
    following = stageline.follow("deploymentEvents", deployment=running["id"])
    assert list(islice(following, len(before))) == before
    late = stageline.follow("deploymentEvents", deployment=running["id"], after=before[-1]["cursor"])
    environment.let_end(running)
    live = list(following)
    assert before + live == stageline.everything("deploymentEvents", deployment=running["id"])
    assert types(live)[-1] == "DEPLOYMENT_SUCCEEDED"
    assert list(late) == live


def test_an_environment_is_followed_until_it_is_deleted(environment: Environment) -> None:
    before = environment.events()
    following = environment.stageline.follow("pipelineEvents", environment=environment.id)
    assert list(islice(following, len(before))) == before
    environment.do("createStage", name="Checks")
    assert next(following)["message"] == "Checks created at position 5"
    environment.add("api")
    environment.do("deleteEnvironment")
    assert types(list(following)) == ["SERVICE_ADDED", "SERVICE_MOVED", "ENVIRONMENT_DELETED"]
    events = environment.events()
    with environment.stageline.socket() as socket:
        for place, event in enumerate(events, 1):
            rest = socket.follow("pipelineEvents", environment=environment.id, after=event["cursor"])
            assert list(rest) == events[place:]


def test_the_cursor_of_an_answer_is_a_place_to_follow_from(environment: Environment) -> None:
    cursor = environment.pipeline["cursor"]
    added = environment.do("addService", name="api", type="JOB", spec={"runCommand": "true"})
    following = environment.stageline.follow("pipelineEvents", environment=environment.id, after=cursor)
    assert types(list(islice(following, 2))) == ["SERVICE_ADDED", "SERVICE_MOVED"]
    over = environment.end(environment.do("deploy"))
    follow = environment.stageline.follow
    assert list(follow("deploymentEvents", deployment=over["id"], after=over["cursor"])) == []
    assert len(list(follow("deploymentEvents", deployment=over["id"], after=added["cursor"]))) == over["version"]


def _of_another_log(cursor: str) -> str:
    epoch, place = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    other = json.dumps(["f" * 8 + epoch[8:], place])
    return base64.urlsafe_b64encode(other.encode()).decode().rstrip("=")


def _damaged(cursor: str) -> str:
    return cursor[:-3]


def _too_far(cursor: str) -> str:
    epoch, _ = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    return base64.urlsafe_b64encode(json.dumps([epoch, 2**70]).encode()).decode().rstrip("=")


def lost(cursor: str) -> str:
    """Of an event that was there before the log was put back, a little further."""
    epoch, place = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    return base64.urlsafe_b64encode(json.dumps([epoch, place + 100]).encode()).decode().rstrip("=")


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared", "alone"])
@pytest.mark.parametrize("field", ["deploymentEvents", "pipelineEvents"])
def test_a_cursor_beyond_the_end_of_the_log_is_refused_though_others_follow(
    environment: Environment, field: str, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_shared:
        monkeypatch.setattr(SubscriptionPlans, "subscription", lambda *_: None)
    subject, id_ = ("environment", environment.id)
    if field == "deploymentEvents":
        subject, id_ = "deployment", environment.block()["id"]
    asked = f"subscription ($id: ID!, $after: String) {{ {field}({subject}: $id, after: $after) {{ cursor }} }}"
    with environment.stageline.socket() as opened:
        opened.subscribe("1", asked, id=id_, after=None)
        cursor = opened.receive()["payload"]["data"][field]["cursor"]
        opened.subscribe("2", asked, id=id_, after=lost(cursor))
        while (message := opened.receive())["id"] == "1":
            pass
        payload = message["payload"]
    (error,) = payload if message["type"] == "error" else payload["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert "beyond the end of the log" in error["message"]


@pytest.mark.parametrize("spoil", [_of_another_log, _damaged, _too_far])
@pytest.mark.parametrize("field", ["deploymentEvents", "pipelineEvents", "deploymentLogs"])
def test_a_cursor_that_is_none_of_this_log_is_an_error_and_the_end(
    environment: Environment, field: str, spoil: Callable[[str], str]
) -> None:
    environment.add("api", runCommand="echo done")
    over = environment.end(environment.do("deploy"))
    subject = {"environment": environment.id} if field == "pipelineEvents" else {"deployment": over["id"]}
    cursor = environment.stageline.query(field, first=1, **subject)["edges"][0]["cursor"]
    answers = _answers(environment.stageline, field, **subject, after=spoil(cursor))
    assert [answer["extensions"]["code"] for answer in answers] == ["INVALID_ARGUMENT"]
    assert answers[0]["message"].startswith("Invalid cursor: it ")


@pytest.mark.parametrize(
    ("field", "subject", "code"),
    [
        ("deploymentEvents", "deployment", "DEPLOYMENT_NOT_FOUND"),
        ("deploymentLogs", "deployment", "DEPLOYMENT_NOT_FOUND"),
        ("pipelineEvents", "environment", "ENVIRONMENT_NOT_FOUND"),
    ],
)
def test_following_what_is_not_there_is_an_error_and_the_end(
    environment: Environment, field: str, subject: str, code: str
) -> None:
    something_else = environment.project.partition("_")[2]
    for nothing in (f"{subject}_{'0' * 32}", f"{subject}_{something_else}", environment.project, "Production"):
        (error,) = _answers(environment.stageline, field, **{subject: nothing})
        assert error["extensions"] == {"code": code}
        assert error["message"] == f"There is no {subject} {nothing!r}."


def _answers(stageline: Stageline, field: str, **arguments: object) -> list[Data]:
    """The errors of a subscription that gives nothing else."""
    with stageline.socket() as socket:
        socket.subscribe("1", document("subscription", field, *arguments), **arguments)
        errors = []
        while (message := socket.receive())["type"] != "complete":
            errors += message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            if message["type"] == "error":
                break
    return errors
