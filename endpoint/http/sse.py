"""
GraphQL over server-sent events: the "distinct connections" of graphql-sse, at the address of the HTTP endpoint.

See https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. A client that accepts `text/event-stream` gets
the payloads of its operation as `next` events, then `complete`. An event's `id` is the cursor to resume after, if it
has one. A browser's EventSource returns the last one as `Last-Event-ID`; it overrides the cursor in the variables.

An EventSource cannot send an Authorization header: a session's cookie admits it (see `endpoint.http.session`).
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from endpoint.errors import TEMPORARY, outcome, payload
from endpoint.execution.context import RequestContext
from endpoint.execution.persisted import NotPersisted
from endpoint.http.admission import Overload
from endpoint.http.websocket import ViewParts
from endpoint.identity import ROLES_CHANGED
from endpoint.metrics import Measurement, Outcome, type_label
from endpoint.streams.ring import RingEntry

logger = logging.getLogger("stageline.gql")

KEEP_ALIVE = 12.0
"""Time between comments that keep proxies from closing an idle stream, in seconds."""

RETRY = 1000, 10_000
"""Shortest and longest time after which a client is told to reconnect, in milliseconds."""

COME_BACK = TEMPORARY | {"TOO_MANY_BEHIND", "TOO_MANY_OPEN"}
"""Codes of errors after which a stream ends without `complete`, so that clients reconnect by themselves."""

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"vary", b"Accept"),
)


class EventOutlet:
    """Sends payloads as `next` events."""

    media_type = b"text/event-stream; charset=utf-8"
    start = b":\n\n"
    beat = b":\n\n"
    """Bytes without a payload, which keep proxies from closing an idle stream."""
    end = b"event: complete\ndata: \n\n"

    def __init__(self, send: Send) -> None:
        self._send = send

    async def write_text(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})

    async def send(self, entry: RingEntry) -> None:
        await self.write_text(self.next(entry))

    def next(self, entry: RingEntry) -> bytes:
        """Return the bytes of a payload."""
        place = b"" if entry.cursor is None else b"id: " + entry.cursor.encode() + b"\n"
        return b"event: next\n" + place + b"data: " + entry.payload + b"\n\n"

    def retry(self, milliseconds: int) -> bytes:
        """Return the end of a stream whose client should reconnect after that time."""
        return b"retry: %d\n\n" % milliseconds


class EventStreamResponse(Response):
    """The stream of an operation in the form of *outlet*.

    *data* is the operation of the request, or the reason that it has none.
    """

    def __init__(
        self,
        shared: ViewParts,
        context: RequestContext,
        request: Request,
        data: GraphQLRequestData | NotPersisted,
        measurement: Measurement,
        outlet: type[EventOutlet] = EventOutlet,
    ) -> None:
        self.background = None
        self._outlet = outlet
        self._measurement = measurement
        self._shared = shared
        self._hub = shared.hub
        self._schema = shared.schema
        self._admission = shared.admission
        self._context = context
        assert context.identity is not None, "the request is authenticated"
        self._identity = context.identity
        self._refused = data if isinstance(data, NotPersisted) else None
        operation = GraphQLRequestData(None, None, None, None) if isinstance(data, NotPersisted) else data
        self._query, self._variables, self._name = operation.query or "", operation.variables, operation.operation_name
        self._resume = request.headers.get("last-event-id") or None
        self._is_safe = request.method == "GET"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._admission.connection():
                await self._stream(receive, send)
        except Overload as overload:
            self._measurement.outcome = Outcome.UNAVAILABLE
            refused = Response(str(overload), 503, {"retry-after": str(round(overload.retry))}, "text/plain")
            await refused(scope, receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        outlet = self._outlet(send)
        headers = [(b"content-type", outlet.media_type), *HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await outlet.write_text(outlet.start)
        working = asyncio.create_task(self._answer_or_fail(outlet))
        revoked: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # with the reason
        ends: set[asyncio.Future[Any]] = {revoked}
        ends |= {asyncio.create_task(each) for each in (departure(receive), self._hub.stopping.wait())}
        comments = asyncio.create_task(_keep_alive(outlet))
        try:
            with self._shared.revocations.notify(self._identity, partial(_set, revoked)):
                await asyncio.wait({working, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                pass
            elif revoked.done():
                working.cancel()
                error = {"message": revoked.result(), "extensions": {"code": "UNAUTHENTICATED"}}
                await (_reconnect(outlet) if revoked.result() == ROLES_CHANGED else _fail(outlet, [error]))
            elif self._hub.stopping.is_set() and self._schema.documents.changes(self._query, self._name):
                await working  # a client that reconnects would repeat the change
            elif self._hub.stopping.is_set():
                await _reconnect(outlet)
        finally:
            for task in (working, comments, *ends):
                task.cancel()
            (fault, *_) = await asyncio.gather(working, comments, *ends, return_exceptions=True)
            if isinstance(fault, Exception):
                logger.error("Event stream failed", exc_info=fault)
        await send({"type": "http.response.body", "body": b""})

    async def _answer_or_fail(self, outlet: EventOutlet) -> None:
        try:
            await self._answer(outlet)
        except Overload:  # an EventSource would take an error status as final
            self._measurement.outcome = Outcome.UNAVAILABLE
            await _reconnect(outlet)
        except Exception as fault:
            errors = [error.formatted for error in self._schema.mask_fault(fault)]
            self._measurement.outcome = outcome(errors)
            await _fail(outlet, errors)

    async def _answer(self, outlet: EventOutlet) -> None:
        if self._refused is not None:
            raise self._refused
        await self._schema.documents.ready(self._query)
        self._measurement.type = type_label(self._schema.documents.operation_type(self._query, self._name))
        async with self._admission.turn():
            followed = self._shared.plans.subscription(
                self._query, self._name, self._variables, self._context, self._resume
            )
        completion = None if followed is None else await self._hub.deliver(followed, outlet)
        if completion is None:
            errors = await self._execute(outlet)
            self._measurement.outcome = outcome(errors)
            await _end(outlet, errors if followed is not None else ())  # a reconnect would repeat a mutation
        elif completion.errors:
            self._measurement.outcome = outcome(completion.errors)
            await _fail(outlet, completion.errors)
        else:
            await _end(outlet)

    async def _execute(self, outlet: EventOutlet) -> list[Any]:
        """Send the results of the operation; return the errors of the last one."""
        allowed = {
            OperationType.QUERY,
            OperationType.SUBSCRIPTION,
            *(() if self._is_safe else (OperationType.MUTATION,)),
        }
        results = await self._schema.stream(
            self._query,
            variable_values=self._variables,
            context_value=self._context,
            operation_name=self._name,
            allowed_operation_types=allowed,
        )
        errors: list[Any] = []
        async for result in results:
            assert isinstance(result, ExecutionResult), "results are not incremental"
            body = payload(result)
            errors = body.get("errors", [])
            await _next(outlet, body)
        return errors


async def _fail(outlet: EventOutlet, errors: Sequence[Any]) -> None:
    await _next(outlet, {"errors": errors})
    await _end(outlet, errors)


async def _end(outlet: EventOutlet, errors: Sequence[Any] = ()) -> None:
    """Send `complete`; after temporary *errors*, tell the client to reconnect instead."""
    if any(error.get("extensions", {}).get("code") in COME_BACK for error in errors):
        await _reconnect(outlet)
    else:
        await outlet.write_text(outlet.end)


async def _reconnect(outlet: EventOutlet) -> None:
    await outlet.write_text(outlet.retry(random.randint(*RETRY)))


async def _next(outlet: EventOutlet, body: dict[str, Any]) -> None:
    await outlet.send(RingEntry(0, None, msgspec.json.encode(body)))


def _set(future: asyncio.Future[str], why: str) -> None:
    if not future.done():
        future.set_result(why)


async def departure(receive: Receive) -> None:
    """Return when the client of a request disconnects; the body was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _keep_alive(outlet: EventOutlet) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE)
        await outlet.write_text(outlet.beat)
