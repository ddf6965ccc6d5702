"""
WebSockets as uvicorn serves them, and what it leaves open.

- Text frames are written as bytes that are ready, without a coroutine for each: this is what many followers of one
  stream are sent by (see `endpoint.http.websocket.Frames`).
- A client that is gone without a word is let go of at once when it misses a ping, whatever is still to be sent to it.
- Whoever is connected when the server stops is told when to come back, each at another time.
- Frames are parsed in slices, and between two slices others have their turn. Who sends more than its share is read more
  slowly. Until a good token came, a connection may only send what it needs to show one.

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
"""Seconds between pings, and that an answer may take: who is gone is found within twice as many."""

RETRY = 1.0, 10.0
"""Seconds between which clients are asked to come back when the server stops."""

RESTARTING = 1012
"""RFC 6455's registry of close codes: the service restarts."""

SLICE = 4096
"""Bytes that are parsed before others have their turn: 680 of the smallest frames, some milliseconds."""

MAX_FRAMES = 1000
"""Maximum number of frames, pings and pongs among them, that are read of a connection in a second."""

MAX_BYTES = 8 * 1024 * 1024
"""Maximum number of bytes that are read of a connection in a second."""

MAX_FRAGMENTS = 1000
"""Maximum number of frames that a message may come in."""

MAX_GUEST_FRAMES = 32
"""Maximum number of frames of a connection over which no good token came."""

MAX_GUEST_MESSAGE = 16 * 1024
"""Maximum length of a message before a good token came, in bytes."""

MAX_ORIGIN = 100
"""Maximum length of an origin in the log, in characters."""

SECOND = 1.0


class Framing(ServerProtocol):
    """Counts the frames that come in, and closes the connection when they are too many."""

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

    def _refuse(self, why: str) -> None:
        self.fail(CloseCode.POLICY_VIOLATION, why)
        raise ProtocolError(why)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    _held = b""  # what is still to be parsed
    _is_scheduled = False
    _since = 0.0
    _bytes = 0
    _frames = 0
    _later: TimerHandle | None = None

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._open = cast("Connections", server_state)
        self._most = config.ws_max_size
        self.conn = Framing(max_size=min(MAX_GUEST_MESSAGE, self._most), logger=logging.getLogger("uvicorn.error"))

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._open.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.leave(self)
        self._held = b""
        if self._later is not None:
            self._later.cancel()
        super().connection_lost(exc)
        self.conn.parser.close()  # or it would hold on to itself

    is_idle = False

    def let_in(self) -> None:
        """A good token came over this connection."""
        protocol = cast("Framing", self.conn)
        protocol.is_guest = False
        protocol.max_message_size = self._most
        self._open.let_in(self)

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
        if not self._held and len(data) <= SLICE and self._may_go_on(len(data)):
            self._parse(data)
            return
        self._held += data
        self._pause()
        self._schedule()

    def _parse(self, data: bytes) -> None:
        protocol = cast("Framing", self.conn)
        before = protocol.frames
        super().data_received(data)
        self._frames += protocol.frames - before

    def _may_go_on(self, size: int) -> bool:
        """Whether it has not sent more than its share; what goes beyond counts for the next seconds."""
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
            self._later = self.loop.call_later(delay, self._go_on) if delay else None
            if not delay:
                self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Parse another slice, when the application has taken the messages of the last one."""
        self._is_scheduled = False
        if self.disconnected or self.transport.is_closing():
            self._held = b""
            return
        if not self.queue.empty() and not self.close_sent:
            return  # `receive` comes back to it
        piece = self._held[:SLICE]
        if not self._may_go_on(len(piece)):
            self._bytes -= len(piece)
            self._schedule(max(0.001, self._since + SECOND - time.monotonic()))
            return
        self._held = self._held[SLICE:]
        if piece:
            self._parse(piece)
        if self._held:
            self._schedule()
        elif self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            if self._held:
                self._schedule()
            else:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self.close_sent:  # by the client's fault, or by another task; there is nobody to be told anything
            raise ClientDisconnected
        if message["type"] == "websocket.close" and not self.handshake_complete:
            origin = dict(self.scope["headers"]).get(b"origin", b"").decode("latin-1")[:MAX_ORIGIN]
            self._open.incidents.report(
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
            self.conn.data_to_send()  # nobody reads the answers to the pings before either

    def handle_parser_exception(self) -> None:
        closing = self.conn.close_sent
        if closing is None or self.close_sent:
            self.transport.abort()
            return
        self._open.incidents.report(
            self, f"The WebSocket was closed with {closing.code}: {closing.reason or 'no reason'}"
        )
        super().handle_parser_exception()

    def _refuse_handshake(self) -> None:
        """Answer a handshake that `websockets` could not read; uvicorn would keep the connection open."""
        self._open.incidents.report(self, "The WebSocket's handshake is invalid")
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
            extensions.clear()  # or it would hold on to itself

    @property
    def is_open(self) -> bool:
        return self.handshake_complete and not (self.disconnected or self.close_sent or self.transport.is_closing())

    def write_text(self, text: bytes) -> bool:
        """Writes a text frame (RFC 6455, 5.2), if the connection is open; whether the client takes more."""
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
        """Returns when the client takes more; raises `ClientDisconnected` when it is gone."""
        await self.writable.wait()
        if not self.is_open:
            raise ClientDisconnected

    def keepalive_timeout(self) -> None:
        """Cuts the connection without a close frame.

        uvicorn would send 1011, and a client that only slept would find that when it wakes up: graphql-ws takes it for
        the end, and doesn't come back.
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
