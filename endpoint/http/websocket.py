"""
graphql-transport-ws: GraphQL over WebSockets, https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.

A message that breaks the protocol closes the connection with 4400. An error of one operation is sent to that operation;
the other operations of the connection continue.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, suppress
from time import perf_counter
from typing import Annotated, Any, Protocol, cast

import msgspec
from graphql import GraphQLError
from msgspec import Meta, Struct
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws import types as protocol
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation

from endpoint.errors import outcome
from endpoint.execution.context import RequestContext
from endpoint.execution.limits import MAX_NAME, TOO_MANY_MARKS, TooManyMarks
from endpoint.execution.persisted import NotPersisted, PersistedDocuments
from endpoint.execution.schema import Schema
from endpoint.http.admission import Admission, Overload, admit
from endpoint.identity import ROLES_CHANGED, TooManyAttempts, Unauthenticated
from endpoint.metrics import Measurement, Outcome, type_label
from endpoint.port import RevocationNotifier
from endpoint.streams.broadcast import Completion, Outlet
from endpoint.streams.hub import Hub
from endpoint.streams.ring import RingEntry
from endpoint.streams.subscription import SubscriptionPlans

logger = logging.getLogger("stageline.gql")

INVALID = 4400
"""Close code for an invalid message."""

MAX_REASON = 123
"""Maximum size of the reason in a close frame, in bytes (RFC 6455 5.5)."""

MAX_ID = 256
"""Maximum length of an operation's id, in characters."""

Id = Annotated[str, Meta(max_length=MAX_ID)]


class ConnectionInit(Struct, tag_field="type", tag="connection_init"):
    payload: dict[str, Any] | None = None


class Ping(Struct, tag_field="type", tag="ping"):
    payload: dict[str, Any] | None = None


class Pong(Struct, tag_field="type", tag="pong"):
    payload: dict[str, Any] | None = None


class OperationPayload(Struct, rename="camel"):
    query: str | None = None
    document_id: str | None = None
    operation_name: Annotated[str, Meta(max_length=MAX_NAME)] | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (self.query or self.document_id or self.extensions):
            raise ValueError("the payload must have `query` or `documentId`")


class Subscribe(Struct, tag_field="type", tag="subscribe"):
    id: Id
    payload: OperationPayload


class Complete(Struct, tag_field="type", tag="complete"):
    id: Id


Message = ConnectionInit | Ping | Pong | Subscribe | Complete


class Frames(Protocol):
    """A WebSocket that takes text frames as bytes; `server.websocket` offers it among the extensions of a scope."""

    def write_text(self, text: bytes) -> bool:
        """Write at once, unless the client is gone; return whether the client takes more."""
        ...

    async def drained(self) -> None:
        """Wait until the client takes more; raises `OSError` when it is gone."""
        ...


FRAMES = "stageline.frames"
"""Name of the ASGI extension that holds the `Frames` of a connection."""


class FrameOutlet:
    """Writes an operation's messages as frames, without a coroutine for each: half the CPU (decision 0014).

    Without the extension `FRAMES`, as under another ASGI server, `MessageOutlet` replaces it.
    """

    def __init__(self, frames: Frames, id_: str) -> None:
        self._frames = frames
        self._prefix = _prefix(id_)

    def write(self, entry: RingEntry) -> bool:
        return self._frames.write_text(self._prefix + entry.payload + b"}")

    async def send(self, entry: RingEntry) -> None:
        await self.ready()
        self.write(entry)

    async def ready(self) -> None:
        try:
            await self._frames.drained()
        except OSError as gone:
            raise WebSocketDisconnected from gone


class MessageOutlet:
    """Sends an operation's messages through ASGI, under any server."""

    def __init__(self, adapter: "Adapter", id_: str) -> None:
        self._adapter = adapter
        self._prefix = _prefix(id_)

    async def send(self, entry: RingEntry) -> None:
        await self._adapter.send_text((self._prefix + entry.payload + b"}").decode())


