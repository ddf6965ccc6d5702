"""
GraphQL over server-sent events: graphql-sse's "distinct connections", at the same address as everything else.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Who accepts `text/event-stream` gets its operation's
payloads as `next` events, then `complete`. Each event that can be resumed after has its cursor as `id`; a browser's
EventSource sends the last one back as `Last-Event-ID`, which counts for more than the cursor in the variables.

An EventSource can't send an Authorization header: it is let in by a session's cookie (see `endpoint.http.session`).
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

from endpoint.errors import TEMPORARY, payload
from endpoint.execution.context import RequestContext
from endpoint.execution.persisted import NotPersisted
from endpoint.http.admission import Overload
from endpoint.http.websocket import ViewParts
from endpoint.streams.ring import RingEntry

logger = logging.getLogger("stageline.gql")

KEEP_ALIVE = 12.0
"""Seconds between comments, which keep proxies from closing an idle stream."""

RETRY = 1000, 10_000
"""Milliseconds between which clients are asked to come back, when the server stops or has too much to do."""

COME_BACK = TEMPORARY | {"TOO_MANY_BEHIND", "TOO_MANY_OPEN"}
"""Codes of errors after which a stream ends without `complete`: clients then come back by themselves."""

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"vary", b"Accept"),
]

COMPLETE = b"event: complete\ndata: \n\n"


class EventOutlet:
    """Sends payloads as `next` events."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def write_text(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})

    async def send(self, entry: RingEntry) -> None:
        place = b"" if entry.cursor is None else b"id: " + entry.cursor.encode() + b"\n"
        await self.write_text(b"event: next\n" + place + b"data: " + entry.payload + b"\n\n")


class EventStreamResponse(Response):
    """The answer to *data*, the operation as a request has it, or why it has none."""

    def __init__(
        self,
        shared: ViewParts,
        context: RequestContext,
        request: Request,
        data: GraphQLRequestData | NotPersisted,
    ) -> None:
        self.background = None
        self._shared = shared
        self._hub = shared.hub
        self._schema = shared.schema
        self._admission = shared.admission
        self._context = context
        assert context.identity is not None, "nobody comes this far without a token"
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
        except Overload as crowded:
            refused = Response(str(crowded), 503, {"retry-after": str(round(crowded.retry))}, "text/plain")
            await refused(scope, receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        outlet = EventOutlet(send)
        await outlet.write_text(b":\n\n")
        working = asyncio.create_task(self._answer_or_say_why(outlet))
        let_out: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # with the reason
        ends: set[asyncio.Future[Any]] = {let_out}
        ends |= {asyncio.create_task(each) for each in (departure(receive), self._hub.stopping.wait())}
        comments = asyncio.create_task(_keep_alive(outlet))
        try:
            with self._shared.revocations.notify(self._identity, partial(_say, let_out)):
                await asyncio.wait({working, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                pass
            elif let_out.done():
                working.cancel()
                error = {"message": let_out.result(), "extensions": {"code": "UNAUTHENTICATED"}}
                await _fail(outlet, [error])
            elif self._hub.stopping.is_set() and self._schema.documents.changes(self._query, self._name):
                await working  # who is asked to come back would make the change again
            elif self._hub.stopping.is_set():
                await _ask_back(outlet)
        finally:
            for task in (working, comments, *ends):
                task.cancel()
            (fault, *_) = await asyncio.gather(working, comments, *ends, return_exceptions=True)
            if isinstance(fault, Exception):
                logger.error("An event stream broke off", exc_info=fault)
        await send({"type": "http.response.body", "body": b""})

    async def _answer_or_say_why(self, outlet: EventOutlet) -> None:
        try:
            await self._answer(outlet)
        except Overload:  # a status would be for good with an EventSource
            await _ask_back(outlet)
        except Exception as fault:
            await _fail(outlet, [error.formatted for error in self._schema.masked_fault(fault)])

    async def _answer(self, outlet: EventOutlet) -> None:
        if self._refused is not None:
            raise self._refused
        await self._schema.documents.ready(self._query)
        async with self._admission.turn():
            followed = self._shared.plans.subscription(
                self._query, self._name, self._variables, self._context, self._resume
            )
        over = None if followed is None else await self._hub.deliver(followed, outlet)
        if over is None:
            errors = await self._carry_out(outlet)
            await _end(outlet, errors if followed is not None else ())  # no client is to make a change again by itself
        elif over.errors:
            await _fail(outlet, over.errors)
        else:
            await _end(outlet)

    async def _carry_out(self, outlet: EventOutlet) -> list[Any]:
        """Sends what there is; the errors that it ended with."""
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
            assert isinstance(result, ExecutionResult), "nothing is delivered by and by"
            body = payload(result)
            errors = body.get("errors", [])
            await _next(outlet, body)
        return errors


async def _fail(outlet: EventOutlet, errors: Sequence[Any]) -> None:
    await _next(outlet, {"errors": errors})
    await _end(outlet, errors)


async def _end(outlet: EventOutlet, errors: Sequence[Any] = ()) -> None:
    """Says that it is over, unless the *errors* that it ended with may soon be: then clients are to come back."""
    if any(error.get("extensions", {}).get("code") in COME_BACK for error in errors):
        await _ask_back(outlet)
    else:
        await outlet.write_text(COMPLETE)


async def _ask_back(outlet: EventOutlet) -> None:
    await outlet.write_text(b"retry: %d\n\n" % random.randint(*RETRY))


async def _next(outlet: EventOutlet, body: dict[str, Any]) -> None:
    await outlet.send(RingEntry(0, None, msgspec.json.encode(body)))


def _say(to: asyncio.Future[str], why: str) -> None:
    if not to.done():
        to.set_result(why)


async def departure(receive: Receive) -> None:
    """Returns when the client of a request, whose body was read, is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _keep_alive(outlet: EventOutlet) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE)
        await outlet.write_text(b":\n\n")
