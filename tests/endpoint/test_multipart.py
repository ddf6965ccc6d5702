"""Multipart subscriptions, as Apollo's HTTP links read them: the payloads of a WebSocket, a part each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import httpx
import pytest

from endpoint.http import sse
from tests.endpoint.test_broadcast import EVENTS, change, frames
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, Data, Stageline

APOLLO_4 = (
    "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"
)
KOTLIN = 'multipart/mixed; subscriptionSpec="1.0", application/graphql-response+json, application/json'
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)

DELIMITER = b"\r\n--graphql"


@contextmanager
def parts(
    stageline: Stageline, query: str, variables: Data | None = None, accept: str = APOLLO_4
) -> Iterator[Iterator[Data]]:
    """Yield the parts of the answer; each is whole when its delimiter has come, and the last delimiter ends them."""
    headers = {"accept": accept, "authorization": f"Bearer {stageline.token}"}
    asked = {"query": query, "variables": variables or {}}
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
        client.stream("POST", f"{stageline.url}/graphql", headers=headers, json=asked) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "multipart/mixed; boundary=graphql; subscriptionSpec=1.0"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        yield _parts(answer.iter_raw())


def _parts(chunks: Iterator[bytes]) -> Iterator[Data]:
    text = b"\r\n"
    for chunk in chunks:
        text += chunk
        while DELIMITER in text:
            part, _, text = text.partition(DELIMITER)
            if part:
                head, _, body = part.partition(b"\r\n\r\n")
                assert head == b"\r\ncontent-type: application/json"
                yield json.loads(body)
    assert text == b"--\r\n"


@pytest.mark.parametrize("accept", [APOLLO_4, KOTLIN])
def test_the_parts_have_the_payloads_of_a_websocket(environment: Environment, accept: str) -> None:
    change(environment, 3)
    count = len(environment.events())
    with environment.stageline.socket() as opened:
        payloads = [json.loads(each) for each in islice(frames(opened, EVENTS, environment=environment.id), count)]
    with parts(environment.stageline, EVENTS, {"environment": environment.id}, accept) as following:
        assert list(islice(following, count)) == [{"payload": payload} for payload in payloads]
        environment.do("deleteEnvironment")
        (last,) = following
    assert last["payload"]["data"]["pipelineEvents"]["pipelineEventType"] == "ENVIRONMENT_DELETED"


def test_an_idle_stream_is_kept_alive_by_empty_objects(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.01)
    variables = {"environment": environment.id, "after": environment.pipeline["cursor"]}
    with parts(environment.stageline, EVENTS, variables) as following:
        assert list(islice(following, 3)) == [{}, {}, {}]


def test_errors_of_the_operation_are_in_the_payload(environment: Environment) -> None:
    with parts(environment.stageline, "subscription { nonsense }") as following:
        (refused,) = following
    assert "Cannot query field 'nonsense'" in refused["payload"]["errors"][0]["message"]


def test_a_stopping_server_says_when_to_subscribe_again(own: Stageline) -> None:
    environment = Environment(own)
    variables = {"environment": environment.id, "after": environment.pipeline["cursor"]}
    with parts(own, EVENTS, variables) as following:
        change(environment, 1)
        assert "data" in next(following)["payload"]
        own.stop()
        (end,) = following
    (error,) = end["errors"]
    assert end["payload"] is None
    assert error["extensions"] == {"code": "UNAVAILABLE"}
    assert error["message"].startswith("The subscription ended early: subscribe again after ")


def test_parts_need_a_valid_token(stageline: Stageline) -> None:
    asked: dict[str, Any] = {"json": {"query": "subscription { __typename }"}, "headers": {"accept": APOLLO_4}}
    assert stageline.send(**asked).status_code == 401


def test_a_client_that_accepts_events_as_well_gets_them_for_subscriptions_only(environment: Environment) -> None:
    """urql asks so for each operation if its `fetchSubscriptions` is on."""
    environment.do("deleteEnvironment")
    stageline = environment.stageline
    headers = {"accept": URQL, "authorization": f"Bearer {stageline.token}"}
    asked = {"query": EVENTS, "variables": {"environment": environment.id}}
    answer = stageline.send(json=asked, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.text.count("event: next") == len(environment.events())
    answer = stageline.send(json={"query": "{ __typename }"}, headers=headers)
    assert answer.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert answer.json() == {"data": {"__typename": "Query"}}
