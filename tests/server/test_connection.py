"""Limits of a client that is not known yet, in bytes and in time: over real sockets."""

import gc
import json
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation
from websockets.exceptions import ConnectionClosed

from endpoint.http import request, view
from server import connection, http, main, websocket
from server.connection import Connections, Incidents
from server.main import IDLE, MAX_MESSAGE
from tests.fuzz.websocket import BINARY, CLOSE, frame, message
from tests.gql.stageline import Socket, Stageline, served
from tests.serving import ROOT, Serving

PATIENCE = 20.0
"""Seconds that the server may take to close a connection."""

OPERATING = " ".join((ROOT / "docs/operating.md").read_text().split())

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)


@pytest.fixture(scope="module")
def stageline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("stageline")) as made:
        yield made


@contextmanager
def connected(stageline: Stageline) -> Iterator[socket.socket]:
    address = "127.0.0.1", int(stageline.url.rpartition(":")[2])
    with socket.create_connection(address, PATIENCE) as made:
        made.settimeout(PATIENCE)
        yield made


def until_closed(client: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def answer(stageline: Stageline, request: bytes) -> tuple[int, str]:
    """The status and the text of the answer to *request*, after which the connection is closed."""
    with connected(stageline) as client:
        with suppress(ConnectionError):
            client.sendall(request)
        received = until_closed(client)
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def good(stageline: Stageline) -> bool:
    headers = {"authorization": f"Bearer {stageline.token}"}
    return stageline.send(json={"query": "{ __typename }"}, headers=headers).status_code == 200


def closed(client: Socket) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as fault:
        for _ in iter(client.receive, None):
            pass
    assert fault.value.rcvd is not None
    return fault.value.rcvd.code, fault.value.rcvd.reason


def get(*lines: bytes, url: bytes = b"/health/live") -> bytes:
    return b"\r\n".join((b"GET " + url + b" HTTP/1.1", b"Host: x", *lines, b"", b""))


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (get(b"X: " + b"a" * 8188), 431, "The request's header has a line of 8,193 bytes; at most 8,192 are allowed."),
        (get(*[b"a: b"] * 100), 431, "The request's header has 101 lines; at most 100 are allowed."),
        (get(*[b"a: b"] * 5000), 431, "The request's header has more than 100 lines; at most 100 are allowed."),
        (
            get(*[b"a: " + b"b" * 8000] * 9),
            431,
            "The request's header has more than 65,536 bytes; at most 65,536 are allowed.",
        ),
        (
            b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
            431,
            "The request's header has more than 65,536 bytes; at most 65,536 are allowed.",
        ),
        (
            get(url=b"/" * 32_769),
            414,
            "The request's address has 32,769 bytes; at most 32,768 are allowed.",
        ),
        (
            HANDSHAKE.replace(b"/graphql", b"/graphql?" + b"a" * 8000) + b"\r\n",
            414,
            "The WebSocket's address has 8,009 bytes; at most 8,000 are allowed.",
        ),
        (b"\x16\x03\x01\x02\x00", 400, "The request is not HTTP."),
        (HANDSHAKE + b"Content-Length: 3\r\n\r\nabc", 400, "The WebSocket's handshake is invalid."),
        (HANDSHAKE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "The WebSocket's handshake is invalid."),
    ],
)
def test_what_goes_beyond_a_limit_is_refused_and_told_which(
    stageline: Stageline, request_: bytes, status: int, message: str
) -> None:
    assert answer(stageline, request_) == (status, message)
    assert good(stageline)


def test_what_is_within_the_limits_is_answered(stageline: Stageline) -> None:
    longest = get(b"X: " + b"a" * 8187, b"Connection: close", *[b"a: b"] * 97)
    assert answer(stageline, longest) == (200, '{"status":"ok"}')
    assert answer(stageline, get(b"Connection: close", url=b"/" * 32_768))[0] == 404


