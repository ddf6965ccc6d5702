"""
graphql-transport-ws: GraphQL over WebSockets, https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.

Whatever isn't a message of the protocol closes the connection with 4400. What is wrong with one operation is told to
that operation, and the others on the connection go on.
"""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from graphql import GraphQLError
from msgspec import Meta, Struct
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws import types as protocol
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from gql.context import Context

logger = logging.getLogger("stageline.gql")

MAX_REASON = 123
"""Bytes of a close frame's reason, RFC 6455 5.5."""


class ConnectionInit(Struct, tag_field="type", tag="connection_init"):
    payload: dict[str, Any] | None = None


class Ping(Struct, tag_field="type", tag="ping"):
    payload: dict[str, Any] | None = None


class Pong(Struct, tag_field="type", tag="pong"):
    payload: dict[str, Any] | None = None


class Operation(Struct, rename="camel"):
    query: Annotated[str, Meta(min_length=1)]
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class Subscribe(Struct, tag_field="type", tag="subscribe"):
    id: str
    payload: Operation


class Complete(Struct, tag_field="type", tag="complete"):
    id: str


Message = ConnectionInit | Ping | Pong | Subscribe | Complete


class Adapter(ASGIWebSocketAdapter):
    async def send_json(self, message: Mapping[str, object]) -> None:
        """Sends a text frame, though JSON is encoded to bytes here."""
        try:
            await self.ws.send_text(msgspec.json.encode(message).decode())
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone

    async def close(self, code: int, reason: str) -> None:
        await super().close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))


class Handler(BaseGraphQLTransportWSHandler[Context, None]):
    async def handle_message(self, message: protocol.Message) -> None:
        try:
            msgspec.convert(message, Message)
        except msgspec.ValidationError as fault:
            await self.handle_invalid_message(f"No message of graphql-transport-ws: {fault}")
            return
        if message["type"] == "connection_init" and message.get("payload") is None:
            message = {"type": "connection_init"}  # the protocol allows null, too
        await super().handle_message(message)

    async def handle_task_exception(self, error: Exception) -> None:
        if not isinstance(error, WebSocketDisconnected):  # a client that went away is no fault
            logger.error("A WebSocket's operation broke off", exc_info=error)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # also a document that can't be read is told to its own operation
