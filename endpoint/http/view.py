"""
GraphQL over HTTP and over WebSockets, at one address.

HTTP is the GraphQL over HTTP specification (`application/graphql-response+json`, status 400 for requests that cannot
be executed); subscriptions are graphql-transport-ws. Every request carries a token: HTTP in its Authorization header, a
WebSocket in the payload of `connection_init`. A browser's session may replace it (see `endpoint.http.session`).

A query is answered from the cache, by a compiled document, or by graphql-core: the bytes are the same.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any

import msgspec
from cross_web import HTTPException
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from endpoint.errors import TEMPORARY, is_request_error, outcome, payload
from endpoint.execution.answers import PAST, Answer
from endpoint.execution.aside import ClientGone
from endpoint.execution.compiled.query import CompiledQueries
from endpoint.execution.context import Behind, RequestContext
from endpoint.execution.limits import TOO_MANY_MARKS, TooManyMarks
from endpoint.execution.persisted import NotPersisted, PersistedDocuments
from endpoint.execution.schema import Schema
from endpoint.http import session, sse
from endpoint.http.admission import CONNECTIONS, Admission, admit
from endpoint.http.backend import Backend
from endpoint.http.error import RETRY_AFTER, client_gone, mutation_by_get, refusal, shutdown, unauthorized, unreachable
from endpoint.http.multipart import preferred_outlet
from endpoint.http.representation import (
    MEDIA_TYPE,
    VARY,
    AnswerResponse,
    Representation,
    StaleResponse,
    accepts_events,
    prefers_graphql,
)
from endpoint.http.request import (
    RequestAdapter,
    RequestedOperation,
    check_request,
    decode,
    operation,
    read_body,
    replay,
)
from endpoint.http.websocket import Adapter, SocketHandler
from endpoint.identity import Credentials, Identity, Unauthenticated, client
from endpoint.metrics import Measurement, Outcome, log_operations, type_label
from endpoint.port import Authenticate, RevocationNotifier, Unavailable
from endpoint.streams.hub import Hub
from endpoint.streams.subscription import SubscriptionPlans
from tracing.span import Kind, annotate, fail, span

INIT_TIMEOUT = timedelta(seconds=10)
"""Maximum time until a WebSocket's `connection_init`."""

MAX_OPERATIONS = 100
"""Maximum number of operations at a time on one WebSocket."""

PATIENCE = 2.0
"""Maximum time that the log may take to confirm a cached answer, in seconds; then it is sent with its age."""

MAX_KEY = 20_000
"""Maximum size of a request whose answer is cached, in bytes."""

QUERY = OperationType.QUERY.value
"""Label of queries."""

SUBSCRIPTIONS = (
    "Subscriptions go over a WebSocket (graphql-transport-ws), as server-sent events (`Accept: text/event-stream`), or"
    " in parts (`Accept: multipart/mixed;subscriptionSpec=1.0`)."
)


class ResponseBody(dict[str, Any]):
    """An answer's JSON, with the facts that its status and media type depend on."""

    as_graphql = False
    is_request_error = False
    is_temporary = False


class HttpRequest(Struct):
    """An authenticated request; *text* is its body, or the query of its address."""

    scope: Scope
    receive: Receive
    method: str
    text: bytes
    identity: Identity
    key: Hashable
    representation: Representation
    measurement: Measurement


