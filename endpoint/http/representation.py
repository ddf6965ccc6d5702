"""
The representation of an answer: its media type, its compression, or 304 if the client has it already.

Answers are private. A client may cache the answer to a GET if it revalidates it each time: every representation has a
strong ETag (RFC 9110 8.8.3), a hash of its bytes. A client that has the current one gets 304 without a body. An answer
that never changes may be used without another request (RFC 8246).
"""

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from endpoint.execution.answers import Answer

MEDIA_TYPE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"

PARTS = re.compile(r"subscriptionspec=[\"']?1\.0[\"']?")
"""The parameter of `multipart/mixed` for multipart subscriptions, in lower case."""

GRAPHQL = f"{MEDIA_TYPE}; charset=utf-8".encode()
JSON = b"application/json"

VARY = b"Accept, Accept-Encoding, Authorization, Stageline-Session"
CHANGING = ((b"cache-control", b"private, no-cache"), (b"vary", VARY))
IMMUTABLE = ((b"cache-control", b"private, max-age=86400, immutable"), (b"vary", VARY))
"""Headers of an answer that never changes: for a day, since a backup may be restored and a server upgraded."""

PACKED = 1024
"""Minimum size of an answer that is compressed for a client that accepts gzip, in bytes."""

IN_A_THREAD = 64 * 1024
"""Minimum size of an answer that is compressed in a thread, in bytes: it takes more than about a millisecond."""

MAX_HEADERS = 1000
"""Maximum size of the headers whose parsed form is cached, in bytes."""

LEVEL = 1
"""Compression level of gzip, 1 to 9: the first is by far the fastest, and the others shrink JSON little more."""

Headers = Mapping[bytes, bytes]


class Representation(Struct, frozen=True):
    """The representation that a request asks for; *has* is its If-None-Match, None if the method is not GET."""

    media_type: bytes
    packed: bool
    has: str | None

    @classmethod
    def of(cls, method: str, headers: Headers) -> "Representation":
        has = headers.get(b"if-none-match", b"") if method == "GET" else None
        accept, encodings = headers.get(b"accept", b""), headers.get(b"accept-encoding", b"")
        is_kept = len(accept) + len(encodings) + len(has or b"") <= MAX_HEADERS
        return (_wanted if is_kept else _wanted.__wrapped__)(accept, encodings, has)


@lru_cache(maxsize=256)
def _wanted(accept: bytes, encodings: bytes, has: bytes | None) -> Representation:
    media_type = GRAPHQL if prefers_graphql(accept.decode("latin-1")) else JSON
    takes_gzip = qualities(encodings.decode("latin-1")).get("gzip", 0.0) > 0
    return Representation(media_type, takes_gzip, None if has is None else has.decode("latin-1"))


class AnswerResponse(Struct, frozen=True):
    """An answer with status 200, as an ASGI application."""

    answer: Answer
    representation: Representation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send(self.answer, self.representation, send)


class StaleResponse(Struct, frozen=True):
    """An answer that was valid at the time *since*: its headers and its `extensions` say so."""

    body: bytes
    since: datetime
    representation: Representation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_stale(self.body, self.since, self.representation, send)


async def _send(answer: Answer, wanted: Representation, out: Send) -> None:
    """Send *answer* with status 200, or 304 if the client has it."""
    body = answer.body
    encoding = b"gzip" if wanted.packed and len(body) >= PACKED else None
    tag = None if wanted.has is None else _tag(answer, wanted, encoding)
    if tag is not None and wanted.has is not None and _is_among(tag, wanted.has):
        always = IMMUTABLE if answer.is_immutable else CHANGING
        await out({"type": "http.response.start", "status": 304, "headers": [*always, _etag(tag)]})
        await out({"type": "http.response.body", "body": b""})
        return
    if encoding is not None:
        body = await _packed(answer)
    always = IMMUTABLE if answer.is_immutable and wanted.has is not None else CHANGING  # POST is not cached
    headers = _headers(always, tag, len(body), wanted.media_type, encoding)
    await out({"type": "http.response.start", "status": 200, "headers": headers})
    await out({"type": "http.response.body", "body": body})


