"""What a server may answer, whatever it is sent."""

import gzip
import re
import zlib
from collections.abc import Iterator

import httptools
import msgspec
from msgspec import Struct, field
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

LEAK = re.compile(
    r'Traceback|File "|\w+\.py\b|\bat 0x[0-9a-f]{6}|<class \'|/site-packages/'
    r"|\b(?:gql|server|store|projections|domain|runner|strawberry|graphql|msgspec|uvicorn|starlette|asyncio)\.[a-z_]\w*"
    r"|\b[A-Z][a-z]\w*(?:Error|Exception|Warning)\b"
)
"""Inner names: a place in the code, a module, a class of exceptions."""

INTERNAL = '"code":"INTERNAL"'
"""In the answer to what failed in a way that nobody has thought of (see `gql.contract.errors`)."""

TEXTS = ("json", "text/plain", "event-stream", "multipart/mixed")
"""Components of the media types of what the server says itself, rather than its pages."""

KEPT = 8 * 1024 * 1024
"""Bytes of the answers on a connection that are looked at."""

INTERNAL_ERROR = 1011
"""RFC 6455, 7.4.1: the server has met what it didn't expect."""


class Response(Struct):
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    is_cut: bool = False
    """Whether only its first part was kept."""


class Answers:
    """What comes on one connection: responses, and after an upgrade frames."""

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.frames = bytearray()
        self.is_upgraded = False
        self.fault: str | None = None
        self._size = 0
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}

    def feed(self, data: bytes) -> None:
        if self.is_upgraded:
            self._keep(data, self.frames)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.is_upgraded = True
            self.frames += data[upgrade.args[0] :]
        except httptools.HttpParserError as fault:
            self.fault = self.fault or f"the answer is no HTTP: {fault}"

    def _keep(self, data: bytes, to: bytearray) -> bool:
        """Whether there was room for *data*."""
        self._size += len(data)
        if self._size > KEPT:
            return False
        to += data
        return True

    @property
    def is_answered(self) -> bool:
        return bool(self.responses) and self.responses[-1].is_whole

    def has(self, marker: bytes) -> bool:
        """Whether *marker* is in a frame, or ends the head of a response."""
        return marker in self.frames or (marker == b"\r\n\r\n" and bool(self.responses))

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.responses.append(Response(self._parser.get_status_code(), self._headers))
        self._headers = {}

    def on_body(self, body: bytes) -> None:
        response = self.responses[-1]
        response.is_cut |= not self._keep(body, response.body)

    def on_message_complete(self) -> None:
        self.responses[-1].is_whole = True


def findings(answers: Answers, sent: bytes) -> Iterator[str]:
    """What is wrong with *answers* to who has *sent* that."""
    if answers.fault is not None:
        yield answers.fault
    for response in answers.responses:
        yield from of_response(response, sent)
    if answers.is_upgraded:
        yield from _of_frames(bytes(answers.frames), sent)


def is_refusal(response: Response) -> bool:
    """Whether it asks to come back, since there is too much to do: documented, and no failure."""
    return response.status == 503 and "retry-after" in response.headers


def of_response(response: Response, sent: bytes) -> Iterator[str]:
    if response.status >= 500 and not is_refusal(response):
        yield f"status {response.status}: {_start(response.body)}"
    media = response.headers.get("content-type", "")
    if not any(part in media for part in TEXTS):
        return
    body = bytes(response.body)
    if response.headers.get("content-encoding") == "gzip":
        if not response.is_whole or response.is_cut:
            return
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as fault:
            yield f"the answer is no gzip: {fault}"
            return
    yield from _of_text(body, sent)
    if not response.is_whole or response.is_cut or not body:
        return
    if "event-stream" in media:
        for line in body.splitlines():
            if line.startswith(b"data: ") and line != b"data: ":
                yield from _of_json(line.removeprefix(b"data: "))
    elif "multipart/mixed" in media:
        for line in body.splitlines():
            if line.startswith(b"{"):
                yield from _of_json(line)
    elif "ndjson" in media:
        for line in body.splitlines():
            yield from _of_json(line)
    elif "json" in media:
        yield from _of_json(body)


def _of_frames(data: bytes, sent: bytes) -> Iterator[str]:
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    while True:
        try:
            frame = _next(reader)
        except EOFError:
            return
        except (WebSocketException, UnicodeDecodeError) as fault:
            yield f"a frame is wrong: {fault}"
            return
        payload = bytes(frame.data)
        if frame.opcode is Opcode.CLOSE:
            if payload[:2] == INTERNAL_ERROR.to_bytes(2, "big"):
                yield f"closed with {INTERNAL_ERROR}: {_start(payload[2:])}"
            yield from _of_text(payload[2:], sent)
        elif frame.opcode is Opcode.TEXT:
            yield from _of_text(payload, sent)
            yield from _of_json(payload)


def _next(reader: StreamReader) -> Frame:
    """The next frame; raises `EOFError` if there is no whole one."""
    parsing = Frame.parse(reader.read_exact, mask=False)
    while True:
        try:
            next(parsing)
        except StopIteration as parsed:
            frame: Frame = parsed.value
            return frame


def _of_text(text: bytes, sent: bytes) -> Iterator[str]:
    said = text.decode(errors="replace")
    if INTERNAL in said:
        yield f"an inner failure: {said[max(0, said.index(INTERNAL) - 300) :][:400]}"
    for leak in LEAK.finditer(said):
        if leak[0].encode() not in sent:
            yield f"an inner name is in the answer: {said[max(0, leak.start() - 100) : leak.end() + 100]}"
            return


def _of_json(text: bytes) -> Iterator[str]:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError) as fault:
        yield f"the answer is no JSON ({fault}): {_start(text)}"


def _start(text: bytes | bytearray) -> str:
    return bytes(text[:300]).decode(errors="replace")
