"""
The short way to an answer: from memory, or by a compiled document.

Whatever isn't a query that is known well goes on to the view, with everything that GraphQL over HTTP says of it. Both
ways come to the same bytes.
"""

import asyncio
from collections.abc import Callable, Hashable
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from cross_web import HTTPException
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gql import compiled, representation, session
from gql.admission import let_in
from gql.answer import Answer, Answers
from gql.aside import Gone, Left
from gql.at_least import Behind
from gql.compiled import Made, Query
from gql.context import Application, Context
from gql.identity import Credentials, Identity, NotLetIn, client
from gql.limit import has_too_many_marks
from gql.persisted import NotPersisted, Persisted
from gql.reading import changes, ready
from gql.representation import Wanted
from gql.sse import departure
from gql.view import (
    WAITED,
    Authenticate,
    View,
    check_declared,
    check_size,
    ending,
    nobody,
    refusal,
    to_float,
    unauthorized,
    unreachable,
)
from store.log import LogUnavailable, Origin, PutBack

PATIENCE = 2.0
"""Seconds that the log may take to say whether a kept answer is still right; then it is given with its age."""

MAX_KEY = 20_000
"""Bytes of the longest request whose answer is kept."""


class Operation(Struct, rename="camel"):
    """The parameters of a request."""

    query: str | None = None
    document_id: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None

    @property
    def registers(self) -> bool:
        """Whether it sends a document with its hash."""
        return bool(self.query) and (self.document_id is not None or "persistedQuery" in (self.extensions or ()))


class Asked(Struct, dict=True):
    """A request of somebody who may ask; *text* is its body, or the query of its address."""

    method: str
    text: bytes
    identity: Identity
    persisted: Persisted
    edition: int
    is_kept: bool = True

    @property
    def key(self) -> Hashable:
        return self.identity.scope, self.edition, self.method, self.text

    @cached_property
    def operation(self) -> Operation | None:
        """None for what the view has to look at."""
        try:
            if self.method == "POST":
                if has_too_many_marks(self.text):
                    return None
                asked = _decoder.decode(self.text)
            else:
                parameters: dict[str, Any] = dict(parse_qsl(self.text.decode(), keep_blank_values=True))
                for name in parameters.keys() & {"variables", "extensions"}:
                    parameters[name] = _values.decode(parameters[name])
                asked = msgspec.convert(parameters, Operation)
            if asked.registers:
                self.is_kept = False  # each time it is sent the document has to be registered
            asked.query = self.persisted.text(asked.query, asked.document_id, asked.extensions)
        except (ValueError, RecursionError, NotPersisted):
            return None
        return None if asked.query is None else asked

    @property
    def may_write(self) -> bool:
        """Whether it isn't clear that it writes nothing."""
        asked = self.operation
        return self.method != "GET" and (asked is None or changes(asked.query or "", asked.operation_name))

    @cached_property
    def query(self) -> Query | None:
        """What may well be compiled."""
        asked = self.operation
        return None if asked is None or asked.query is None else compiled.find(asked.query, asked.operation_name)