CHUNKED = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n%s\r\n"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"1\r\n \r\n" * 20_001, 413, "The request's body has too many chunks; at most 20,000 are allowed."),
        (
            b"0\r\nX: " + b"a" * 100_000,
            431,
            "The request's header has more than 65,536 bytes; at most 65,536 are allowed.",
        ),
        (
            b"1;" + b"a" * 100_000,
            431,
            "The request's header has more than 65,536 bytes; at most 65,536 are allowed.",
        ),
        (b"0\r\n" + b"a: b\r\n" * 2000, 431, "The request's header has more than 100 lines; at most 100 are allowed."),
    ],
)
def test_what_stands_around_a_body_is_bounded_too(stageline: Stageline, body: bytes, status: int, message: str) -> None:
    known = CHUNKED % (b"Authorization: Bearer " + stageline.token.encode() + b"\r\n")
    with connected(stageline) as client:
        client.sendall(known)
        client.sendall(b"1\r\n{\r\n")
        with suppress(ConnectionError):
            client.sendall(body)
        received = until_closed(client)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.endswith(message.encode())


@pytest.mark.parametrize("path", [b"/health/live", b"/graphql", b"/graphql/session", b"/audit/export", b"/nowhere"])
def test_a_body_that_nobody_reads_is_not_read_for_ever(stageline: Stageline, path: bytes) -> None:
    with connected(stageline) as client:
        client.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 100_000_000:
                client.sendall(b"a" * 65536)
                sent += 65536
        assert until_closed(client).count(b"HTTP/1.1") <= 1
    assert sent < 100_000_000


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(stageline: Stageline) -> None:
    for type_ in (b"application/json", b"application/json; charset=utf-8", b"Application/JSON"):
        with connected(stageline) as client:
            client.sendall(
                b"POST /graphql HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6000000\r\n"
                b"Content-Type: " + type_ + b"\r\nAuthorization: Bearer " + stageline.token.encode() + b"\r\n\r\n"
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_breaks_off_is_not_carried_out(stageline: Stageline) -> None:
    body = json.dumps({"query": 'mutation { createProject(name: "Half") { __typename } }'}).encode()
    with connected(stageline) as client:
        client.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Authorization: Bearer %s\r\nExpect: 100-continue\r\n\r\n" % (len(body) + 1, stageline.token.encode())
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        client.shutdown(socket.SHUT_WR)
        until_closed(client)
    assert stageline.mutate("createProject", name="Half")["name"] == "Half", "the name is free"


PIPELINED = (
    b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    b"\x16\x03",
    HANDSHAKE + b"\r\n",
)


@pytest.mark.parametrize("bad", PIPELINED)
def test_an_answer_comes_though_the_request_behind_it_is_refused(
    stageline: Stageline, caplog: pytest.LogCaptureFixture, bad: bytes
) -> None:
    with connected(stageline) as client:
        client.sendall(asking(stageline) * 2 + bad)
        received = until_closed(client)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b"HTTP/1.1 ") == 2
    assert good(stageline)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def asking(stageline: Stageline) -> bytes:
    body = b'{"query": "{ history(first: 1) { edges { cursor } } }"}'
    return (
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Authorization: Bearer %s\r\n\r\n%s" % (len(body), stageline.token.encode(), body)
    )


def test_so_many_requests_wait_for_the_answers_to_earlier_ones(stageline: Stageline) -> None:
    with connected(stageline) as client:
        client.sendall(get() * 90)
        while client.recv(65536).count(b"HTTP/1.1 200") == 0:
            pass
    with connected(stageline) as client:
        client.sendall(get() * 300)
        received = until_closed(client)
    assert 1 <= received.count(b"HTTP/1.1 200") <= http.MAX_PIPELINED + 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"GET / HTT", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408 "),
        (b"POST /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab", b"HTTP/1.1 405 "),
        (b"POST /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na", b"HTTP/1.1 405 "),
        (get() + b"GET / HT", b"HTTP/1.1 200 "),
    ],
)
def test_a_guest_that_sends_no_whole_request_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    for limit in ("FIRST_BYTE", "GUEST_BODY"):
        monkeypatch.setattr(http, limit, 0.1)
    with served(tmp_path) as hasty, connected(hasty) as client:
        client.sendall(sent)
        assert until_closed(client).startswith(status)


