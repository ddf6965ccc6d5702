"""graphql-transport-ws: authentication, errors of operations, and the reasons to close a connection."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation
from websockets.exceptions import ConnectionClosed, InvalidStatus

from endpoint.execution import limits
from endpoint.http import admission, view
from endpoint.http.websocket import SocketHandler
from endpoint.identity import MISSING, UNKNOWN
from gql.context import Context
from gql.schema import schema
from server import main, websocket
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, Data, Socket, Stageline, document, served

LIVE = document("subscription", "pipelineEvents", "environment")
CREATE_STAGE = 'mutation ($environment: ID!) { createStage(environment: $environment, name: "New") { __typename } }'


def closed(socket: Socket) -> tuple[int, str]:
    """Return the code and the reason with which the server closes the connection, without a message before."""
    with pytest.raises(ConnectionClosed) as ended:
        socket.receive()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def _follow(socket: Socket, id_: str, environment: Environment) -> None:
    """Subscribe, and receive the events so far."""
    socket.subscribe(id_, LIVE, environment=environment.id)
    for _ in environment.events():
        assert socket.receive()["type"] == "next"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({}, MISSING),
        ({"payload": None}, MISSING),
        ({"payload": {}}, MISSING),
        ({"payload": {"authorization": None}}, MISSING),
        ({"payload": {"authorization": "Bearer nonsense"}}, UNKNOWN),
        ({"payload": {"authorization": ["Bearer"]}}, MISSING),
        ({"payload": {"authorization": "{token}"}}, MISSING),
    ],
)
def test_a_connection_needs_a_valid_token(stageline: Stageline, payload: Data, why: str) -> None:
    with stageline.open() as socket:
        socket.send({"type": "connection_init", **payload})
        assert closed(socket) == (4403, why)


def test_the_case_of_the_token_parameter_does_not_matter(stageline: Stageline) -> None:
    with stageline.open() as socket:
        socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {stageline.token}"}})
        assert socket.receive()["type"] == "connection_ack"


@pytest.mark.parametrize(
    ("payload", "origin"),
    [({"origin": "CLI"}, "CLI"), ({"Origin": "cli"}, "CLI"), ({"origin": "CONSOLE"}, "API"), ({"origin": 1}, "API")],
)
def test_connection_init_says_the_origin_of_changes(environment: Environment, payload: Data, origin: str) -> None:
    """The console has a session: see `tests.server.test_sessions`."""
    stageline = environment.stageline
    with stageline.open() as socket:
        token = {"authorization": f"Bearer {stageline.token}"}
        socket.send({"type": "connection_init", "payload": token | payload})
        assert socket.receive()["type"] == "connection_ack"
        socket.subscribe("1", CREATE_STAGE, environment=environment.id)
        assert socket.receive()["payload"] == {"data": {"createStage": {"__typename": "PipelinePayload"}}}
    assert environment.events()[-1]["origin"] == origin


def test_a_connection_without_connection_init_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta() < view.INIT_TIMEOUT <= timedelta(seconds=10)
    monkeypatch.setattr(view, "INIT_TIMEOUT", timedelta(milliseconds=10))
    with served(tmp_path) as hasty, hasty.open() as socket:
        assert closed(socket) == (4408, "Connection initialisation timeout")


def test_no_operation_is_executed_before_authentication(stageline: Stageline) -> None:
    before = stageline.position
    with stageline.open() as socket:
        socket.subscribe("1", 'mutation { createProject(name: "Nobody’s") { __typename } }')
        assert closed(socket) == (4401, "Unauthorized")
    assert stageline.position == before


def test_a_connection_is_initialised_once(stageline: Stageline) -> None:
    with stageline.socket() as socket:
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {stageline.token}"}})
        assert closed(socket) == (4429, "Too many initialisation requests")


def test_an_id_belongs_to_one_operation_until_its_end(environment: Environment) -> None:
    with environment.stageline.socket() as socket:
        for _ in range(2):
            socket.subscribe("1", "{ __typename }")
            assert [socket.receive()["type"], socket.receive()["type"]] == ["next", "complete"]
        _follow(socket, "1", environment)
        socket.subscribe("1", "{ __typename }")
        assert closed(socket) == (4409, "Subscriber for 1 already exists")


def test_a_close_reason_fits_its_frame(environment: Environment) -> None:
    with environment.stageline.socket() as socket:
        _follow(socket, "1" * 200, environment)
        socket.subscribe("1" * 200, "{ __typename }")
        assert closed(socket) == (4409, f"Subscriber for {'1' * 108}")


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "",
        '{"type": "ping"',
        b'{"type": "ping"}',
        "[" * 20_000,
        5,
        None,
        [],
        ["subscribe"],
        {},
        {"type": None},
        {"type": "start", "id": "1", "payload": {"query": "{ __typename }"}},
        {"type": "x" * 1000},
        {"type": "subscribe"},
        {"type": "subscribe", "id": "1"},
        {"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}},
        {"type": "subscribe", "id": ["1"], "payload": {"query": "{ __typename }"}},
        {"type": "subscribe", "id": "1", "payload": "{ __typename }"},
        {"type": "subscribe", "id": "1", "payload": {}},
        {"type": "subscribe", "id": "1", "payload": {"query": None}},
        {"type": "subscribe", "id": "1", "payload": {"query": ""}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": 1}},
        {"type": "complete"},
        {"type": "complete", "id": "1" * 257},
        {"type": "subscribe", "id": "1" * 257, "payload": {"query": "{ __typename }"}},
        {"type": "connection_init", "payload": "x"},
    ],
)
def test_an_invalid_message_closes_the_connection(
    stageline: Stageline, message: object, caplog: pytest.LogCaptureFixture
) -> None:
    with stageline.socket() as socket:
        socket.send(message)
        code, reason = closed(socket)
    assert code == 4400
    assert "message" in reason
    assert caplog.records == []


def test_the_limit_that_a_message_exceeds_is_named(stageline: Stageline) -> None:
    with stageline.socket() as socket:
        socket.send("[" + "1," * limits.MAX_MARKS + "1]")
        assert closed(socket) == (4400, limits.TOO_MANY_MARKS)
    with stageline.socket() as socket:
        asked = {"query": "{ __typename }", "operationName": "x" * (limits.MAX_NAME + 1)}
        socket.send({"type": "subscribe", "id": "1", "payload": asked})
        code, reason = closed(socket)
    assert (code, f"<= {limits.MAX_NAME}" in reason) == (4400, True)


async def test_nothing_is_sent_for_an_operation_that_its_client_has_completed() -> None:
    nobody: Any = None
    handler = SocketHandler(nobody, nobody, nobody, None, nobody, timedelta(seconds=1))
    operation = Operation(handler, "1", "{ __typename }", None, None)
    operation.task = asyncio.create_task(asyncio.Event().wait())
    handler.operations["1"] = operation
    await handler.cleanup_operation("1")
    await operation.send_operation_message({"id": "1", "type": "complete"})


def test_a_ping_is_answered_before_connection_init(stageline: Stageline) -> None:
    with stageline.open() as socket:
        for ping in ({"type": "ping"}, {"type": "ping", "payload": {"at": 1}}):
            socket.send(ping)
            socket.send({"type": "pong"})
            assert socket.receive() == {"type": "pong"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{ nonsense", "Syntax Error: Expected Name, found <EOF>."),
        ("{ nonsense }", "Cannot query field 'nonsense' on type 'Query'."),
        ("query A { __typename } query B { __typename }", "Must provide operation name"),
        ("fragment F on Query { __typename }", "Can't get GraphQL operation type"),
        (LIVE, "Variable '$environment' has invalid value: Expected a value of non-null type 'ID!' to be"),
    ],
)
def test_an_error_of_one_operation_leaves_the_others_running(
    environment: Environment, wrong: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with environment.stageline.socket() as socket:
        _follow(socket, "live", environment)
        socket.subscribe("wrong", wrong)
        answer = socket.receive()
        assert (answer["type"], answer["id"]) == ("error", "wrong")
        assert [error["message"].startswith(message) for error in answer["payload"]] == [True], answer
        environment.do("createStage", name="Checks")
        assert socket.receive()["id"] == "live"
    assert caplog.records == []


def test_an_operation_is_chosen_by_its_name(stageline: Stageline) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    with stageline.socket() as socket:
        socket.send({"id": "1", "type": "subscribe", "payload": {"query": query, "operationName": "B"}})
        assert socket.receive()["payload"] == {"data": {"b": "Query"}}
        assert socket.receive() == {"id": "1", "type": "complete"}
        socket.send({"id": "2", "type": "subscribe", "payload": {"query": query, "operationName": "C"}})
        answer = socket.receive()
        assert (answer["type"], answer["payload"]) == ("error", [{"message": 'Unknown operation named "C".'}])


def test_queries_and_mutations_are_answered_like_over_http(environment: Environment) -> None:
    with environment.stageline.socket() as socket:
        socket.subscribe("1", document("query", "pipeline", "environment"), environment=environment.id)
        assert socket.receive()["payload"]["data"]["pipeline"] == environment.pipeline
        assert socket.receive()["type"] == "complete"
        name = {"environment": environment.id, "name": "Checks"}
        socket.subscribe("2", document("mutation", "createStage", *name), **name)
        made = socket.receive()["payload"]["data"]["createStage"]
        assert (made["__typename"], made["changed"]) == ("PipelinePayload", True)
        assert made["pipeline"] == environment.pipeline


def test_many_subscriptions_share_a_connection_and_end_one_by_one(environment: Environment) -> None:
    with environment.stageline.socket() as socket:
        for id_ in ("a", "b"):
            _follow(socket, id_, environment)
        environment.do("createStage", name="Checks")
        assert {socket.receive()["id"], socket.receive()["id"]} == {"a", "b"}
        socket.send({"id": "a", "type": "complete"})
        socket.send({"id": "nobody", "type": "complete"})
        socket.send({"type": "ping"})
        assert socket.receive()["type"] == "pong"
        environment.do("createStage", name="More checks")
        assert socket.receive()["id"] == "b"
        environment.do("deleteEnvironment")
        last, complete = socket.receive(), socket.receive()
        assert last["payload"]["data"]["pipelineEvents"]["pipelineEventType"] == "ENVIRONMENT_DELETED"
        assert complete == {"id": "b", "type": "complete"}


def test_the_number_of_operations_of_a_connection_is_limited(environment: Environment) -> None:
    document_ = document("subscription", "pipelineEvents", "environment")
    count = len(environment.events())
    with environment.stageline.socket() as socket:
        for number in range(view.MAX_OPERATIONS):
            socket.subscribe(str(number), document_, environment=environment.id)
        for _ in range(view.MAX_OPERATIONS * count):
            assert socket.receive()["type"] == "next"
        socket.subscribe("one more", document_, environment=environment.id)
        error = {
            "message": "Too many operations on this connection; at most 100 are allowed. Complete one, or open another "
            "connection.",
            "extensions": {"code": "TOO_MANY_OPERATIONS", "limit": view.MAX_OPERATIONS},
        }
        assert socket.receive() == {"id": "one more", "type": "error", "payload": [error]}


def test_a_fault_before_the_first_payload_leaves_the_other_operations_running(
    stageline: Stageline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with stageline.socket() as socket:
        monkeypatch.setattr(schema.documents, "ready", stumble)
        socket.subscribe("1", "{ cursor }")
        message = socket.receive()
        assert (message["id"], message["type"]) == ("1", "error")
        assert [error["extensions"] for error in message["payload"]] == [{"code": "INTERNAL"}]
        assert "ZeroDivisionError" in caplog.text
        monkeypatch.undo()
        socket.subscribe("1", "{ cursor }")
        assert socket.receive()["type"] == "next"


async def stumble(query: str) -> None:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("protocol", ["graphql-ws", "graphql-sse", "mqtt"])
def test_another_protocol_is_refused(stageline: Stageline, protocol: str) -> None:
    with stageline.open(protocol) as socket:
        assert socket.connection.subprotocol is None
        assert closed(socket) == (4406, "Subprotocol not acceptable")


@pytest.mark.parametrize(
    "origin",
    [
        lambda url: "http://elsewhere.example",
        lambda url: url.replace("http", "https") + "0",
        lambda url: url.replace("127.0.0.1", "localhost"),
        lambda url: "null",
    ],
)
def test_a_page_of_another_origin_is_refused(stageline: Stageline, origin: Callable[[str], str]) -> None:
    with pytest.raises(InvalidStatus) as refused, stageline.open(origin=origin(stageline.url)):
        pass
    assert refused.value.response.status_code == 403


def test_a_page_of_the_own_origin_is_accepted(stageline: Stageline) -> None:
    with stageline.open(origin=stageline.url) as socket:
        socket.send({"type": "connection_init", "payload": {"authorization": f"Bearer {stageline.token}"}})
        assert socket.receive()["type"] == "connection_ack"


def test_a_message_has_a_limit(stageline: Stageline) -> None:
    with stageline.socket() as socket:
        socket.subscribe("1", "{ __typename }" + " " * 1024 * 1024)
        code, _ = closed(socket)
    assert code == 1009


def test_a_lost_client_is_not_a_fault(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with environment.stageline.socket() as socket:
        _follow(socket, "1", environment)
        socket.connection.socket.close()
        for number in range(3):
            environment.do("createStage", name=f"Checks {number}")
    with environment.stageline.socket() as another:
        _follow(another, "1", environment)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_operation_cancelled_while_it_loads_a_name_leaves_the_others_theirs() -> None:
    async def names(_: Context, actors: list[str]) -> list[str]:
        return [actor.title() for actor in actors]

    application: Any = None
    context = Context(application=application, identity=None)
    cancelled = asyncio.create_task(context.together(names, "ann"))
    await asyncio.sleep(0)  # the load has started, and has no result yet
    cancelled.cancel()
    await asyncio.wait([cancelled])
    async with asyncio.timeout(PATIENCE):
        assert await context.together(names, "ann") == "Ann"


def test_the_connection_of_a_client_that_answers_no_ping_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may be gone without notice, as behind a router that dropped the connection."""
    assert 2 * websocket.PING < 30
    monkeypatch.setattr(main, "PING", 0.2)
    with served(tmp_path) as stageline, socket.create_connection(_address(stageline)) as gone:
        gone.settimeout(PATIENCE)
        gone.sendall(
            b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        received = b""
        with suppress(ConnectionResetError):
            while piece := gone.recv(65536):
                received += piece
        assert received.startswith(b"HTTP/1.1 101 ")


def _address(stageline: Stageline) -> tuple[str, int]:
    return "127.0.0.1", int(stageline.url.rpartition(":")[2])


def test_when_too_many_connections_are_open_the_next_client_is_told_to_retry(
    own: Stageline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CONNECTIONS", 1)
    with own.socket() as one:
        reasons = set()
        for _ in range(4):
            with own.open() as other:
                other.send({"type": "connection_init", "payload": {"authorization": f"Bearer {own.token}"}})
                code, reason = closed(other)
            assert code == 1013
            assert reason.startswith("Too many connections; at most 1 are allowed: retry after ")
            reasons.add(reason)
        assert len(reasons) > 1  # else all clients would return at once
        one.send({"type": "ping"})
        assert one.receive() == {"type": "pong"}
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {own.token}"}
        refused = own.send(json={"query": "{ __typename }"}, headers=headers)
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 10


def test_when_too_many_connections_wait_the_next_client_is_told_to_retry(
    own: Stageline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WAITING", 0)
    with own.open() as socket_:
        socket_.send({"type": "connection_init", "payload": {"authorization": f"Bearer {own.token}"}})
        code, reason = closed(socket_)
    assert code == 1013
    assert reason.startswith("Too many connections and operations wait; at most 0 are allowed: retry after ")
    monkeypatch.undo()
    with own.socket() as socket_:
        monkeypatch.setattr(admission, "WAITING", 0)
        socket_.subscribe("1", "subscription { nonsense }")
        code, reason = closed(socket_)
    assert code == 1013
    assert reason.startswith("Too many connections and operations wait; at most 0 are allowed: retry after ")
