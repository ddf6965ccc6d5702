"""
HTTP connections of uvicorn, with limits for requests and socket options for each connection.

- The size of a request is limited before it is parsed, since httptools buffers a header of any length.
- The time of a request is limited; see `server.connection`.
- The system buffers kilobytes instead of megabytes for a client that does not read. A ping would wait behind them.
- A client that acknowledges nothing for longer than a ping may take is gone. Event streams have no pings, but comments
  that must be acknowledged. On systems without this option, TCP's own timeout ends the connection after minutes.

The private names of uvicorn that are used here were read from uvicorn 0.54.
"""

import socket
from asyncio import Transport
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from endpoint.http.admission import CONNECTION
from endpoint.http.request import MAX_BODY
from server import request_id
from server.connection import BODY, FIRST_BYTE, GUEST_BODY, Connections

MAX_LINE = 8192
"""Maximum length of a header line, in bytes; the same as in `websockets`."""

MAX_HEADERS = 100
"""Maximum number of header lines of a request, and of trailer lines after its body."""

MAX_URL = 32 * 1024
"""Maximum length of a request's address, in bytes."""

MAX_SOCKET_URL = 8000
"""Maximum length of a WebSocket's address, in bytes: `websockets` limits the request line."""

MAX_HEADER = 64 * 1024
"""Maximum length of the header with the request line, and of anything in a body that is not content, in bytes."""

MAX_CHUNKS = 20_000
"""Maximum number of chunks of a body."""

MAX_BODY_SENT = MAX_BODY + 1024 * 1024
"""Maximum length of a body as it is sent, with the framing of its chunks, in bytes."""

MAX_PIPELINED = 100
"""Maximum number of pipelined requests that wait on a connection."""

UNSENT = 64 * 1024
"""Maximum size of the system's buffer of unsent data for a client, in bytes; uvicorn's own buffer is as large."""

UNACKNOWLEDGED = 15_000
"""Maximum time without an acknowledgement, in milliseconds; with a comment's interval it is less than 30 s."""

IDLE, HEADER, CONTENT = range(3)
"""The part of a request that comes next on a connection."""

NOTHING, PART, REQUEST = range(3)
"""The object of a connection's time limit."""