def _prefix(id_: str) -> bytes:
    return b'{"id":' + msgspec.json.encode(id_) + b',"type":"next","payload":'


class Adapter(ASGIWebSocketAdapter):
    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """Yield the client's messages; close the connection after one that exceeds a limit, and name the limit."""
        try:
            async for message in super().iter_json(ignore_parsing_errors=ignore_parsing_errors):
                yield message
        except NonJsonMessageReceived as fault:
            if not isinstance(fault.__cause__, TooManyMarks):
                raise
            await self.close(INVALID, TOO_MANY_MARKS)

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send *message* as a text frame."""
        await self.send_text(msgspec.json.encode(message).decode())

    async def send_text(self, text: str) -> None:
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(text)
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, unless it is closed."""
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            return
        with suppress(WebSocketDisconnect):
            await super().close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))


class ViewParts(Protocol):
    """The parts of a view that its connections use."""

    hub: Hub
    plans: SubscriptionPlans
    persisted: PersistedDocuments
    admission: Admission
    schema: Schema

    @property
    def revocations(self) -> RevocationNotifier: ...


TRY_AGAIN_LATER = 1013
"""Close code of RFC 6455's registry: clients reconnect after it, unlike after a 44xx."""

FORBIDDEN = 4403
"""Close code for a token that is missing, invalid, revoked or expired."""


