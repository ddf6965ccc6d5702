"""
Concurrent callers share one query.

On PostgreSQL, all requests that wait for the log's position share one statement.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Calls *query* once for all callers that wait for its result.

    A caller never gets the result of a query that began before the call. During a query, new callers wait for the next
    one, which begins when this one ends.
    """

    def __init__(self, query: Callable[[], Awaitable[T]]) -> None:
        self._query = query
        self._next: asyncio.Task[T] | None = None  # has not begun
        self._last: asyncio.Task[T] | None = None  # has begun

    async def __call__(self) -> T:
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._last))
            self._next.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._next)  # a cancelled caller doesn't cancel the query of the others

    async def _run(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._last, self._next = self._next, None
        return await self._query()


def _retrieve_exception(task: asyncio.Task[T]) -> None:
    """Mark the exception as retrieved, since all callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
