"""
Admission of connections and operations when many arrive at once, as after a restart.

The set-up of a connection or operation costs most. So at most `AT_ONCE` are set up at a time; the others wait in
order of arrival. Between two set-ups the event loop serves the clients that are connected already. Beyond the limits
a client is told when to retry.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from starlette.types import Scope

from endpoint.metrics import SETUP_QUEUE, STREAMS

AT_ONCE = 16
"""Maximum number of connections and operations that are set up at the same time."""

WAITING = 5000
"""Maximum number of connections and operations that wait to be set up."""

CONNECTIONS = 10_000
"""Maximum number of open WebSockets and event streams of a node."""

RETRY = 1.0, 10.0
"""Shortest and longest time after which a client is told to retry, in seconds."""


class Overload(Exception):
    """Too many of *what*, of which *limit* are allowed; *retry* is a random time until the next try, in seconds."""

    def __init__(self, what: str, limit: int) -> None:
        self.retry = random.uniform(*RETRY)
        super().__init__(f"Too many {what}; at most {limit:,} are allowed: retry after {self.retry:.1f} s")


class Guest(Protocol):
    """A connection without a valid token so far; `server.http` offers it among the extensions of an ASGI scope."""

    def admit(self) -> None: ...


CONNECTION = "stageline.connection"
"""Name of the ASGI extension that holds the connection of a request."""


def admit(scope: Scope) -> None:
    """Tell the connection of *scope* that it has sent a valid token: its limits are wider from now on."""
    connection: Guest | None = (scope.get("extensions") or {}).get(CONNECTION)
    if connection is not None:
        connection.admit()


class SetupQueue:
    """A queue of connections or operations that wait to be set up; metrics show its length under its *name*."""

    def __init__(self, name: str) -> None:
        self._waiting = 0
        self._length = SETUP_QUEUE.labels(name)
        self._turns = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, after everything that waits already; raises `Overload`."""
        if self._waiting >= WAITING:
            raise Overload("connections and operations wait", WAITING)
        self._waiting += 1
        self._length.inc()
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
            self._length.dec()
        try:
            await asyncio.sleep(0)
            yield
        finally:
            self._turns.release()


class Admission:
    """The open connections, at most *most* and `CONNECTIONS`, and the queues for set-ups.

    Connections without a valid token wait in a queue of their own (*guests*), and are not counted.
    """

    def __init__(self, most: int = CONNECTIONS) -> None:
        self._most = most
        self._connections = 0
        self._operations = SetupQueue("operations")
        self.turn = self._operations.turn
        self.guests = SetupQueue("guests")

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count a connection while it is open; raises `Overload`."""
        most = min(CONNECTIONS, self._most)
        if self._connections >= most:
            raise Overload("connections", most)
        self._connections += 1
        try:
            with STREAMS.track_inprogress():
                yield
        finally:
            self._connections -= 1