class RequestRefused(Exception):
    """A request that exceeds a limit."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


class HttpProtocol(HttpToolsProtocol):
    """An HTTP connection of uvicorn with limits."""

    _part = IDLE
    _fed = 0  # bytes of the header, or of the body since its last content
    _sent = 0  # bytes of the body
    _chunks = 0
    _may_be_long = False
    _is_authenticated = False
    _is_over = False  # if true, nothing more is read

    _due = NOTHING  # what the time limit is for
    _current: RequestResponseCycle | None = None  # the request in progress; `cycle` is the newest one

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn has it too
        super().connection_made(transport)
        self._connections = cast("Connections", self.server_state)
        self._extensions: dict[Any, Any] = {CONNECTION: self}
        self._expect(FIRST_BYTE)
        self._connections.join(self)
        if not transport.get_extra_info("peername"):  # a Unix socket
            return
        connection = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        self._extensions.clear()  # breaks a reference cycle
        super().connection_lost(exc)
        if self._current is not None:  # uvicorn notifies only the newest request
            self._current.disconnected = True
            self._current.message_event.set()
            self._current = None
        for waiting, _ in self.pipeline:
            waiting.on_response = _nothing  # breaks a reference cycle
        self.pipeline.clear()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current = cycle
        id_ = request_id.of(cycle.scope["headers"])
        cast("dict[str, Any]", cycle.scope)[request_id.KEY] = id_
        cycle.default_headers = [*cycle.default_headers, (request_id.HEADER, id_)]
        super()._start_asgi_task(cycle, app)

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def is_idle(self) -> bool:
        return self._part == IDLE and not self._is_answering

    def admit(self) -> None:
        """Record that a valid token came over this connection."""
        if not self._is_authenticated:
            self._is_authenticated = True
            self._connections.admit(self)
            if self._part == CONTENT:
                self._expect(BODY)

    def abort(self) -> None:
        self._is_over = True
        self.transport.abort()

    def expire(self) -> None:
        if self._part == IDLE:
            self._is_over = True
            self.transport.close()
            return
        part, seconds = ("header", FIRST_BYTE) if self._part == HEADER else ("body", BODY)
        if self._part == CONTENT and not self._is_authenticated:
            seconds = GUEST_BODY
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT, f"The request's {part} took too long; at most {seconds:.0f} s are allowed."
        )

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if len(data) <= MAX_LINE:
            self._feed(data)
        else:
            self._feed_in_pieces(data)
        if self._part:
            if self._due != PART:
                self._expect(FIRST_BYTE if self._part == HEADER else BODY if self._is_authenticated else GUEST_BODY)
        elif self._due != PART and not self._is_answering:
            self._expect(FIRST_BYTE)

    def _feed_in_pieces(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_LINE):
            self._feed(data[start : start + MAX_LINE])
            if self._is_over:
                return

    def _expect(self, seconds: float, due: int = PART) -> None:
        if not self._is_over:
            self._due = due
            self._connections.expect(self, seconds)

    def _expect_nothing(self) -> None:
        self._due = NOTHING
        self._connections.expect_nothing(self)

    def _feed(self, data: bytes) -> None:
        size = len(data)
        self._may_be_long = self._fed + size > MAX_LINE
        try:
            self.parser.feed_data(data)
            if self._part:
                self._check(size)
        except RequestRefused as refusal:
            self._refuse(refusal.status, str(refusal))
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as fault:
            cause = fault.__context__
            if isinstance(cause, RequestRefused):
                self._refuse(cause.status, str(cause))
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "The request is not HTTP.")

    def _check(self, size: int) -> None:
        """Check the limits after another *size* bytes of an unfinished request; raise `RequestRefused`."""
        self._fed += size
        if self._fed > MAX_HEADER:
            raise _too_large(f"more than {MAX_HEADER:,} bytes; at most {MAX_HEADER:,} are allowed")
        if self._part == CONTENT:
            self._sent += size
            if self._sent > MAX_BODY_SENT:
                raise RequestRefused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"The request's body is too long; at most {MAX_BODY:,} bytes are allowed.",
                )
        if len(self.headers) > MAX_HEADERS:
            raise _too_large(f"more than {MAX_HEADERS} lines; at most {MAX_HEADERS} are allowed")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._part = HEADER
        self._fed = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST,
                f"Too many requests wait on this connection; at most {MAX_PIPELINED} are allowed.",
            )

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            raise _too_large(f"{len(self.headers)} lines; at most {MAX_HEADERS} are allowed")
        if self._may_be_long:
            self._check_lengths()
        super().on_headers_complete()
        self._part = CONTENT
        self._fed = self._sent = self._chunks = 0
        if self._due:
            self._due = NOTHING
            self._connections.expect_nothing(self)
        if not self.parser.should_upgrade():
            self.headers = []  # trailers do not belong to the header

    def _check_lengths(self) -> None:
        if len(self.url) > MAX_URL:
            raise RequestRefused(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"The request's address has {len(self.url):,} bytes; at most {MAX_URL:,} are allowed.",
            )
        lengths = [len(name) + len(value) + len(": \r\n") for name, value in self.headers]
        if max(lengths, default=0) > MAX_LINE:
            raise _too_large(f"a line of {max(lengths):,} bytes; at most {MAX_LINE:,} are allowed")
        if len(self.url) + sum(lengths) > MAX_HEADER:
            raise _too_large(f"more than {MAX_HEADER:,} bytes; at most {MAX_HEADER:,} are allowed")

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise RequestRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The request's body has too many chunks; at most {MAX_CHUNKS:,} are allowed.",
            )

    def on_body(self, body: bytes) -> None:
        self._fed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = IDLE
        if self._due:
            self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request. Without one, uvicorn would start a timer of its own."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._part == IDLE:
            self._expect(self.timeout_keep_alive, REQUEST)

    def handle_websocket_upgrade(self) -> None:
        if len(self.url) > MAX_SOCKET_URL:
            message = f"The WebSocket's address has {len(self.url):,} bytes; at most {MAX_SOCKET_URL:,} are allowed."
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, message)
            return
        if self._is_answering:
            self._refuse(HTTPStatus.BAD_REQUEST, "A WebSocket needs a connection without unanswered requests.")
            return
        self._is_over = True
        self._extensions.clear()
        self._connections.leave(self)
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # the parser refers to this protocol, whose `connection_lost` is not called any more

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer with *message* unless another answer is in progress; close the connection after the last answer."""
        self._is_over = True
        self._connections.incidents.report(self, message)
        self._expect_nothing()
        if self.transport.is_closing():
            return
        if self._part != CONTENT and not self._is_answering:
            self._answer(status, message)
        elif self._part != CONTENT:
            self.cycle.keep_alive = False
        elif self.pipeline:
            self._drop_newest()
        elif not self._is_answering or self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(status, message)

    def _drop_newest(self) -> None:
        """Drop the newest request, which waits for earlier ones; close the connection after the answers to these."""
        refused, _ = self.pipeline.popleft()
        refused.on_response = _nothing
        earlier = self.pipeline[0][0] if self.pipeline else self._current
        assert earlier is not None, "the newest request waits for an earlier one"
        self.cycle = earlier
        earlier.keep_alive = False

    def _answer(self, status: HTTPStatus, message: str) -> None:
        text = message.encode()
        date = b"".join(b"%s: %s\r\n" % header for header in self.server_state.default_headers)
        self.transport.write(
            b"%s%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[status], date, len(text), text)
        )
        self.transport.close()


def _nothing() -> None: ...


def _too_large(excess: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's header has {excess}.")
