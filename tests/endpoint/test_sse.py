"""Event streams as graphql-sse and browsers read them: the same bytes as on a WebSocket, resumed by Last-Event-ID."""

import asyncio
import ctypes
import json
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from endpoint.http import admission, sse
from endpoint.http.session import COOKIE
from endpoint.streams import broadcast, hub
from gql.schema import schema
from server import http as server_http
from tests.endpoint.test_broadcast import EVENTS, change, frames
from tests.endpoint.test_websocket import closed, stumble
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, Data, Stageline, document, served

SO_ATTACH_FILTER = 26
"""A socket option of Linux, see socket(7); Python has no name for it."""

COMPLETE = {"event": "complete", "data": ""}


@contextmanager
def stream(
    stageline: Stageline, query: str, variables: Data, method: str = "POST", **headers: str
) -> Iterator[Iterator[Data]]:
    """Yield the events of the answer as dictionaries of fields; empty *headers* are not sent."""
    with streamed(stageline, {"query": query, "variables": variables}, method, **headers) as events:
        yield events


@contextmanager
def streamed(stageline: Stageline, asked: Data, method: str = "POST", **headers: str) -> Iterator[Iterator[Data]]:
    """Return the events of the answer to a request with the parameters *asked*."""
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {stageline.token}"} | headers
    headers = {name: value for name, value in headers.items() if value}
    request: dict[str, Any] = {"json": asked}
    if method == "GET":
        encoded = {name: each if isinstance(each, str) else json.dumps(each) for name, each in asked.items()}
        request = {"params": encoded}
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
        client.stream(method, f"{stageline.url}/graphql", headers=headers, **request) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Data]:
    event: Data = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        elif event != {"": ""}:
            yield event
            event = {}
        else:
            event = {}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_has_the_bytes_of_a_websocket_and_cursors_for_ids(environment: Environment, method: str) -> None:
    change(environment, 3)
    count = len(environment.events())
    with environment.stageline.socket() as opened:
        payloads = list(islice(frames(opened, EVENTS, environment=environment.id), count))
    with stream(environment.stageline, EVENTS, {"environment": environment.id}, method) as events:
        seen = list(islice(events, count))
        assert [event["data"] for event in seen] == payloads
        cursors = [json.loads(payload)["data"]["pipelineEvents"]["cursor"] for payload in payloads]
        assert [event["id"] for event in seen] == cursors
        environment.do("deleteEnvironment")
        last, end = events
        assert json.loads(last["data"])["data"]["pipelineEvents"]["pipelineEventType"] == "ENVIRONMENT_DELETED"
        assert end == COMPLETE


@pytest.mark.parametrize(
    "query",
    [
        EVENTS,
        "subscription ($environment: ID!) { pipelineEvents(environment: $environment) { version } }",
        document("subscription", "pipelineEvents", "environment", "after"),
    ],
)
def test_a_stream_resumes_after_the_last_event_id(environment: Environment, query: str) -> None:
    change(environment, 3)
    events = environment.events()
    variables = {"environment": environment.id, "after": events[0]["cursor"]}
    for place in (1, len(events) - 1):
        resumed = {"last-event-id": events[place - 1]["cursor"]}
        with stream(environment.stageline, query, variables, **resumed) as following:
            seen = [event["id"] for event in islice(following, len(events) - place)]
            assert seen == [event["cursor"] for event in events[place:]]


@pytest.mark.parametrize("id_", ["nonsense", "WyJhYmMiLDFd"])
def test_a_last_event_id_that_is_no_cursor_is_an_error_and_the_end(environment: Environment, id_: str) -> None:
    with stream(environment.stageline, EVENTS, {"environment": environment.id}, **{"last-event-id": id_}) as events:
        error, end = events
    payload = json.loads(error["data"])
    (told,) = payload.pop("errors")
    assert payload == {}
    assert told["extensions"]["code"] == "INVALID_ARGUMENT"
    assert end == COMPLETE


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { nonsense }", None),
        ("{ nonsense", None),
        ("query ($first: Int!) { tokens(first: $first) { pageInfo { hasNextPage } } }", None),
        (f'subscription {{ pipelineEvents(environment: "environment_{"0" * 32}") {{ id }} }}', "ENVIRONMENT_NOT_FOUND"),
    ],
)
def test_an_error_is_sent_as_an_event(stageline: Stageline, query: str, code: str | None) -> None:
    with stream(stageline, query, {}) as events:
        error, end = events
    payload = json.loads(error["data"])
    (told,) = payload.pop("errors")
    assert payload == {}  # a request error has no data, not even null
    assert told.get("extensions", {}).get("code") == code
    assert end == COMPLETE


