"""
WebSockets as uvicorn serves them, and what it leaves open.

- Text frames are written as bytes that are ready, without a coroutine for each: this is what many followers of one
  stream are sent by (see `endpoint.http.websocket.Frames`).
- A client that is gone without a word is let go of at once when it misses a ping, whatever is still to be sent to it.
- Whoever is connected when the server stops is told when to come back, each at another time.
"""

import random
from typing import cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PING = 12.0
"""Seconds between pings, and that an answer may take: who is gone is found within twice as many."""

RETRY = 1.0, 10.0
"""Seconds between which clients are asked to come back when the server stops."""

RESTARTING = 1012
"""RFC 6455's registry of close codes: the service restarts."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    async def run_asgi(self) -> None:
        extensions = cast("dict[str, object]", self.scope["extensions"])
        extensions["stageline.frames"] = self
        try:
            await super().run_asgi()
        finally:
            extensions.clear()  # or it would hold on to itself

    @property
    def is_open(self) -> bool:
        return self.handshake_complete and not (self.disconnected or self.close_sent or self.transport.is_closing())

    def write_text(self, text: bytes) -> bool:
        """Writes a text frame (RFC 6455, 5.2), if the connection is open; whether the client takes more."""
        if not self.is_open:
            return False
        size = len(text)
        if size < 126:
            header = bytes((0x81, size))
        elif size < 65536:
            header = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            header = b"\x81\x7f" + size.to_bytes(8, "big")
        self.transport.write(header + text)
        return self.writable.is_set()

    async def drained(self) -> None:
        """Returns when the client takes more; raises `ClientDisconnected` when it is gone."""
        await self.writable.wait()
        if not self.is_open:
            raise ClientDisconnected

    def keepalive_timeout(self) -> None:
        """Cuts the connection without a close frame.

        uvicorn would send 1011, and a client that only slept would find that when it wakes up: graphql-ws takes it for
        the end, and doesn't come back.
        """
        self.stop_keepalive()
        self.transport.abort()

    def shutdown(self) -> None:
        if not self.is_open:
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTARTING})
        self.conn.send_close(RESTARTING, f"Restarting: retry after {random.uniform(*RETRY):.1f} s")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
