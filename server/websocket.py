"""
WebSockets of uvicorn, with limits and with fast writes.

- Text frames can be written as bytes, without a coroutine for each. The many followers of one stream get their frames
  this way (see `endpoint.http.websocket.Frames`).
- A connection is cut at once when the client misses a ping, even if data for it is still unsent.
- When the server stops, each client gets another random time for its reconnection.
- Frames are parsed in slices, so that a long message does not hold up other connections. A client that sends too much
  is read more slowly. Before a valid token, a connection may send only a few frames.

The private names of uvicorn that are used here were read from uvicorn 0.54.
"""

import logging
import random
import time
from asyncio import BaseTransport, TimerHandle
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from endpoint.http.admission import CONNECTION
from server.connection import Connections

PING = 12.0
"""Time between two pings, and maximum time for a pong, in seconds; a lost client is found within twice this time."""

RETRY = 1.0, 10.0
"""Shortest and longest time until a client should reconnect after the server stops, in seconds."""

RESTARTING = 1012
"""Close code for a service restart, from the registry of RFC 6455."""

SLICE = 4096
"""Number of bytes that are parsed without a pause: up to 680 small frames, which take a few milliseconds."""

MAX_FRAMES = 1000
"""Maximum number of frames that are read from a connection in a second, with pings and pongs."""

MAX_BYTES = 8 * 1024 * 1024
"""Maximum number of bytes that are read from a connection in a second."""

MAX_FRAGMENTS = 1000
"""Maximum number of frames of a message."""

MAX_GUEST_FRAMES = 32
"""Maximum number of frames on a connection without a valid token."""

MAX_GUEST_MESSAGE = 16 * 1024
"""Maximum length of a message on a connection without a valid token, in bytes."""

MAX_ORIGIN = 100
"""Maximum length of an origin in the log, in characters."""

SECOND = 1.0
"""Interval in which frames and bytes are counted, in seconds."""