def test_empty_lines_keep_no_connection_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_BYTE", 1.0)
    with served(tmp_path) as hasty, connected(hasty) as client:
        client.sendall(get())
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"\r\n")
        assert until_closed(client) == b""


def test_a_body_with_a_token_may_take_longer_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GUEST_BODY", 0.0)
    monkeypatch.setattr(http, "BODY", 2.0)
    with served(tmp_path) as hasty:
        known = CHUNKED % (b"Authorization: Bearer " + hasty.token.encode() + b"\r\n")
        with connected(hasty) as client:
            client.sendall(known + b"1\r\n{\r\n")
            received = until_closed(client)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert received.endswith(b"The request's body took too long; at most 2 s are allowed.")


def _expect_room(small: Stageline, known: Socket, guests: list[socket.socket]) -> None:
    assert until_closed(guests[0]) == b""  # so the client's own older connection, a guest too, is closed before its use
    assert good(small)
    assert small.send("GET", "/health/live").status_code == 200
    with small.socket() as another:
        another.send({"type": "ping"})
        assert another.receive() == {"type": "pong"}
    known.send({"type": "ping"})
    assert known.receive() == {"type": "pong"}


def test_the_oldest_guest_makes_room_for_whoever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 16)
    with served(tmp_path) as small, small.socket() as known, ExitStack() as stack:
        guests = [stack.enter_context(connected(small)) for _ in range(40)]
        _expect_room(small, known, guests)
    said = [record.getMessage() for record in caplog.records if record.name == "stageline.connections"]
    assert "127.0.0.1: closed to make room: 16 connections are open" in said
    assert len(said) <= connection.LINES + 1


def test_an_address_with_many_guests_closes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 16)

    class Guest:
        is_idle = True

        def __init__(self, address: str) -> None:
            self.client = (address, 1)
            self.is_open = True

        def abort(self) -> None:
            self.is_open = False

        expire = abort

    connections = Connections()
    quiet = Guest("10.0.0.1")
    connections.join(quiet)
    crowd = [Guest(f"2001:db8::{number:x}") for number in range(40)]
    for each in crowd:
        connections.join(each)
    assert quiet.is_open
    assert [each.is_open for each in crowd] == [False] * 25 + [True] * 15
    for each in [quiet, *crowd[25:]]:
        connections.admit(each)
    connections.join(Guest("10.0.0.2"))
    assert not quiet.is_open, "it is idle, and came first"


