"""
A subscription over graphql-transport-ws that reconnects with growing delays and resumes by cursor.

The protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cli import lazy
from cli.client import Data, Document, ServerAddress, Variables, fault, patience
from cli.errors import Failed, NotAuthorized, NotReachable

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
HANDSHAKE_SECONDS = 10.0

UNAUTHORIZED_CODES = (4401, 4403)
OWN_FAULT_CODES = (4400, 4406, 4409)


class SubscriptionFeed:
    """The events of the subscription *document*, each once.

    The document must select `cursor`, which becomes the variable `after`. *is_over* is called when the server
    completes the subscription, since a server that shuts down does so, too. *tell* gets a line when the connection
    breaks, and when it is back. The feed raises `NotReachable` after STAGELINE_PATIENCE seconds (120) without one.
    """

    def __init__(
        self,
        server: ServerAddress,
        document: Document,
        variables: Variables,
        *,
        is_over: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._server = server
        self._document = document
        self._variables = dict(variables)
        self._is_over = is_over
        self._tell = tell
        self._cursor = variables.get("after")
        self._pause = 0.0
        self._patience = patience()

    def events(self, tick: float) -> Iterator[Data | None]:
        """Yield each event until the subscription ends, and None after *tick* seconds without one."""
        broken_at: float | None = None
        while True:
            try:
                with self._connected() as socket:
                    if broken_at is not None:
                        self._tell("Reconnected.")
                        broken_at = None
                    yield from self._received(socket, tick)
                if self._is_over():
                    return
                why = "the server ended the subscription"
            except _Broken as error:
                why = str(error)
            except NotReachable as error:
                if isinstance(error, NotAuthorized):
                    raise
                why = "no server answers"
            now = time.monotonic()
            if broken_at is None:
                broken_at = now
                self._tell(f"Lost the connection to {self._server.url} ({why}); retrying …")
            if now - broken_at >= self._patience:
                raise self._server.not_reachable(f"for {self._patience:.0f} s: {why}")
            yield from self._waited(tick)

    def _waited(self, tick: float) -> Iterator[None]:
        """Wait, longer each time, with jitter so that many clients don't reconnect at once."""
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        until = time.monotonic() + self._pause * random.uniform(0.75, 1.25)
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(tick, left))
            yield None

    @contextmanager
    def _connected(self) -> "Iterator[lazy.client.ClientConnection]":
        """Connect, and send the subscription."""
        try:
            with lazy.client.connect(
                self._server.url.replace("http", "ws", 1) + "/graphql",
                subprotocols=[lazy.websockets.Subprotocol("graphql-transport-ws")],
                additional_headers=self._server.headers,
                open_timeout=HANDSHAKE_SECONDS,
                close_timeout=1,
                compression=None,
                proxy=None if self._server.is_local else True,
            ) as socket:
                _send(socket, {"type": "connection_init", "payload": self._credentials()})
                acknowledged = self._receive(socket, HANDSHAKE_SECONDS)
                if acknowledged is None or acknowledged["type"] != "connection_ack":
                    raise _Broken("the handshake got no answer")
                payload = {"query": self._document, "variables": {**self._variables, "after": self._cursor}}
                _send(socket, {"id": "1", "type": "subscribe", "payload": payload})
                yield socket
        except (ImportError, lazy.websockets.InvalidProxy) as error:
            with self._server.proxied():
                raise ImportError(str(error)) from error
        except lazy.websockets.ConnectionClosed as error:
            raise self._closed(error) from error
        except (OSError, TimeoutError, EOFError, lazy.websockets.InvalidHandshake, lazy.websockets.InvalidURI) as error:
            raise _Broken(str(error) or type(error).__name__) from error

    def _closed(self, error: "lazy.websockets.ConnectionClosed") -> Exception:
        """Return the error for a closed connection, by its close code."""
        code = error.rcvd.code if error.rcvd else None
        reason = error.rcvd.reason if error.rcvd else ""
        if code in UNAUTHORIZED_CODES:
            return NotAuthorized(self._server.url, known=self._server.token is not None, why=reason)
        if code in OWN_FAULT_CODES:
            return Failed(f"The server ended the subscription: {reason or code}.", code="SERVER_ERROR")
        return _Broken(reason or "it was closed")

    def _credentials(self) -> dict[str, str]:
        """Return the payload of `connection_init`."""
        token = {"authorization": f"Bearer {self._server.token}"} if self._server.token else {}
        return {"origin": "CLI", **token}

    def _received(self, socket: "lazy.client.ClientConnection", tick: float) -> Iterator[Data | None]:
        while True:
            message = self._receive(socket, tick)
            match message:
                case None:
                    yield None
                case {"type": "next", "payload": {"errors": [*errors]}} if errors:
                    raise fault(errors)
                case {"type": "next", "payload": {"data": dict(data)}}:
                    event: Data = next(iter(data.values()))
                    self._cursor = event["cursor"]
                    self._pause = 0.0
                    yield event
                case {"type": "error", "payload": errors}:
                    raise fault(errors)
                case {"type": "complete"}:
                    return
                case {"type": "ping"}:
                    _send(socket, {"type": "pong"})
                case _:
                    pass

    def _receive(self, socket: "lazy.client.ClientConnection", seconds: float) -> Any:
        """Return the next message, or None if there is none within *seconds*."""
        try:
            return json.loads(socket.recv(timeout=seconds))
        except TimeoutError:
            return None


class _Broken(Exception):
    """A broken connection; a retry may succeed."""


def _send(socket: "lazy.client.ClientConnection", message: dict[str, object]) -> None:
    socket.send(json.dumps(message))
