"""
Who is let in when everybody comes at once, as after a restart.

A connection costs most while it is set up, and so does what is asked for on it. So many are set up at a time, the
others wait in the order they came in, and between two of them those who are in already have their turn. Beyond the
bounds a client is asked to come back.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from starlette.types import Scope

AT_ONCE = 16
"""Connections and operations that are set up at the same time."""

WAITING = 5000
"""Those at most that wait for it."""

CONNECTIONS = 10_000
"""WebSockets and event streams at most on a node."""

RETRY = 1.0, 10.0
"""Seconds between which clients are asked to come back."""


class Overload(Exception):
    """There are too many; *retry* is when to try again, in seconds, and another for each."""

    def __init__(self, what: str) -> None:
        self.retry = random.uniform(*RETRY)
        super().__init__(f"{what}: retry after {self.retry:.1f} s")


class Guest(Protocol):
    """A connection that takes note of a good token, as `server.http` offers it among a scope's extensions."""

    def let_in(self) -> None: ...


CONNECTION = "stageline.connection"


def let_in(scope: Scope) -> None:
    """Tell the connection of *scope* that a good token came over it: it may do more from now on."""
    connection: Guest | None = (scope.get("extensions") or {}).get(CONNECTION)
    if connection is not None:
        connection.let_in()


class SetupQueue:
    """A queue of those that wait to be set up."""

    def __init__(self) -> None:
        self._waiting = 0
        self._turns = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Lets others go first; raises `Overload`."""
        if self._waiting >= WAITING:
            raise Overload(f"{WAITING} wait to be let in already")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            await asyncio.sleep(0)
            yield
        finally:
            self._turns.release()


class Admission:
    """*most* is how many connections there may be at most, if they may not be `CONNECTIONS`.

    Those that have shown no good token wait in a queue of their own (*guests*), and are not counted.
    """

    def __init__(self, most: int = CONNECTIONS) -> None:
        self._most = most
        self._connections = 0
        self._operations = SetupQueue()
        self.turn = self._operations.turn
        self.guests = SetupQueue()

    @contextmanager
    def connection(self) -> Iterator[None]:
        """One that is there as long as this; raises `Overload`."""
        most = min(CONNECTIONS, self._most)
        if self._connections >= most:
            raise Overload(f"{most} connections at most")
        self._connections += 1
        try:
            yield
        finally:
            self._connections -= 1