class View(GraphQL[RequestContext, None]):
    """The ASGI application; *backend* gives the running parts, *compiled* is None if queries are not compiled."""

    request_adapter_class = RequestAdapter
    websocket_adapter_class = Adapter
    graphql_transport_ws_handler_class = SocketHandler
    schema: Schema

    def __init__(
        self,
        schema: Schema,
        backend: Callable[[], Backend],
        authenticate: Authenticate,
        page: Response,
        persisted: PersistedDocuments,
        origins: Sequence[str] = (),
        streams: int = CONNECTIONS,
        compiled: CompiledQueries | None = None,
    ) -> None:
        super().__init__(
            schema,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_OPERATIONS,
            allowed_origins=origins,
        )
        self._backend = backend
        self._authenticate = authenticate
        self._page = page
        self._compiled = compiled
        self.persisted = persisted
        self.hub = Hub()
        self.plans = SubscriptionPlans(schema)
        self.admission = Admission(streams)
        log_operations()

    @property
    def revocations(self) -> RevocationNotifier:
        return self._backend().revocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b""):
            await self._page(scope, receive, send)
            return
        measurement = Measurement(perf_counter())
        response: ASGIApp
        try:
            response = await self._respond(scope, receive, headers, measurement)
        except HTTPException as fault:
            measurement.outcome = Outcome.INVALID
            response = self._invalid(Request(scope), fault)
        except Unauthenticated as refused:
            measurement.outcome = Outcome.UNAUTHENTICATED
            response = unauthorized(refused)
        except (ClientDisconnect, ClientGone):
            measurement.outcome = Outcome.GONE
            response = client_gone()
        except Unavailable as failure:
            measurement.outcome = Outcome.UNAVAILABLE
            response = unreachable(failure)
        except asyncio.CancelledError:  # the server stops, and waits no longer
            measurement.outcome = Outcome.UNAVAILABLE
            response = shutdown(may_be_done=False)
        await response(scope, receive, send)
        measurement.end()

    async def _respond(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], measurement: Measurement
    ) -> ASGIApp:
        """Nothing of a request is read before its token is known to be valid."""
        method: str = scope["method"]
        accept: bytes = headers.get(b"accept", b"")
        identity = await self._authenticate(self._credentials(scope, headers))
        admit(scope)
        outlet = preferred_outlet(accept)
        if outlet is not None and method not in ("GET", "POST"):
            check_request(method, None)
        check_request(method, headers.get(b"content-type", b"").decode("latin-1") or None)
        text = scope["query_string"] if method == "GET" else await read_body(scope, receive)
        if outlet is not None:
            return await self._stream(Request(scope, replay(text, receive)), identity, outlet, measurement)
        key = identity.scope, self.persisted.edition, method, text
        representation = Representation.of(method, headers)
        request = HttpRequest(scope, receive, method, text, identity, key, representation, measurement)
        try:
            return await self._cached(request) or await self._traced(request, headers)
        except HTTPException as fault:
            if not _is_subscription(fault) or not accepts_events(accept.decode("latin-1")):
                raise
            http = Request(scope, replay(text, receive))
            return await self._stream(http, identity, sse.EventOutlet, measurement)

    def _credentials(self, scope: Scope, headers: dict[bytes, bytes]) -> Credentials:
        given = headers.get(b"authorization")
        if given is None:
            return session.credentials(Request(scope), self.allowed_origins)
        return Credentials(given.decode("latin-1"), client(scope))

    async def _cached(self, request: HttpRequest) -> ASGIApp | None:
        """Return the cached answer: with its age if the log cannot confirm that it is still valid."""
        answers = self._backend().answers
        cached = None if answers is None else answers.find(request.key)
        if cached is None or answers is None:
            return None
        request.measurement.type = QUERY
        try:
            current = answers.find(request.key, await answers.confirm(PATIENCE))
        except Unavailable as failure:
            if not failure.allows_stale:
                raise
            return StaleResponse(cached.body, answers.known_at, request.representation)
        return None if current is None else AnswerResponse(current, request.representation)

    async def _traced(self, request: HttpRequest, headers: dict[bytes, bytes]) -> ASGIApp:
        """Execute the request as a span; its trace may have begun at the client."""
        with span("request", Kind.REQUEST, headers.get(b"traceparent", b"").decode("latin-1") or None):
            response = await self._execute(request)
            outcome_ = request.measurement.outcome
            annotate(type=request.measurement.type, outcome=outcome_)
            if outcome_ in (Outcome.FAULT, Outcome.UNAVAILABLE):
                fail(outcome_)
            return response

    async def _execute(self, request: HttpRequest) -> ASGIApp:
        text = request.text if request.method == "POST" else b""
        http = Request(request.scope, replay(text, request.receive))
        try:
            requested = await self.parse_http_body(RequestAdapter(http))
        except NotPersisted as refused:
            refusal = PreExecutionError(data=None, errors=[refused])
            body = await self.process_result(http, refusal)
            return self._response(body, await self.get_sub_response(http), request)
        await self.schema.documents.ready(requested.query or "")
        context = self._backend().context(http.headers, request.identity)
        context.departure = partial(sse.departure, request.receive)
        try:
            answer = await self._compiled_answer(request, requested, context)
        except Behind:
            context.has_waited = True
        else:
            if answer is not None:
                request.measurement.type = QUERY
                return AnswerResponse(answer, request.representation)
        return await self._execute_by_core(http, request, requested, context)

    async def _compiled_answer(
        self, request: HttpRequest, requested: RequestedOperation, context: RequestContext
    ) -> Answer | None:
        """Return the answer of a compiled query, and keep it if its streams are known."""
        backend = self._backend()
        answers = backend.answers
        if self._compiled is None or requested.query is None:
            return None
        own = context.collector()
        with nullcontext() if answers is None else answers.computation() as computation:
            data = await self._compiled.answer(
                requested.query,
                requested.operation_name,
                requested.variables,
                own,
                backend.feed.position if answers is None else answers.confirm,
            )
            if data is None:
                return None
            answer = Answer(b'{"data":%b}' % data, is_immutable=own.read == {PAST})
            is_cacheable = own.read and not requested.registers and len(request.text) <= MAX_KEY
            if answers is not None and computation is not None and is_cacheable:
                answers.keep(request.key, answer, frozenset(own.read or ()), computation, len(request.text))
            return answer

    async def _execute_by_core(
        self, http: Request, request: HttpRequest, requested: RequestedOperation, context: RequestContext
    ) -> ASGIApp:
        sub_response = await self.get_sub_response(http)
        found = self.schema.documents.operation_type(requested.query or "", requested.operation_name)
        request.measurement.type = type_label(found)
        try:
            result = await self.execute_single(http, RequestAdapter(http), sub_response, context, None, requested)
        except asyncio.CancelledError:  # the server stops, and waits no longer
            changes = self.schema.documents.changes(requested.query or "", requested.operation_name)
            request.measurement.outcome = Outcome.UNAVAILABLE
            return shutdown(may_be_done=changes and request.method != "GET")
        return self._response(await self.process_result(http, result), sub_response, request)

    def _response(self, body: Any, sub_response: Response, request: HttpRequest) -> ASGIApp:
        request.measurement.outcome = outcome(body.get("errors", ()))
        response = self.create_response(body, sub_response)
        if response.status_code == 200 and "retry-after" not in response.headers:
            return AnswerResponse(Answer(bytes(response.body)), request.representation)
        return response

    async def _stream(
        self, request: Request, identity: Identity, outlet: type[sse.EventOutlet], measurement: Measurement
    ) -> Response:
        requested: RequestedOperation | NotPersisted
        try:
            requested = await self.parse_http_body(RequestAdapter(request))
        except NotPersisted as refused:
            requested = refused
        if request.method == "GET" and not isinstance(requested, NotPersisted):
            documents = self.schema.documents
            await documents.ready(requested.query or "")
            if documents.changes(requested.query or "", requested.operation_name):
                measurement.outcome = Outcome.INVALID
                return mutation_by_get()
        context = self._backend().context(request.headers, identity)
        return sse.EventStreamResponse(self, context, request, requested, measurement, outlet)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> RequestContext:
        context = self._backend().context(request.headers, None)
        kept = session.cookie(request, self.allowed_origins)
        context.credentials = Credentials(None, client(request.scope), kept)
        return context

    async def on_ws_connect(self, context: RequestContext) -> None:
        params = context.connection_params
        named = {name.lower(): each for name, each in params.items()} if isinstance(params, dict) else {}
        authorization, secret, origin = (
            value if isinstance(value, str) else None
            for value in map(named.get, ("authorization", "session", "origin"))  # in any case, as headers may be named
        )
        context.claimed_origin = origin or context.claimed_origin  # a browser sends no headers of its own
        brought = context.credentials
        assert brought is not None, "get_context sets them"
        if authorization is not None or secret is None or brought.session is None:
            credentials = Credentials(authorization, brought.client)
        else:
            credentials = Credentials(None, brought.client, brought.session, secret)
        async with self.admission.guests.turn():
            context.identity = await self._authenticate(credentials)

    def _invalid(self, request: Request, fault: HTTPException) -> Response:
        """Return the response to an invalid request, with the status of GraphQL over HTTP."""
        match fault.__cause__:
            case TooManyMarks():
                return refusal(HTTPException(400, TOO_MANY_MARKS))
            case CannotGetOperationTypeError() if not prefers_graphql(request.headers.get("accept", "")):
                return refusal(HTTPException(200, fault.reason))
            case InvalidOperationTypeError() if _is_subscription(fault):
                return refusal(HTTPException(400, SUBSCRIPTIONS))
            case InvalidOperationTypeError():
                return mutation_by_get()
        return refusal(fault)

    async def parse_http_body(self, request: Any) -> RequestedOperation:
        if request.method == "GET":
            return operation(self.parse_query_params(request.query_params), self.persisted)
        parsed = self.parse_json(await request.get_body())
        if not isinstance(parsed, dict):
            many = f"; it has {len(parsed):,} operations: send each by itself" if isinstance(parsed, list) else ""
            raise HTTPException(400, f"The request's body must be a JSON object, with one operation{many}")
        return operation(parsed, self.persisted)

    def decode_json(self, data: str | bytes) -> object:
        return decode(data)

    def encode_json(self, data: object) -> bytes:
        return msgspec.json.encode(data)

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        body = ResponseBody()
        body.as_graphql = prefers_graphql(request.headers.get("accept", ""))
        body.is_temporary = any((error.extensions or {}).get("code") in TEMPORARY for error in result.errors or ())
        body.is_request_error = is_request_error(result)
        body.update(payload(result))
        return body  # type: ignore[return-value]  # a TypedDict by its keys

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        response = super().create_response(response_data, sub_response)
        if isinstance(response_data, ResponseBody) and response_data.is_temporary:
            response.headers.update(RETRY_AFTER)
            if response_data.get("data") is None:
                response.status_code = 503
        if isinstance(response_data, ResponseBody) and response_data.as_graphql:
            response.headers["content-type"] = f"{MEDIA_TYPE}; charset=utf-8"
            if response_data.is_request_error and not sub_response.status_code:
                response.status_code = 400
        response.headers["vary"] = VARY.decode()
        return response


def _is_subscription(fault: HTTPException) -> bool:
    cause = fault.__cause__
    return isinstance(cause, InvalidOperationTypeError) and cause.operation_type is OperationType.SUBSCRIPTION