def test_an_error_of_a_field_leaves_its_data_null(stageline: Stageline) -> None:
    with stream(stageline, "{ tokens(first: 10000) { pageInfo { hasNextPage } } }", {}) as events:
        answer, end = events
    payload = json.loads(answer["data"])
    assert (payload["data"], payload["errors"][0]["path"]) == ({"tokens": None}, ["tokens"])
    assert end == COMPLETE


def test_a_fault_before_the_first_payload_is_sent_and_ends_the_stream(
    stageline: Stageline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema.documents, "ready", stumble)
    with stream(stageline, "{ cursor }", {}) as events:
        told, end = events
    assert [error["extensions"] for error in json.loads(told["data"])["errors"]] == [{"code": "INTERNAL"}]
    assert end == COMPLETE


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_an_operation_name_must_be_a_string(stageline: Stageline, accept: str) -> None:
    headers = {"authorization": f"Bearer {stageline.token}", "accept": accept}
    answer = stageline.send(json={"query": "{ cursor }", "operationName": []}, headers=headers)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["message"] == "`operationName` must be a string or null, if provided."


def test_queries_and_mutations_are_answered_by_one_event(environment: Environment) -> None:
    asked = environment.stageline, document("query", "pipeline", "environment"), {"environment": environment.id}
    with stream(*asked) as events:
        answer, end = events
    assert json.loads(answer["data"])["data"]["pipeline"] == environment.pipeline
    assert end == COMPLETE
    name = {"environment": environment.id, "name": "Checks"}
    with stream(environment.stageline, document("mutation", "createStage", *name), name) as events:
        answer, end = events
    made = json.loads(answer["data"])["data"]["createStage"]
    assert (made["__typename"], made["changed"]) == ("PipelinePayload", True)
    assert made["pipeline"] == environment.pipeline


def test_a_get_changes_nothing(environment: Environment) -> None:
    stageline, before = environment.stageline, environment.stageline.position
    making = f'mutation {{ createStage(environment: "{environment.id}", name: "Checks") {{ __typename }} }}'
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {stageline.token}"}
    answer = stageline.send("GET", params={"query": making}, headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["errors"][0]["message"] == "Mutations must be sent by POST: GET changes nothing."
    assert stageline.position == before


def test_an_idle_stream_is_kept_alive_by_comments(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.01)
    url, token = environment.stageline.url, environment.stageline.token
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {token}"}
    asked = {"query": EVENTS, "variables": {"environment": environment.id, "after": environment.pipeline["cursor"]}}
    with httpx.stream("POST", f"{url}/graphql", headers=headers, json=asked, timeout=PATIENCE) as answer:
        assert list(islice(answer.iter_lines(), 6)) == [":", ""] * 3


def test_a_session_cookie_authenticates_an_event_source(environment: Environment) -> None:
    """An EventSource sends cookies and no headers; the cookie works only for streams that change nothing."""
    stageline = environment.stageline
    made = httpx.post(f"{stageline.url}/graphql/session", headers={"authorization": f"Bearer {stageline.token}"})
    assert made.is_success
    cookie = made.headers["set-cookie"]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "path=/graphql", "samesite=strict"}
    kept = {"cookie": cookie.partition(";")[0]}
    with httpx.Client(base_url=stageline.url, timeout=PATIENCE, trust_env=False) as client:
        params = {"query": EVENTS, "variables": json.dumps({"environment": environment.id})}
        streaming = {"accept": "text/event-stream"} | kept
        with client.stream("GET", "/graphql", params=params, headers=streaming) as answer:
            (event,) = islice(_events(answer.iter_lines()), 1)
            assert event["event"] == "next"
        for refused in (
            client.get("/graphql", params={"query": "{ __typename }"}, headers=kept),
            client.post("/graphql", json={"query": "{ __typename }"}, headers=kept),
            client.post("/graphql", json={"query": EVENTS}, headers=streaming),
            client.post("/graphql/session", headers=kept),
        ):
            assert refused.status_code == 401


def test_a_stream_needs_a_valid_token(stageline: Stageline) -> None:
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"cookie": f"{COOKIE}=nonsense"}):
        params = {"query": "subscription { __typename }"}
        answer = stageline.send("GET", params=params, headers={"accept": "text/event-stream"} | headers)
        assert answer.status_code == 401


def test_when_too_many_streams_wait_the_next_client_is_told_to_reconnect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WAITING", 0)
    with stream(environment.stageline, EVENTS, {"environment": environment.id}) as events:
        (end,) = list(events)
    assert end.keys() == {"retry"}
    assert 1000 <= int(end["retry"]) <= 10_000


