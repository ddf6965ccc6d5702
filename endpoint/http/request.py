"""A request's body and its parameters, with their limits."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cross_web import HTTPException, StarletteRequestAdapter
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope
from strawberry.http import GraphQLRequestData

from endpoint.execution.limits import MAX_MARKS, MAX_NAME, TooManyMarks, has_too_many_marks
from endpoint.execution.persisted import PersistedDocuments

MAX_BODY = 5 * 1024 * 1024
"""Maximum size of a request's body, in bytes; the largest document takes less."""

JSON = "application/json"


class RequestAdapter(StarletteRequestAdapter):
    """A request, as strawberry reads it."""

    @property
    def content_type(self) -> str | None:
        """The body's media type in lower case (RFC 9110 8.3.1)."""
        return media_type(super().content_type)


@dataclass
class RequestedOperation(GraphQLRequestData):
    """The operation of a request; *registers* says that its document came with its hash."""

    registers: bool = False


def media_type(content_type: str | None) -> str | None:
    return None if content_type is None else content_type.partition(";")[0].strip().lower()


def check_request(method: str, content_type: str | None) -> None:
    """Raise `HTTPException` unless the request is a GET, or a POST of JSON."""
    if method not in ("GET", "POST"):
        raise HTTPException(405, "GraphQL only supports GET and POST requests.")
    given = media_type(content_type)
    if method == "POST" and given != JSON:
        raise HTTPException(415, f"The request's Content-Type must be {JSON}, and is {given or 'missing'}.")


def operation(parameters: Mapping[str, Any], persisted: PersistedDocuments) -> RequestedOperation:
    """Return the operation that *parameters* name; raises `HTTPException` and `NotPersisted`."""
    query, variables, extensions, document, name = (
        parameters.get(each) for each in ("query", "variables", "extensions", "documentId", "operationName")
    )
    for key, value, kind, title in (
        ("query", query, str, "a string"),
        ("variables", variables, dict, "an object"),
        ("extensions", extensions, dict, "an object"),
    ):
        if not isinstance(value, kind | None):
            raise HTTPException(400, f"The GraphQL operation's `{key}` must be {title} or null, if provided.")
    for key, value in (("documentId", document), ("operationName", name)):
        if not isinstance(value, str | None):
            raise HTTPException(400, f"`{key}` must be a string or null, if provided.")
    if len(name or "") > MAX_NAME:
        raise HTTPException(400, f"`operationName` is too long; at most {MAX_NAME} characters are allowed.")
    registers = bool(query) and (document is not None or "persistedQuery" in (extensions or ()))
    text = persisted.text(query, document, extensions)
    return RequestedOperation(text, variables, name or None, extensions, registers=registers)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the body; raises `HTTPException` if it is too long, and `ClientDisconnect` if its client leaves."""
    check_declared(Headers(scope=scope).get("content-length"))
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        check_size(size)
        if not message.get("more_body"):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives *body* again before the next messages."""
    messages: list[Message] = [{"type": "http.request", "body": body}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def decode(data: str | bytes) -> object:
    """Return the value of a JSON text; raises `JSONDecodeError`."""
    if len(data) > MAX_MARKS and has_too_many_marks(data.encode(errors="replace") if isinstance(data, str) else data):
        raise TooManyMarks
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as fault:
        raise json.JSONDecodeError(str(fault), "", 0) from fault


def to_float(text: str) -> float:
    """Return the number in the JSON *text*; raises `ValueError` if it is too large.

    msgspec's own way takes a hundred times as long for numbers like 1e308: 8 s for a body of 5 MiB.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("Number out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=to_float)


def check_size(size: int) -> None:
    """Raise `HTTPException` if a request's body has too many bytes."""
    if size > MAX_BODY:
        raise HTTPException(413, f"The request's body may have {MAX_BODY} bytes")


def check_declared(length: str | None) -> None:
    """Raise `HTTPException` if a body with the Content-Length *length* is too long, before any of it is read."""
    if length is not None and length.isdecimal():
        check_size(int(length))
