"""
GraphQL over HTTP and over WebSockets, at one address.

HTTP is the GraphQL over HTTP specification (`application/graphql-response+json`, status 400 for requests that can't
be carried out); subscriptions are graphql-transport-ws. Every request carries a token: HTTP in its Authorization
header, a WebSocket in the payload of connection_init. A browser's session may stand for it (see `gql.session`).
"""

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from cross_web import AsyncHTTPRequestAdapter, HTTPException, StarletteRequestAdapter
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from gql import session, sse
from gql.admission import CONNECTIONS, Admission, let_in
from gql.aside import Left
from gql.context import Application, Context
from gql.errors import PASSING, answered, is_request_error, unavailable
from gql.hub import Hub
from gql.identity import MISSING, Credentials, Identity, NotLetIn, TooManyAttempts, client
from gql.limit import MAX_MARKS, MAX_NAME, TOO_MANY_MARKS, TooManyMarks, has_too_many_marks
from gql.persisted import NotPersisted, Persisted
from gql.reading import changes, ready
from gql.representation import MEDIA_TYPE, VARY, prefers_graphql
from gql.socket import Adapter, Handler
from store.log import LogUnavailable, Origin, OutcomeUnknown

INIT_TIMEOUT = timedelta(seconds=10)

MAX_BODY = 5 * 1024 * 1024
"""Bytes of one request: more than the largest document takes, whatever its characters."""

MAX_OPERATIONS = 100
"""Operations at a time on one WebSocket."""

RETRY_AFTER = {"retry-after": "1"}
"""Seconds after which what can't be done just now may be tried again."""

CODES = {400: "BAD_REQUEST", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}

JSON = "application/json"

SUBSCRIPTIONS = (
    "Subscriptions go over a WebSocket (graphql-transport-ws), or as server-sent events: `Accept: text/event-stream`."
)

WAITED = "stageline.waited"
"""In the scope of a request for which `atLeast` was waited for in vain."""

Authenticate = Callable[[Credentials], Awaitable[Identity]]
"""Raises `NotLetIn`."""


class Body(dict[str, Any]):
    """An answer's JSON, with what its status and media type depend on."""

    as_graphql = False
    is_request_error = False
    is_passing = False


class RequestAdapter(StarletteRequestAdapter):
    @property
    def content_type(self) -> str | None:
        """The body's media type, whose case says nothing (RFC 9110 8.3.1)."""
        given = super().content_type
        return None if given is None else given.partition(";")[0].strip().lower()


