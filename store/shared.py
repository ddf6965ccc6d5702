"""One question for all who ask it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Asks *ask* for as many as wait for the answer, and never gives anybody one that was asked for before they came.

    Who comes while a question is on its way waits for the next one, which begins when this one is answered.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._next: asyncio.Task[T] | None = None  # not begun yet
        self._last: asyncio.Task[T] | None = None  # begun

    async def __call__(self) -> T:
        if self._next is None:
            self._next = asyncio.create_task(self._turn(self._last))
            self._next.add_done_callback(_heard)
        return await asyncio.shield(self._next)  # who waits may be cancelled, and the others still wait

    async def _turn(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._last, self._next = self._next, None
        return await self._ask()


def _heard(task: asyncio.Task[T]) -> None:
    """All who waited may be gone; what was raised is nobody's then."""
    if not task.cancelled():
        task.exception()