class Front:
    """Stands before the view, as an ASGI application. *compiles* says whether it goes the short way at all."""

    def __init__(
        self, view: View, application: Callable[[], Application], authenticate: Authenticate, *, compiles: bool
    ) -> None:
        self._view = view
        self._compiles = compiles
        self._application = application
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["type"] != "http" or not _may_be_short(scope["method"], headers):
            await self._view(scope, receive, send)
            return
        try:
            await self._answer(scope, headers, receive, send)
        except HTTPException as fault:
            await refusal(fault)(scope, receive, send)
        except NotLetIn as refused:
            await unauthorized(refused)(scope, receive, send)
        except LogUnavailable as fault:
            await unreachable(fault)(scope, receive, send)
        except Left:
            await nobody()(scope, receive, send)
        except asyncio.CancelledError:  # the server doesn't wait for it any longer, as it ends
            await ending(may_be_done=False)(scope, receive, send)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        identity = await self._authenticate(self._credentials(scope, headers))
        let_in(scope)
        text = scope["query_string"] if method == "GET" else await _body(headers, receive)
        persisted = self._view.persisted
        asked, wanted = Asked(method, text, identity, persisted, persisted.edition), Wanted.by(method, headers)
        answers = self._application().answers
        kept = None if answers is None else answers.find(asked.key)
        answer = None
        if kept is None and asked.operation is not None:
            await ready(asked.operation.query or "")
        if kept is not None or (self._compiles and asked.query is not None):
            try:
                answer = await self._find(asked, answers, partial(departure, receive), PATIENCE if kept else None)
            except LogUnavailable as fault:
                if kept is None or answers is None or isinstance(fault, PutBack):
                    raise
                await representation.send_stale(kept.body, answers.known_at, wanted, send)
                return
            except Behind:
                scope = {**scope, WAITED: True}
        if answer is not None:
            await representation.send(answer, wanted, send)
        else:
            await self._go_on(scope, asked, wanted, receive, send)

    def _credentials(self, scope: Scope, headers: dict[bytes, bytes]) -> Credentials:
        given = headers.get(b"authorization")
        if given is None:
            return session.credentials(Request(scope), self._view.allowed_origins)
        return Credentials(given.decode("latin-1"), client(scope))

    async def _find(self, asked: Asked, answers: Answers | None, gone: Gone, patience: float | None) -> Answer | None:
        """The answer that is kept, or else is made; None if it is for the view."""
        if answers is None:
            made = await self._make(asked, await self._application().log.position(), gone)
            return None if made is None else Answer(made.body)
        position = await answers.ask(patience)
        kept = answers.find(asked.key, position)
        if kept is not None:
            return kept
        with answers.making() as making:
            made = await self._make(asked, position, gone)
        if made is None:
            return None
        answer = Answer(made.body)
        if made.reads is not None and asked.is_kept and len(asked.text) <= MAX_KEY:
            answers.keep(asked.key, answer, made.reads, making, len(asked.text))
        return answer

    async def _make(self, asked: Asked, position: int, gone: Gone) -> Made | None:
        if asked.query is None or asked.operation is None:
            return None
        context = Context(self._application(), Origin.API, asked.identity, position=position, gone=gone)
        return await compiled.make(asked.query, asked.operation.variables or {}, context)

    async def _go_on(self, scope: Scope, asked: Asked, wanted: Wanted, receive: Receive, send: Send) -> None:
        """Has the view answer."""
        body: list[Message] = [{"type": "http.request", "body": asked.text if asked.method == "POST" else b""}]

        async def again() -> Message:
            return body.pop() if body else await receive()

        try:
            response = await self._view.run(Request(scope, again))
        except asyncio.CancelledError:
            response = ending(may_be_done=asked.may_write)
        if type(response) is Response and response.status_code == 200 and "retry-after" not in response.headers:
            await representation.send(Answer(bytes(response.body)), wanted, send)
        else:
            await response(scope, again, send)


_decoder = msgspec.json.Decoder(Operation, float_hook=to_float)
_values = msgspec.json.Decoder(float_hook=to_float)


def _may_be_short(method: str, headers: dict[bytes, bytes]) -> bool:
    accept = headers.get(b"accept", b"")
    if b"text/event-stream" in accept and representation.prefers_events(accept.decode("latin-1")):
        return False
    if method == "POST":
        return headers.get(b"content-type", b"").startswith(b"application/json")
    return method == "GET" and b"text/html" not in accept


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Raises `HTTPException` if it is too long, and `Left` if its client goes before it is whole."""
    check_declared(headers.get(b"content-length", b"").decode("latin-1") or None)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        check_size(size)
        if not message.get("more_body"):
            return b"".join(parts)
