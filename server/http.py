"""
HTTP connections as uvicorn serves them, and what the system is told of each; a WebSocket begins as one.

- For a client that doesn't read, it holds kilobytes and not megabytes. (It would also hold a ping back behind them.)
- A client that acknowledges nothing of what is sent to it, for longer than a ping may take, is gone: an event stream
  has no pings, but comments are sent on it. Where a system knows no such limit, TCP's own ends it after minutes.
"""

import socket
from asyncio import Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

UNSENT = 64 * 1024
"""Bytes that the system holds for a client before they are on their way; as many again are held here."""

UNACKNOWLEDGED = 15_000
"""Milliseconds; with the time between two comments it is less than half a minute."""


class HttpProtocol(HttpToolsProtocol):
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as it is there
        super().connection_made(transport)
        if not transport.get_extra_info("peername"):  # no TCP
            return
        connection = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
