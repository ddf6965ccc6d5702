"""Many graphql-transport-ws clients in one process, as cheap as can be: frames are found in the bytes, JSON is not."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

QUERY = """
subscription Events($deployment: ID!, $after: String) {
  deploymentEvents(deployment: $deployment, after: $after) {
    id cursor logPosition version deploymentEventType recordedAt actor { id } origin reason message
    stage { stageId name } service { serviceId name type } phase attempt failureReason ports
  }
}
"""
MASK = b"\0\0\0\0"


class Tally:
    """The delays of the events of all subscribers of a run, in milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.faults: list[str] = []
        self.waits = False
        self._at: dict[bytes, float] = {}

    def add(self, stamp: bytes, now: float) -> None:
        at = self._at.get(stamp)
        if at is None:
            at = self._at[stamp] = datetime.fromisoformat(stamp.decode()).timestamp()
        self.late.append((now - at) * 1000)

    def percentile(self, share: float) -> float:
        return sorted(self.late)[min(len(self.late) - 1, int(len(self.late) * share))]


class Subscriber(asyncio.Protocol):
    """Connects, subscribes to *variables*, and checks that each position is the one after the one before."""

    def __init__(self, tally: Tally, port: int, token: str, variables: dict[str, Any]) -> None:
        self.position: int | None = None
        self.after: str | None = variables.get("after")
        self.cursor: str | None = self.after
        self.count = 0
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tally, self._port, self._token, self._variables = tally, port, token, variables
        self._rest = b""
        self._is_open = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(handshake(self._port))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._is_open:
            _, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = data
                return
            data = rest
            self.transport.write(init(self._token))
            self._is_open = True
        start, now = 0, time.time()
        while len(data) - start >= 2:
            head, length, begin = data[start], data[start + 1], start + 2
            if length == 126:
                length, begin = int.from_bytes(data[begin : begin + 2]), begin + 2
            if len(data) < begin + length:
                break
            start = begin + length
            self._frame(head, data[begin:start], now)
        self._rest = data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError(f"closed after {self._rest!r}"))

    def _frame(self, head: int, body: bytes, now: float) -> None:
        if head == 0x89:
            self.transport.write(bytes((0x8A, 0x80 | len(body))) + MASK + body)
        elif head == 0x88:
            self._tally.faults.append(f"closed: {body!r}")
        elif b'"type":"connection_ack"' in body:
            self.transport.write(subscribe(self._variables))
            if self._tally.waits and not self.begun.done():
                self.begun.set_result(None)
        elif b'"recordedAt":"' in body:
            self._next(body, now)
        else:
            self._tally.faults.append(body.decode())

    def _next(self, body: bytes, now: float) -> None:
        place = body.index(b'"logPosition":') + 14
        position = int(body[place : body.index(b",", place)])
        if self.position is not None and position != self.position + 1:
            self._tally.faults.append(f"position {position} after {self.position}")
        self.position = position
        self.count += 1
        stamp = body.index(b'"recordedAt":"') + 14
        self._tally.add(body[stamp : body.index(b'"', stamp)], now)
        place = body.index(b'"cursor":"') + 10
        self.cursor = body[place : body.index(b'"', place)].decode()
        if not self.begun.done():
            self.begun.set_result(None)


def handshake(port: int) -> bytes:
    """Opens a WebSocket; what is sent before the answer may be lost."""
    return (
        b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n" % port
    )


def init(token: str) -> bytes:
    return frame({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})


def subscribe(variables: dict[str, Any]) -> bytes:
    payload = {"query": QUERY, "variables": variables}
    return frame({"id": str(uuid4()), "type": "subscribe", "payload": payload})


def frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    size = len(body)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + MASK + body