class Framing(ServerProtocol):
    """The framing of a WebSocket, which counts incoming frames and closes the connection beyond a limit."""

    is_guest = True
    frames = 0
    _fragments = 0

    def recv_frame(self, frame: Frame) -> None:
        self.frames += 1
        if self.is_guest and self.frames > MAX_GUEST_FRAMES:
            self._refuse(f"too many frames without a token; at most {MAX_GUEST_FRAMES} are allowed")
        if frame.opcode is Opcode.CONT:
            self._fragments += 1
            if self._fragments >= MAX_FRAGMENTS:
                self._refuse(f"too many fragments; at most {MAX_FRAGMENTS} are allowed")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._fragments = 0
        super().recv_frame(frame)

    def _refuse(self, reason: str) -> None:
        self.fail(CloseCode.POLICY_VIOLATION, reason)
        raise ProtocolError(reason)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket of uvicorn with limits."""

    _unparsed = b""
    _is_scheduled = False
    _since = 0.0
    _bytes = 0
    _frames = 0
    _later: TimerHandle | None = None

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._connections = cast("Connections", server_state)
        self._max_size = config.ws_max_size
        self.conn = Framing(max_size=min(MAX_GUEST_MESSAGE, self._max_size), logger=logging.getLogger("uvicorn.error"))

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        self._unparsed = b""
        if self._later is not None:
            self._later.cancel()
        super().connection_lost(exc)
        self.conn.parser.close()  # the parser is a generator that refers to itself
        self.conn.parser_exc = None  # its traceback refers to the parser

    is_idle = False

    def admit(self) -> None:
        """Record that a valid token came over this connection, and lift the limits of guests."""
        protocol = cast("Framing", self.conn)
        protocol.is_guest = False
        protocol.max_message_size = self._max_size
        self._connections.admit(self)

    def abort(self) -> None:
        self.transport.abort()

    def expire(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._parse(data)
            if not self.handshake_initiated:
                self._refuse_handshake()
            return
        if not self._unparsed and len(data) <= SLICE and self._is_within_rate(len(data)):
            self._parse(data)
            return
        self._unparsed += data
        self._pause()
        self._schedule()

    def _parse(self, data: bytes) -> None:
        protocol = cast("Framing", self.conn)
        before = protocol.frames
        super().data_received(data)
        self._frames += protocol.frames - before

    def _is_within_rate(self, size: int) -> bool:
        """Count *size* bytes; return whether the client is within its rate. The excess counts for the next second."""
        now = time.monotonic()
        passed = now - self._since
        if passed >= SECOND:
            self._since = now
            self._frames = max(0, int(self._frames - passed * MAX_FRAMES))
            self._bytes = max(0, int(self._bytes - passed * MAX_BYTES))
        self._bytes += size
        return self._frames < MAX_FRAMES and self._bytes < MAX_BYTES

    def _pause(self) -> None:
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def _schedule(self, delay: float = 0.0) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._later = self.loop.call_later(delay, self._parse_next) if delay else None
            if not delay:
                self.loop.call_soon(self._parse_next)

    def _parse_next(self) -> None:
        """Parse the next slice after the application has received the messages of the last one."""
        self._is_scheduled = False
        if self.disconnected or self.transport.is_closing():
            self._unparsed = b""
            return
        if not self.queue.empty() and not self.close_sent:
            return  # `receive` schedules this again
        piece = self._unparsed[:SLICE]
        if not self._is_within_rate(len(piece)):
            self._bytes -= len(piece)
            self._schedule(max(0.001, self._since + SECOND - time.monotonic()))
            return
        self._unparsed = self._unparsed[SLICE:]
        if piece:
            self._parse(piece)
        if self._unparsed:
            self._schedule()
        elif self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            if self._unparsed:
                self._schedule()
            else:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self.close_sent:  # after a fault of the client, or by another task
            raise ClientDisconnected
        if message["type"] == "websocket.close" and not self.handshake_complete:
            origin = dict(self.scope["headers"]).get(b"origin", b"").decode("latin-1")[:MAX_ORIGIN]
            self._connections.incidents.report(
                self, f"The WebSocket's origin {origin!r} is not allowed; allow it with --allow-origin"
            )
        await super().send(message)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as fault:
                self.frames = []
                self.conn.fail(CloseCode.INVALID_DATA, f"{fault.reason} at position {fault.start}")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the client does not read the earlier pongs either

    def handle_parser_exception(self) -> None:
        closing = self.conn.close_sent
        if closing is None or self.close_sent:
            self.transport.abort()
            return
        self._connections.incidents.report(
            self, f"The WebSocket was closed with {closing.code}: {closing.reason or 'no reason'}"
        )
        super().handle_parser_exception()

    def _refuse_handshake(self) -> None:
        """Answer a handshake that `websockets` could not parse; uvicorn would keep the connection open."""
        self._connections.incidents.report(self, "The WebSocket's handshake is invalid")
        self.handshake_complete = self.close_sent = True
        answer = b"".join(self.conn.data_to_send())
        text = b"The WebSocket's handshake is invalid."
        self.transport.write(
            answer
            or b"%scontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[HTTPStatus.BAD_REQUEST], len(text), text)
        )
        self.transport.close()

    async def run_asgi(self) -> None:
        extensions = cast("dict[str, object]", self.scope["extensions"])
        extensions["stageline.frames"] = extensions[CONNECTION] = self
        try:
            await super().run_asgi()
        finally:
            extensions.clear()  # breaks a reference cycle

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return self.handshake_complete and not (self.disconnected or self.close_sent or self.transport.is_closing())

    def write_text(self, text: bytes) -> bool:
        """Write a text frame (RFC 6455, 5.2) if the connection is open; return whether the client reads fast enough."""
        if not self.is_open:
            return False
        size = len(text)
        if size < 126:
            header = bytes((0x81, size))
        elif size < 65536:
            header = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            header = b"\x81\x7f" + size.to_bytes(8, "big")
        self.transport.write(header + text)
        return self.writable.is_set()

    async def drained(self) -> None:
        """Wait until the client has read enough; raise `ClientDisconnected` when it is gone."""
        await self.writable.wait()
        if not self.is_open:
            raise ClientDisconnected

    def keepalive_timeout(self) -> None:
        """Cut the connection without a close frame.

        uvicorn would send the close code 1011. A client that was only asleep would read it on waking, and graphql-ws
        does not reconnect after 1011.
        """
        self.stop_keepalive()
        self.transport.abort()

    def shutdown(self) -> None:
        if not self.is_open:
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTARTING})
        self.conn.send_close(RESTARTING, f"Restarting: retry after {random.uniform(*RETRY):.1f} s")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
