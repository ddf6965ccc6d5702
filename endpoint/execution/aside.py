"""
Execution of long queries in a thread beside the node's event loop.

On the node's loop they would block every other request. The thread has an event loop of its own, and the interpreter
switches between the two threads. The application's parts exist twice, on the same stores. Calls to the stores run on
the node's loop, which owns their connections and locks.

The delay of other requests beside a query of 500 deployments fell from 11 s to tens of milliseconds (`bench.lag`).
A query runs here if its cost exceeds `cost.LONG_COST` or it has a long field; there is no switch.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

AT_ONCE = 4
"""Maximum number of long queries that run at the same time; the others wait in order."""

SWITCH = 0.0005
"""Interpreter's switch interval, in seconds: a tenth of Python's default, which each step of the loop may wait for."""

MANY = 20
"""Minimum length of a list whose items are encoded one by one."""

Departure = Callable[[], Coroutine[Any, Any, object]]
"""A function that returns when the client of a request disconnects."""

Context = TypeVar("Context")
Part = TypeVar("Part")
Result = TypeVar("Result")


class ClientGone(Exception):
    """The client disconnected before its answer was ready."""


class Aside(Generic[Context]):
    """The thread for long queries; *move* returns a request's context with the parts of the thread."""

    def __init__(self, move: Callable[[Context], Context]) -> None:
        self._move = move
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._loop: asyncio.AbstractEventLoop | None = None  # None until the first query
        self._thread: Thread
        self._stopping = asyncio.Event()  # of the thread's loop, where it is waited for
        self._is_stopped = False

    async def stop(self) -> None:
        """Cancel the queries that run and those that wait."""
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
            del way, ways  # a fault's traceback refers to this frame, and a task to the fault

    async def _run(self, context: Context, work: Callable[[Context], Coroutine[Any, Any, Result]]) -> Result:
        async with self._turns:
            if self._is_stopped:
                raise asyncio.CancelledError
            return await _result(work(self._move(context)), self._start())

    def _start(self) -> asyncio.AbstractEventLoop:
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


def _result(work: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Result]:
    """Return the future of *work*, which runs on another thread's *loop*.

    The caller keeps no reference to it: a fault's traceback refers to the caller's frame, and the future to the fault.
    """
    return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def encode_pieces(value: Any) -> bytes:
    """Return *value* as JSON, piece by piece: one call that encodes or frees a large value blocks both threads.

    Empties the dictionaries and lists of *value*. Lists of scalars stay intact: a resolver may own them.
    """
    if isinstance(value, dict):
        members = [msgspec.json.encode(key) + b":" + encode_pieces(value.pop(key)) for key in list(value)]
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return encode_pieces({key: getattr(value, name) for key, name in names})
    if isinstance(value, list) and len(value) >= MANY and isinstance(value[0], dict | list | Struct):
        value.reverse()
        items = [msgspec.json.encode(value.pop()) for _ in range(len(value))]
        return b"[" + b",".join(items) + b"]"
    return msgspec.json.encode(value)


def on_current_loop(part: Part) -> Part:
    """Return a proxy of *part* for another thread: its coroutines run on the event loop of this call."""
    return cast("Part", _LoopProxy(part, asyncio.get_running_loop()))


class _LoopProxy:
    """A proxy that runs the coroutines of *part* on the loop *home*."""

    def __init__(self, part: object, home: asyncio.AbstractEventLoop) -> None:
        self._part = part
        self._home = home

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            return await _result(found(*arguments, **named), self._home)

        return call