@lru_cache(maxsize=1024)
def _headers(
    always: Sequence[tuple[bytes, bytes]], tag: str | None, length: int, media_type: bytes, encoding: bytes | None
) -> Sequence[tuple[bytes, bytes]]:
    headers = [*always]
    if tag is not None:
        headers.append(_etag(tag))
    if encoding is not None:
        headers.append((b"content-encoding", encoding))
    return *headers, (b"content-type", media_type), (b"content-length", b"%d" % length)


def _etag(tag: str) -> tuple[bytes, bytes]:
    return b"etag", b'"%b"' % tag.encode()


async def _send_stale(body: bytes, since: datetime, wanted: Representation, out: Send) -> None:
    """Send an answer that was valid at *since*, with that time in the headers and in its `extensions`."""
    at = since.isoformat().encode()
    extensions = b'{"stale":{"since":"%b"}}' % at
    body = b'%b,"extensions":%b}' % (body[:-1], extensions)
    headers = [
        (b"cache-control", b"no-store"),
        (b"age", b"%d" % (datetime.now(UTC) - since).total_seconds()),
        (b"stageline-stale", at),
        (b"vary", VARY),
        (b"content-type", wanted.media_type),
        (b"content-length", b"%d" % len(body)),
    ]
    await out({"type": "http.response.start", "status": 200, "headers": headers})
    await out({"type": "http.response.body", "body": body})


def _tag(answer: Answer, wanted: Representation, encoding: bytes | None) -> str:
    """Return the ETag, which differs for each media type and encoding."""
    return answer.tag + "-graphql" * (wanted.media_type == GRAPHQL) + "-gzip" * (encoding is not None)


async def _packed(answer: Answer) -> bytes:
    if answer.packed is None:
        if len(answer.body) < IN_A_THREAD:
            answer.packed = _gzip(answer.body)
        else:
            answer.packed = await asyncio.to_thread(_gzip, answer.body)
    return answer.packed


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _is_among(tag: str, tags: str) -> bool:
    """Whether *tag* is in the If-None-Match header *tags*; the comparison is weak (RFC 9110 13.1.2)."""
    return tags.strip() == "*" or tag in re.findall(r'(?:W/)?"([^"]*)"', tags)


def prefers_graphql(accept: str) -> bool:
    """Whether *accept* puts the GraphQL media type before plain JSON."""
    quality = qualities(accept)
    wanted = quality.get(MEDIA_TYPE, 0.0)
    return wanted > 0 and wanted >= quality.get("application/json", 0.0)


def prefers_events(accept: str) -> bool:
    """Whether *accept* prefers an event stream to JSON; a tie gives JSON."""
    quality = qualities(accept)
    return quality.get(EVENT_STREAM, 0.0) > max(quality.get(MEDIA_TYPE, 0.0), quality.get("application/json", 0.0))


def prefers_parts(accept: str) -> bool:
    """Whether *accept* wants the answer in parts, as Apollo's clients want those of subscriptions only."""
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == "multipart/mixed" and any(PARTS.fullmatch(each) for each in parameters):
            return True
    return False


def accepts_events(accept: str) -> bool:
    """Whether *accept* allows an event stream, for an operation that has no other answer."""
    return qualities(accept).get(EVENT_STREAM, 0.0) > 0


def qualities(header: str) -> dict[str, float]:
    """Return the quality of each value in a header like Accept (RFC 9110 12.4.2)."""
    quality: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        values = [value for key, _, value in (each.partition("=") for each in parameters) if key == "q"]
        try:
            quality.setdefault(name.lower(), float(values[0]) if values else 1.0)
        except ValueError:
            quality.setdefault(name.lower(), 0.0)
    return quality
