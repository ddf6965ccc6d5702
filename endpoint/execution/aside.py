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
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from gql.context import Application

AT_ONCE = 4
"""Long queries that are carried out at the same time, at most; the others wait in order."""

SWITCH = 0.0005
"""Seconds for which a thread keeps the interpreter while another one wants it: a tenth of what is usual, since each
step of the node's loop may have to wait for it."""

PUT_OFF = 10
"""How many times as many objects come between two full collections of garbage meanwhile."""

MANY = 20
"""Things of one list that are encoded one by one."""

Gone = Callable[[], Coroutine[Any, Any, object]]
"""Returns when nobody waits for an answer any more."""

Part = TypeVar("Part")
Result = TypeVar("Result")


class Left(Exception):
    """Whoever asked is gone."""


class Aside:
    """The thread; *application* has the parts that are for it."""

    def __init__(self, application: "Application") -> None:
        self._application = application
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._carried_out = 0
        self._collects: tuple[int, int, int]  # as usual, while something is carried out
        self._loop: asyncio.AbstractEventLoop | None = None  # until it is wanted
        self._thread: Thread
        self._stopping = asyncio.Event()  # of the thread's loop, where it is waited for
        self._is_stopped = False

    async def stop(self) -> None:
        """Cancels what isn't over, and what hasn't begun."""
        self._is_stopped = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            await asyncio.to_thread(self._thread.join)

    async def carry_out(
        self, work: Callable[["Application"], Coroutine[Any, Any, Result]], gone: Gone | None = None
    ) -> Result:
        """What *work* comes to; it is cancelled with whoever waits for it, and when *gone* says so: raises `Left`."""
        if gone is None:
            return await self._carry_out(work)
        ways = asyncio.create_task(self._carry_out(work)), asyncio.create_task(gone())
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if not ways[0].done():
                raise Left
            return ways[0].result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry_out(self, work: Callable[["Application"], Coroutine[Any, Any, Result]]) -> Result:
        async with self._turns:
            if self._is_stopped:
                raise asyncio.CancelledError
            with self._undisturbed():
                begun = asyncio.run_coroutine_threadsafe(work(self._application), self._started())
                return await asyncio.wrap_future(begun)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Puts full collections of garbage off: they look at all that long answers are made of, and everything stands
        still meanwhile."""
        if not self._carried_out:
            self._collects = gc.get_threshold()
            gc.set_threshold(*self._collects[:2], PUT_OFF * self._collects[2])
        self._carried_out += 1
        try:
            yield
        finally:
            self._carried_out -= 1
            if not self._carried_out:
                gc.set_threshold(*self._collects)

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


def elsewhere(part: Part) -> Part:
    """*part*, for another thread: its coroutines run on the loop that runs now."""
    return cast("Part", _Elsewhere(part, asyncio.get_running_loop()))


class _Elsewhere:
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