class TooManyOperations(GraphQLError):
    """A connection has *limit* operations already."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"Too many operations on this connection; at most {limit} are allowed. Complete one, or open another"
            " connection.",
            extensions={"code": "TOO_MANY_OPERATIONS", "limit": limit},
        )


class SocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    _ending: asyncio.Task[None] | None = None  # set when its token ends

    async def handle(self) -> None:
        self._measurements: dict[str, Measurement] = {}  # by the ids of running operations
        with ExitStack() as self._while_open:
            await super().handle()

    async def handle_connection_init(self, message: protocol.ConnectionInitMessage) -> None:
        if self.connection_init_timeout_task:
            self.connection_init_timeout_task.cancel()  # from now on the client waits for the server
        was_acknowledged = self.connection_acknowledged
        try:
            await super().handle_connection_init(message)
        except Overload as overload:
            await self.websocket.close(TRY_AGAIN_LATER, str(overload))
        except Unauthenticated as refused:
            code = TRY_AGAIN_LATER if isinstance(refused, TooManyAttempts) else FORBIDDEN
            await self.websocket.close(code, str(refused))
        if self.connection_acknowledged and not was_acknowledged and self.context.identity is not None:
            revocations = self._shared.revocations
            self._while_open.enter_context(revocations.notify(self.context.identity, self._revoke))

    async def send_message(self, message: protocol.Message) -> None:
        """Send *message*; raises `Overload` if it acknowledges one connection too many."""
        if message["type"] == "connection_ack":
            self._while_open.enter_context(self._shared.admission.connection())
            admit(cast("Adapter", self.websocket).ws.scope)
        elif message["type"] == "error":
            self._note(message["id"], message["payload"])
        elif message["type"] == "next" and (errors := message["payload"].get("errors")):
            self._note(message["id"], errors)
        await super().send_message(message)

    def _note(self, operation: str, errors: Sequence[Mapping[str, Any]]) -> None:
        if operation in self._measurements:
            self._measurements[operation].outcome = outcome(errors)

    def _revoke(self, why: str) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_all(why))

    async def _end_all(self, why: str) -> None:
        """Cancel all operations, then close the connection with the reason *why*."""
        for id_ in list(self.operations):
            await self.cleanup_operation(id_)
        with suppress(WebSocketDisconnected, WebSocketDisconnect):
            await self.websocket.close(TRY_AGAIN_LATER if why == ROLES_CHANGED else FORBIDDEN, why)

    @property
    def _shared(self) -> ViewParts:
        return cast("ViewParts", self.view)

    async def handle_message(self, message: protocol.Message) -> None:
        if self._ending is not None:
            return
        try:
            msgspec.convert(message, Message)
        except msgspec.ValidationError as fault:
            await self.handle_invalid_message(f"Invalid graphql-transport-ws message: {fault}")
            return
        if message["type"] == "connection_init" and message.get("payload") is None:
            message = {"type": "connection_init"}  # the protocol allows null
        await super().handle_message(message)

    async def handle_subscribe(self, message: protocol.SubscribeMessage) -> None:
        if self.connection_acknowledged and message["id"] not in self.operations:
            payload = msgspec.convert(message["payload"], OperationPayload)
            most = self.max_subscriptions_per_connection
            if most is not None and len(self.operations) >= most:
                refusal = TooManyOperations(most)
                await self.send_message({"id": message["id"], "type": "error", "payload": [refusal.formatted]})
                return
            try:
                query = self._shared.persisted.text(payload.query, payload.document_id, payload.extensions)
            except NotPersisted as refused:
                await self.send_message({"id": message["id"], "type": "error", "payload": [refused.formatted]})
                return
            message["payload"]["query"] = query or ""
        await super().handle_subscribe(message)

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation; nothing more is sent for it, even if its task cannot be cancelled any more."""
        operation = self.operations.get(operation_id)
        if operation is not None:
            operation.completed = True
        if operation is not None and operation.task is None:  # it has ended
            del self.operations[operation_id]
        else:
            await super().cleanup_operation(operation_id)

    async def run_operation(self, operation: Operation[RequestContext, None]) -> None:
        measurement = self._measurements[operation.id] = Measurement(perf_counter())
        try:
            is_completed = await self._deliver(operation, measurement)
        except Overload as overload:
            measurement.outcome = Outcome.UNAVAILABLE
            await self.websocket.close(TRY_AGAIN_LATER, str(overload))
        except WebSocketDisconnected:  # not a fault: the client is gone
            self.operations.pop(operation.id, None)
        except Exception as fault:
            with suppress(WebSocketDisconnected):
                await operation.send_initial_errors(self._shared.schema.mask_fault(fault))
        else:
            if not is_completed:
                await super().run_operation(operation)
        finally:
            measurement.end()
            if self._measurements.get(operation.id) is measurement:  # else a later operation has the id
                del self._measurements[operation.id]
            operation.task = None  # a fault's traceback refers to the operation, and a task to its fault

    async def _deliver(self, operation: Operation[RequestContext, None], measurement: Measurement) -> bool:
        """Deliver a shared subscription to its end; return whether the operation is one."""
        documents = self._shared.schema.documents
        await documents.ready(operation.query)
        measurement.type = type_label(documents.operation_type(operation.query, operation.operation_name))
        async with self._shared.admission.turn():
            followed = self._shared.plans.subscription(
                operation.query, operation.operation_name, operation.variables, self.context
            )
        completion = None if followed is None else await self._shared.hub.deliver(followed, self._outlet(operation.id))
        if completion is not None:
            await self._end(operation, completion)
        return completion is not None

    async def _end(self, operation: Operation[RequestContext, None], completion: Completion) -> None:
        if completion.errors:
            payload: Any = {"data": None, "errors": completion.errors}
            await operation.send_operation_message({"id": operation.id, "type": "next", "payload": payload})
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    def _outlet(self, id_: str) -> Outlet:
        adapter = cast("Adapter", self.websocket)
        frames = (adapter.ws.scope.get("extensions") or {}).get(FRAMES)
        return MessageOutlet(adapter, id_) if frames is None else FrameOutlet(frames, id_)

    async def handle_task_exception(self, error: Exception) -> None:
        if not isinstance(error, WebSocketDisconnected):  # not a fault: the client is gone
            logger.error("WebSocket operation failed", exc_info=error)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # a syntax error, too, is sent to its own operation
