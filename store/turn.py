"""Long work on an event loop, in pieces: between them others have their turn."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar
from weakref import WeakKeyDictionary

Item = TypeVar("Item")
Made = TypeVar("Made")

TURN = 0.005
"""Seconds that is worked, by all that take turns together, before others may go on."""


class Turns:
    """Those of one event loop: who waits gets theirs in order, one in each round of the loop."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Returns at once if there is time left, or else when others have had theirs."""
        if time.perf_counter() - self._begun <= TURN:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._next, loop)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = time.perf_counter()
        turn = self._waiting.popleft()
        if not turn.done():  # it may have been cancelled
            turn.set_result(None)
        if self._waiting:
            loop.call_soon(self._next, loop)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """Those of the running loop."""
    return _turns.setdefault(asyncio.get_running_loop(), Turns())


async def in_turn(items: Iterable[Item]) -> AsyncIterator[Item]:
    own = turns()
    for item in items:
        await own.take()
        yield item


async def made_in_turn(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What *make* makes of each."""
    return [make(item) async for item in in_turn(items)]