class View(GraphQL[Context, None]):
    request_adapter_class = RequestAdapter
    websocket_adapter_class = Adapter
    graphql_transport_ws_handler_class = Handler

    def __init__(
        self,
        schema: BaseSchema,
        application: Callable[[], Application],
        authenticate: Authenticate,
        page: Response,
        persisted: Persisted,
        origins: Sequence[str] = (),
        streams: int = CONNECTIONS,
    ) -> None:
        super().__init__(
            schema,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_OPERATIONS,
            allowed_origins=origins,
        )
        self._application = application
        self._authenticate = authenticate
        self._page = page
        self.persisted = persisted
        self.hub = Hub()
        self.admission = Admission(streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, limited(scope, receive) if scope["type"] == "http" else receive, send)

    async def run(self, request: Any, context: Any = None, root_value: Any = None) -> Any:
        """Nothing is read of an HTTP request before its token is known to be good."""
        if self.is_websocket_request(request):
            return await super().run(request)
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return self._page
        try:
            known = await self._authenticate(session.credentials(request, self.allowed_origins))
            let_in(request.scope)
            if sse.is_asked(request):
                return await self._events(request, known)
            context = self._context(request, known)
            context.gone = partial(sse.departure, request.receive)
            return await super().run(request, context=context)
        except HTTPException as fault:
            return self._wrong(request, fault)
        except NotPersisted as refused:
            body = await self.process_result(request, PreExecutionError(data=None, errors=[refused]))
            return self.create_response(body, await self.get_sub_response(request))
        except NotLetIn as refused:
            return unauthorized(refused)
        except (ClientDisconnect, Left):
            return nobody()
        except LogUnavailable as fault:
            return unreachable(fault)

    async def _events(self, request: Request, known: Identity) -> Response:
        if request.method not in ("GET", "POST"):
            raise HTTPException(405, "GraphQL only supports GET and POST requests.")
        adapter = self.request_adapter_class(request)
        data: GraphQLRequestData | list[GraphQLRequestData] | NotPersisted
        try:
            data = await self.parse_http_body(adapter)
        except NotPersisted as refused:
            data = refused
        except json.JSONDecodeError as fault:
            raise HTTPException(400, "Unable to parse request body as JSON") from fault
        assert not isinstance(data, list), "parse_json has refused it"
        if request.method == "GET" and not isinstance(data, NotPersisted):
            await ready(data.query or "")
            if changes(data.query or "", data.operation_name):
                return unchanging()
        return sse.EventStream(self.hub, self.admission, self._context(request, known), request, data)

    def should_render_graphql_ide(self, request: object) -> bool:
        return False  # `run` gave our own page to those who want one

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        context = self._context(request, None)
        kept = session.cookie(request, self.allowed_origins)
        context.credentials = Credentials(None, client(request.scope), kept)
        context.claimed = request.headers.get("stageline-origin", "")
        return context

    async def on_ws_connect(self, context: Context) -> None:
        params = context.connection_params
        named = {name.lower(): each for name, each in params.items()} if isinstance(params, dict) else {}
        authorization, secret = (
            value if isinstance(value, str) else None
            for value in (named.get("authorization"), named.get("session"))  # in any case, as headers may be named
        )
        brought = context.credentials
        assert brought is not None, "get_context has set them"
        if authorization is not None or secret is None or brought.session is None:
            credentials = Credentials(authorization, brought.client)
        else:
            credentials = Credentials(None, brought.client, brought.session, secret)
        async with self.admission.guests.turn():
            context.identity = await self._authenticate(credentials)
        context.origin = origin(context.claimed, context.identity)

    def _context(self, request: Request | WebSocket, identity: Identity | None) -> Context:
        return Context(
            application=self._application(),
            origin=origin(request.headers.get("stageline-origin", ""), identity),
            identity=identity,
            has_waited=WAITED in request.scope,
        )

    def _wrong(self, request: Request, fault: HTTPException) -> Response:
        """What strawberry says of a request, with the status that GraphQL over HTTP has for it."""
        match fault.__cause__:
            case TooManyMarks():
                return refusal(HTTPException(400, TOO_MANY_MARKS))
            case CannotGetOperationTypeError() if not prefers_graphql(request.headers.get("accept", "")):
                return refusal(HTTPException(200, fault.reason))
            case InvalidOperationTypeError(operation_type=OperationType.SUBSCRIPTION):
                return refusal(HTTPException(400, SUBSCRIPTIONS))
            case InvalidOperationTypeError():
                return unchanging()
        return refusal(fault)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        given = request.content_type
        if request.method == "POST" and given != JSON:
            raise HTTPException(415, f"The request's Content-Type must be {JSON}, and is {given or 'missing'}.")
        return await super().parse_http_body(request)

    def parse_json(self, data: str | bytes) -> Any:
        parsed = super().parse_json(data)
        if isinstance(data, str):  # a parameter
            return parsed
        if not isinstance(parsed, dict):
            many = f"; it has {len(parsed):,} operations: send each by itself" if isinstance(parsed, list) else ""
            raise HTTPException(400, f"The request's body must be a JSON object, with one operation{many}")
        return self._meant(parsed)

    def parse_query_params(self, params: Any) -> dict[str, Any]:
        return self._meant(super().parse_query_params(params))

    def _meant(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """A request's *parameters* with the document that it names as its query."""
        query, document, extensions = (parameters.get(name) for name in ("query", "documentId", "extensions"))
        if not isinstance(query, str | None) or not isinstance(extensions, dict | None):
            return parameters  # it is told so where everything else is looked at
        if not isinstance(document, str | None):
            raise HTTPException(400, "`documentId` must be a string or null, if provided.")
        if not isinstance(parameters.get("operationName"), str | None):
            raise HTTPException(400, "`operationName` must be a string or null, if provided.")
        if len(parameters.get("operationName") or "") > MAX_NAME:
            raise HTTPException(400, f"`operationName` is too long; at most {MAX_NAME} characters are allowed.")
        meant = {"query": self.persisted.text(query, document, extensions)}
        return parameters | meant | {"operationName": parameters.get("operationName") or None}

    def decode_json(self, data: str | bytes) -> object:
        if len(data) > MAX_MARKS and has_too_many_marks(
            data.encode(errors="replace") if isinstance(data, str) else data
        ):
            raise TooManyMarks
        try:
            return _decoder.decode(data)
        except (ValueError, RecursionError) as fault:
            raise json.JSONDecodeError(str(fault), "", 0) from fault

    def encode_json(self, data: object) -> bytes:
        return msgspec.json.encode(data)

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        body = Body()
        body.as_graphql = prefers_graphql(request.headers.get("accept", ""))
        body.is_passing = any((error.extensions or {}).get("code") in PASSING for error in result.errors or ())
        body.is_request_error = is_request_error(result)
        body.update(answered(result))
        return body  # type: ignore[return-value]  # a TypedDict by its keys

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        response = super().create_response(response_data, sub_response)
        if isinstance(response_data, Body) and response_data.is_passing:
            response.headers.update(RETRY_AFTER)
            if response_data.get("data") is None:
                response.status_code = 503
        if isinstance(response_data, Body) and response_data.as_graphql:
            response.headers["content-type"] = f"{MEDIA_TYPE}; charset=utf-8"
            if response_data.is_request_error and not sub_response.status_code:
                response.status_code = 400
        response.headers["vary"] = VARY.decode()
        return response


def origin(claimed: str, identity: Identity | None) -> Origin:
    """The door that a change came in by: *claimed* narrows what *identity* may say, and never widens it.

    Who has a token may be the command line or any other program; the console has a session.
    """
    match claimed.upper():
        case Origin.CLI if identity is not None and identity.session is None:
            return Origin.CLI
        case Origin.CONSOLE if identity is not None and identity.session is not None:
            return Origin.CONSOLE
    return Origin.API


def limited(scope: Scope, receive: Receive) -> Receive:
    """Reads a request's body as far as it may go."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        if not size:
            check_declared(Headers(scope=scope).get("content-length"))
        message = await receive()
        size += len(message.get("body", b""))
        check_size(size)
        return message

    return limited


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
    """Raises `HTTPException` if a request's body may not have so many bytes."""
    if size > MAX_BODY:
        raise HTTPException(413, f"The request's body may have {MAX_BODY} bytes")


def check_declared(length: str | None) -> None:
    """Raises `HTTPException` if a body with the Content-Length *length* is too long, before any of it is read."""
    if length is not None and length.isdecimal():
        check_size(int(length))


def nobody() -> Response:
    """The answer that nobody is there to read."""
    return Response(status_code=499)


def ending(*, may_be_done: bool) -> Response:
    """The answer to what isn't over when the server ends; *may_be_done* says that it may have written all the same."""
    return unreachable((OutcomeUnknown if may_be_done else LogUnavailable)("The server ends, and it was not over."))


def refusal(fault: HTTPException) -> Response:
    response = _error(fault.status_code, fault.reason, CODES.get(fault.status_code, CODES[400]))
    if fault.status_code == 405:
        response.headers["allow"] = "GET, POST"
    return response


def unchanging() -> Response:
    """The answer to a mutation that is sent by GET."""
    response = refusal(HTTPException(405, "Mutations are sent by POST: a GET changes nothing."))
    response.headers["allow"] = "POST"
    return response


def unreachable(fault: LogUnavailable) -> Response:
    response = _error(503, *unavailable(fault))
    response.headers.update(RETRY_AFTER)
    return response


def unauthorized(refused: NotLetIn) -> Response:
    """The answer to who has no good token; of one that was sent, its header says why, too (RFC 6750, 3)."""
    why = str(refused)
    if isinstance(refused, TooManyAttempts):
        response = _error(429, why, "TOO_MANY_ATTEMPTS")
        response.headers["retry-after"] = str(refused.retry)
        return response
    response = _error(401, why, "UNAUTHENTICATED")
    fault = "" if why == MISSING else f', error="invalid_token", error_description="{why}"'
    response.headers["www-authenticate"] = f'Bearer realm="stageline"{fault}'
    return response


def _error(status: int, message: str, code: str) -> Response:
    """An answer to a request that was not carried out."""
    return Refused({"errors": [GraphQLError(message, extensions={"code": code}).formatted]}, status)


class Refused(JSONResponse):
    """Its media type is the one that is asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if prefers_graphql(Headers(scope=scope).get("accept", "")):
            self.headers["content-type"] = f"{MEDIA_TYPE}; charset=utf-8"
        self.headers["vary"] = VARY.decode()
        await super().__call__(scope, receive, send)