def test_a_temporary_error_ends_a_stream_so_that_its_client_reconnects(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is too far behind: the replay has dropped its position."""
    monkeypatch.setattr(broadcast, "ENTRIES", 2)
    change(environment, 6)
    variables = {"environment": environment.id}
    events = environment.events()
    with stream(environment.stageline, EVENTS, variables | {"after": events[-2]["cursor"]}) as live:
        next(live)
        with stream(environment.stageline, EVENTS, variables) as replayed:
            assert len(list(islice(replayed, len(events)))) == len(events)
        monkeypatch.setattr(hub, "BEHIND", 0)
        with stream(environment.stageline, EVENTS, variables) as refused:
            error, end = refused
    (told,) = json.loads(error["data"])["errors"]
    assert told["extensions"]["code"] == "TOO_MANY_BEHIND"
    assert end.keys() == {"retry"}


def test_an_unreachable_database_ends_a_stream_so_that_its_client_reconnects(own: Stageline) -> None:
    following = {"environment": Environment(own).id}
    own.query("projects")  # so that the read models have caught up
    with closing(sqlite3.connect(own.data / "views.db")) as views, views:
        views.execute("DROP TABLE rows")
    listed = "subscription ($environment: ID!) { deployments(environment: $environment) { pageInfo { hasNextPage } } }"
    with stream(own, listed, following) as events:
        error, end = islice(events, 2)
    (told,) = json.loads(error["data"])["errors"]
    assert told["extensions"]["code"] == "UNAVAILABLE"
    assert end.keys() == {"retry"}


@pytest.mark.long
def test_the_connection_of_a_vanished_client_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's machine is gone: it acknowledges nothing and sends nothing."""
    assert sse.KEEP_ALIVE + server_http.UNACKNOWLEDGED / 1000 < 30
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(server_http, "UNACKNOWLEDGED", 300)
    monkeypatch.setattr(admission, "CONNECTIONS", 1)
    with served(tmp_path) as stageline, socket.create_connection(("127.0.0.1", urlsplit(stageline.url).port)) as gone:
        environment = Environment(stageline)
        asked = {"query": EVENTS, "variables": {"environment": environment.id}}
        body = json.dumps(asked).encode()
        gone.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (stageline.token.encode(), len(body), body)
        )
        assert gone.recv(12) == b"HTTP/1.1 200"
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {stageline.token}"}
        assert stageline.send(json={"query": "{ __typename }"}, headers=headers).status_code == 503
        _deafen(gone)
        deadline = time.monotonic() + PATIENCE
        while stageline.send(json={"query": "{ __typename }"}, headers=headers).status_code == 503:
            assert time.monotonic() < deadline, "its place was never given to another"


def _deafen(connection: socket.socket) -> None:
    """Have the system drop all packets for *connection* unacknowledged, by a socket filter that takes 0 bytes."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop)))


def test_a_stopping_server_tells_each_client_another_time_to_reconnect(own: Stageline) -> None:
    environment = Environment(own)
    after = {"environment": environment.id, "after": environment.pipeline["cursor"]}
    with ExitStack() as stack:
        streams = [stack.enter_context(stream(own, EVENTS, after)) for _ in range(4)]
        sockets = [stack.enter_context(own.socket()) for _ in range(4)]
        change(environment, 1)
        assert len({next(each)["id"] for each in streams}) == 1
        own.stop()
        ends = [list(each) for each in streams]
        ended = [closed(each) for each in sockets]
    retries = [int(end["retry"]) for (end,) in ends]
    assert all(sse.RETRY[0] <= each <= sse.RETRY[1] for each in retries)
    assert {code for code, _ in ended} == {1012}
    assert all(reason.startswith("Restarting: retry after ") for _, reason in ended)
    assert len(set(retries)) > 1
    assert len({reason for _, reason in ended}) > 1


def test_a_stopping_server_finishes_a_mutation(own: Stageline, monkeypatch: pytest.MonkeyPatch) -> None:
    released, stopping = threading.Event(), threading.Thread(target=own.stop)

    async def held(_: str) -> None:
        await asyncio.to_thread(released.wait)

    monkeypatch.setattr(schema.documents, "ready", held)
    with stream(own, document("mutation", "createProject", "name"), {"name": "Shop"}) as events:
        stopping.start()
        while own.is_reachable():
            time.sleep(0.01)
        released.set()
        made, end = events
    stopping.join()
    assert json.loads(made["data"])["data"]["createProject"]["project"]["name"] == "Shop"
    assert end == COMPLETE
