"""
How an answer is sent: its media type, compressed or not, or not at all where the client has it already.

Answers are private, and may be kept by whoever asked by GET, if they ask each time whether they are still right: each
representation has a strong ETag (RFC 9110 8.8.3), made of its bytes, and who has it already gets 304 and no bytes.
"""

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct
from starlette.types import Send

from gql.answer import Answer

MEDIA_TYPE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"

GRAPHQL = f"{MEDIA_TYPE}; charset=utf-8".encode()
JSON = b"application/json"

VARY = b"Accept, Accept-Encoding, Authorization"
ALWAYS = ((b"cache-control", b"private, no-cache"), (b"vary", VARY))

PACKED = 1024
"""Bytes from which on an answer is compressed for those who take that."""

IN_A_THREAD = 64 * 1024
"""Bytes from which on compressing takes so long (more than about a millisecond) that others would wait."""

MAX_HEADERS = 1000
"""Maximum size of the headers that are read once for all requests that have the same, in bytes."""

LEVEL = 1
"""Of 9: it takes the least time by far, and the others make JSON only a little smaller."""

Headers = Mapping[bytes, bytes]


class Wanted(Struct, frozen=True):
    """What a request says of what it wants; *has* are the ETags of those that it has, None if it can't say so."""

    media_type: bytes
    packed: bool
    has: str | None

    @classmethod
    def by(cls, method: str, headers: Headers) -> "Wanted":
        has = headers.get(b"if-none-match", b"") if method == "GET" else None
        accept, encodings = headers.get(b"accept", b""), headers.get(b"accept-encoding", b"")
        is_kept = len(accept) + len(encodings) + len(has or b"") <= MAX_HEADERS
        return (_wanted if is_kept else _wanted.__wrapped__)(accept, encodings, has)


@lru_cache(maxsize=256)
def _wanted(accept: bytes, encodings: bytes, has: bytes | None) -> Wanted:
    media_type = GRAPHQL if prefers_graphql(accept.decode("latin-1")) else JSON
    takes_gzip = qualities(encodings.decode("latin-1")).get("gzip", 0.0) > 0
    return Wanted(media_type, takes_gzip, None if has is None else has.decode("latin-1"))


async def send(answer: Answer, wanted: Wanted, out: Send) -> None:
    """Sends *answer* with status 200, or 304 where the client has it."""
    body = answer.body
    encoding = b"gzip" if wanted.packed and len(body) >= PACKED else None
    tag = None if wanted.has is None else _tag(answer, wanted, encoding)
    if tag is not None and wanted.has is not None and _is_among(tag, wanted.has):
        await out({"type": "http.response.start", "status": 304, "headers": [*ALWAYS, _etag(tag)]})
        await out({"type": "http.response.body", "body": b""})
        return
    if encoding is not None:
        body = await _packed(answer)
    headers = _headers(tag, len(body), wanted.media_type, encoding)
    await out({"type": "http.response.start", "status": 200, "headers": headers})
    await out({"type": "http.response.body", "body": body})


@lru_cache(maxsize=1024)
def _headers(tag: str | None, length: int, media_type: bytes, encoding: bytes | None) -> Sequence[tuple[bytes, bytes]]:
    headers = [*ALWAYS]
    if tag is not None:
        headers.append(_etag(tag))
    if encoding is not None:
        headers.append((b"content-encoding", encoding))
    return *headers, (b"content-type", media_type), (b"content-length", b"%d" % length)


def _etag(tag: str) -> tuple[bytes, bytes]:
    return b"etag", b'"%b"' % tag.encode()


async def send_stale(body: bytes, since: datetime, wanted: Wanted, out: Send) -> None:
    """Sends what was right at the time *since*, and says so: in the headers, and in the answer's `extensions`."""
    at = since.isoformat().encode()
    told = b'{"stale":{"since":"%b"}}' % at
    body = b'%b,"extensions":%b}' % (body[:-1], told)
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


def _tag(answer: Answer, wanted: Wanted, encoding: bytes | None) -> str:
    """Another media type is another representation, and so is the same compressed."""
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
    """Whether *tag* is among those of an If-None-Match, which compares weakly (RFC 9110 13.1.2)."""
    return tags.strip() == "*" or tag in re.findall(r'(?:W/)?"([^"]*)"', tags)


def prefers_graphql(accept: str) -> bool:
    """Whether *accept* puts the GraphQL media type before plain JSON."""
    quality = qualities(accept)
    wanted = quality.get(MEDIA_TYPE, 0.0)
    return wanted > 0 and wanted >= quality.get("application/json", 0.0)


def prefers_events(accept: str) -> bool:
    """Whether *accept* puts an event stream before JSON; who takes either gets JSON."""
    quality = qualities(accept)
    return quality.get(EVENT_STREAM, 0.0) > max(quality.get(MEDIA_TYPE, 0.0), quality.get("application/json", 0.0))


def qualities(header: str) -> dict[str, float]:
    """What a header like Accept names, and how much each is wanted (RFC 9110 12.4.2)."""
    quality: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        values = [value for key, _, value in (each.partition("=") for each in parameters) if key == "q"]
        try:
            quality.setdefault(name.lower(), float(values[0]) if values else 1.0)
        except ValueError:
            quality.setdefault(name.lower(), 0.0)
    return quality