def test_its_limit_of_open_files_is_raised_and_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_files", lambda: 1024)
    assert connection.capacity() == 1024 - connection.RESERVED_FILES - 128
    assert connection.backlog() == 128
    monkeypatch.undo()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = Serving(tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        raised, _ = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        wanted = connection.MAX_CONNECTIONS + connection.RESERVED_FILES + connection.BACKLOG
        assert raised == (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    finally:
        server.close()


@pytest.mark.parametrize("opcode", [0x89, 0x8A, 0x01])
def test_a_websocket_without_a_token_may_send_a_few_frames_only(stageline: Stageline, opcode: int) -> None:
    with connected(stageline) as client:
        client.sendall(HANDSHAKE + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        following = bytes((opcode, 0x80, 0, 0, 0, 0)) if opcode > 1 else bytes((0, 0x80, 0, 0, 0, 0))
        client.sendall(bytes((opcode, 0x80, 0, 0, 0, 0)) + following * websocket.MAX_GUEST_FRAMES)
        received = until_closed(client)
    assert b"\x03\xf0too many frames without a token; at most 32 are allowed" in received


def test_a_message_of_a_websocket_without_a_token_is_short(stageline: Stageline) -> None:
    with stageline.open() as client:
        client.send({"type": "ping", "payload": {"a": "a" * websocket.MAX_GUEST_MESSAGE}})
        code, reason = closed(client)
    assert (code, "16384" in reason.replace(",", "")) == (1009, True)
    with stageline.socket() as client:
        client.send({"type": "ping", "payload": {"a": "a" * websocket.MAX_GUEST_MESSAGE}})
        assert client.receive() == {"type": "pong"}


def test_a_message_comes_in_so_many_frames(stageline: Stageline) -> None:
    with stageline.socket() as client:
        client.connection.send(["", *[" "] * 500, '{"type": "ping"}'])
        assert client.receive() == {"type": "pong"}
        with suppress(ConnectionClosed):
            client.connection.send(iter([" "] * 2000))
        assert closed(client) == (1008, "too many fragments; at most 1000 are allowed")


def test_who_sends_more_than_its_share_is_read_more_slowly(
    stageline: Stageline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_FRAMES", 20)
    with stageline.socket() as client:
        began = time.monotonic()
        for _ in range(60):
            client.send({"type": "ping"})
        assert [client.receive() for _ in range(60)] == [{"type": "pong"}] * 60
        client.send({"type": "ping"})
        assert client.receive() == {"type": "pong"}
        assert time.monotonic() - began > 1.5


def test_a_long_message_comes_through_in_slices(stageline: Stageline) -> None:
    with stageline.socket() as client:
        for _ in range(3):
            client.send({"type": "ping", "payload": {"a": "a" * (MAX_MESSAGE - 100)}})
            client.send({"type": "ping"})
        assert [client.receive() for _ in range(6)] == [{"type": "pong"}] * 6


def test_what_is_malformed_is_one_line_with_its_address(
    stageline: Stageline, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "stageline")
    monkeypatch.setattr(connection, "MINUTE", 0.0)
    malformed = {
        b"\x81\x82\0\0\0\0\xff\xfe": "The WebSocket was closed with 1007: ",
        b"\x83\x80\0\0\0\0": "The WebSocket was closed with 1002: ",
        b"\x01\x01a": "The WebSocket was closed with 1002: ",
        b"\x80\x80\0\0\0\0": "The WebSocket was closed with 1002: ",
        b"\x88\x81\0\0\0\0a": "The WebSocket was closed with 1002: ",
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0": "The WebSocket was closed with 1009: ",
    }
    for sent, said in malformed.items():
        caplog.clear()
        with connected(stageline) as client:
            client.sendall(HANDSHAKE + b"\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
            client.sendall(sent)
            until_closed(client)
        (record,) = caplog.records
        assert record.getMessage().startswith(f"127.0.0.1: {said}")
        assert record.exc_info is None
    assert good(stageline)


def test_a_refused_origin_is_one_line_with_its_address(
    stageline: Stageline, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MINUTE", 0.0)
    with connected(stageline) as client:
        client.sendall(HANDSHAKE + b"Origin: http://evil.example\r\n\r\n")
        assert until_closed(client).startswith(b"HTTP/1.1 403 ")
    told = "127.0.0.1: The WebSocket's origin 'http://evil.example' is not allowed; allow it with --allow-origin"
    assert [record.getMessage() for record in caplog.records if record.name == "stageline.connections"] == [told]


def test_messages_together_with_a_wrong_one_fail_in_silence(
    stageline: Stageline, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"authorization": f"Bearer {stageline.token}"}
    first, wrong = frame(message("connection_init", payload=known)), (frame(b"\xff"), frame(b"{}"), frame(b"[", BINARY))
    subscribed = [frame(message("subscribe", id=str(n), payload={"query": "{ cursor }"})) for n in range(5)]
    completed = [frame(message("complete", id=str(n))) for n in range(5)]
    closing = frame((1000).to_bytes(2, "big"), CLOSE)
    beginnings = [frame(b"{}"), frame(message("connection_init")), first, first + b"".join(subscribed + completed)]
    for beginning in beginnings:
        for end in (*wrong, closing):
            with connected(stageline) as client:
                client.sendall(HANDSHAKE + b"\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
                client.sendall(beginning + end)
                client.shutdown(socket.SHUT_WR)
                until_closed(client)
    assert good(stageline)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_closed_websocket_is_freed_without_a_collection(stageline: Stageline) -> None:
    def parts() -> int:
        kinds = http.HttpProtocol, websocket.WebSocketProtocol, websocket.Framing, Operation
        return sum(issubclass(type(each), kinds) for each in gc.get_objects())

    with stageline.socket():  # what is made once
        pass
    gc.collect()
    gc.disable()
    try:
        before = parts()
        for _ in range(5):
            with stageline.socket() as client:
                client.subscribe("1", "{ cursor }")
                client.receive()
                assert client.receive()["type"] == "complete"
                client.subscribe("2", "subscription { tokens { edges { cursor } } }")
                assert client.receive()["type"] == "next"
                client.send({"id": "2", "type": "complete"})
            with connected(stageline) as invalid:
                invalid.sendall(HANDSHAKE + b"\r\n")
                assert invalid.recv(65536).startswith(b"HTTP/1.1 101 ")
                invalid.sendall(frame((5).to_bytes(2, "big"), CLOSE))
                until_closed(invalid)
        deadline = time.monotonic() + PATIENCE
        while parts() > before:
            assert time.monotonic() < deadline, f"{parts() - before} parts are left"
            time.sleep(0.05)
    finally:
        gc.enable()


def test_the_log_has_so_many_lines_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        client = ("10.0.0.1", 1)
        is_idle = True

        def abort(self) -> None: ...
        def expire(self) -> None: ...

    incidents = Incidents()
    for _ in range(connection.LINES + 12):
        incidents.report(Client(), "The request is not HTTP.")
    assert [record.getMessage() for record in caplog.records] == [
        "10.0.0.1: The request is not HTTP."
    ] * connection.LINES
    monkeypatch.setattr(connection, "MINUTE", 0.0)
    incidents.sum_up()
    assert caplog.records[-1].getMessage() == "12 more connections were refused or closed within a minute"


def test_the_guide_names_every_limit() -> None:
    for line in (
        f"| the header of a request | {http.MAX_HEADER // 1024} KiB, {http.MAX_HEADERS} lines |",
        f"| one header line | {http.MAX_LINE // 1024} KiB |",
        f"| the address of a request | {http.MAX_URL // 1024} KiB; for a WebSocket {http.MAX_SOCKET_URL:,} bytes |",
        f"| the body of a request | {request.MAX_BODY // 1024**2} MiB;",
        f" {http.MAX_BODY_SENT // 1024**2} MiB with its chunks' framing, {http.MAX_CHUNKS:,} chunks |",
        f"| pipelined requests that wait on a connection | {http.MAX_PIPELINED} |",
        f"| from the first byte to the end of a header | {connection.FIRST_BYTE:.0f} s |",
        f"| time for a body | {connection.GUEST_BODY:.0f} s; with a valid token {connection.BODY:.0f} s |",
        f"| from a WebSocket handshake to `connection_init` | {view.INIT_TIMEOUT.seconds} s |",
        f"| idle time between two requests | {IDLE} s |",
        f"| open connections | {connection.MAX_CONNECTIONS:,}, or fewer if the limit of open files is low |",
        f"| {websocket.MAX_GUEST_FRAMES} frames; {websocket.MAX_GUEST_MESSAGE // 1024} KiB for a message |",
        f"| reading from a WebSocket | {websocket.MAX_FRAMES:,} frames and",
        f" {websocket.MAX_BYTES // 1024**2} MiB a second |",
        f"| a WebSocket message | {main.MAX_MESSAGE // 1024**2} MiB; {websocket.MAX_FRAGMENTS:,} frames |",
        "| the id of an operation | 256 characters |",
        f"| log lines a minute about connections | {connection.LINES} |",
    ):
        assert line in OPERATING, line
