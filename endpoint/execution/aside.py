"""
Long queries, carried out beside the node's event loop.

There they would hold up everybody else. So they have a thread with a loop of its own, and the interpreter takes turns
between the two. All parts are there a second time, on the same stores; what is wanted from those is still fetched on
the node's loop, which their connections and locks belong to.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

AT_ONCE = 4
"""Long queries that are carried out at the same time, at most; the others wait in order."""

SWITCH = 0.0005
"""Seconds for which a thread keeps the interpreter while another one wants it: a tenth of what is usual, since each
step of the node's loop may have to wait for it."""

PUT_OFF = 10
"""How many times as many objects come between two full collections of garbage meanwhile."""

MANY = 20
"""Things of one list that are encoded one by one."""

Departure = Callable[[], Coroutine[Any, Any, object]]
"""Returns when the client of a request is gone."""

Context = TypeVar("Context")
Part = TypeVar("Part")
Result = TypeVar("Result")


class ClientGone(Exception):
    """The client left before its answer was ready."""


class Aside(Generic[Context]):
    """The thread for long queries; *move* gives a request's context with the parts that belong to the thread."""

    def __init__(self, move: Callable[[Context], Context]) -> None:
        self._move = move
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running = 0
        self._thresholds: tuple[int, int, int]  # of the garbage collector, while no query runs here
        self._loop: asyncio.AbstractEventLoop | None = None  # until the first query
        self._thread: Thread
        self._stopping = asyncio.Event()  # of the thread's loop, where it is waited for
        self._is_stopped = False

    async def stop(self) -> None:
        """Cancel the queries that run and those that wait for their turn."""
        self._is_stopped = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            await asyncio.to_thread(self._thread.join)

    async def run(
        self,
        context: Context,
        work: Callable[[Context], Coroutine[Any, Any, Result]],
        departure: Departure | None = None,
    ) -> Result:
        """Return the result of *work* in the thread; it is cancelled with its caller.

        Raises `ClientGone` when *departure* returns first.
        """
        if departure is None:
            return await self._run(context, work)
        ways = asyncio.create_task(self._run(context, work)), asyncio.create_task(departure())
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if not ways[0].done():
                raise ClientGone
            return ways[0].result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _run(self, context: Context, work: Callable[[Context], Coroutine[Any, Any, Result]]) -> Result:
        async with self._turns:
            if self._is_stopped:
                raise asyncio.CancelledError
            with self._fewer_collections():
                started = asyncio.run_coroutine_threadsafe(work(self._move(context)), self._started())
                return await asyncio.wrap_future(started)

    @contextmanager
    def _fewer_collections(self) -> Iterator[None]:
        """Postpone full garbage collections: they visit every object of long answers while both threads wait."""
        if not self._running:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(*self._thresholds[:2], PUT_OFF * self._thresholds[2])
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                gc.set_threshold(*self._thresholds)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            sys.setswitchinterval(SWITCH)
            loop = asyncio.new_event_loop()
            self._thread = Thread(target=self._serve, args=(loop,), name="aside")
            self._thread.start()
            self._loop = loop
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._stopping.wait())


def encoded(value: Any) -> bytes:
    """*value* as JSON. It is taken apart, a little at a time: what encodes, and what frees memory, takes no turns.

    Lists of leaves stay as they are: they may be those that a resolver gave.
    """
    if isinstance(value, dict):
        members = [msgspec.json.encode(key) + b":" + encoded(value.pop(key)) for key in list(value)]
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return encoded({key: getattr(value, name) for key, name in names})
    if isinstance(value, list) and len(value) >= MANY and isinstance(value[0], dict | list | Struct):
        value.reverse()
        items = [msgspec.json.encode(value.pop()) for _ in range(len(value))]
        return b"[" + b",".join(items) + b"]"
    return msgspec.json.encode(value)


def on_current_loop(part: Part) -> Part:
    """*part*, for another thread: its coroutines run on the loop that runs now."""
    return cast("Part", _LoopProxy(part, asyncio.get_running_loop()))


class _LoopProxy:
    def __init__(self, part: object, home: asyncio.AbstractEventLoop) -> None:
        self._part = part
        self._home = home

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            called = asyncio.run_coroutine_threadsafe(found(*arguments, **named), self._home)
            return await asyncio.wrap_future(called)

        return call
