"""
Batches: values that many fields of an answer need, loaded together.

strawberry's DataLoader keeps its last batch, in objects that only a garbage collection frees. A batch here is freed
when it is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Batch(Generic[Key, Value]):
    """The keys that fields wait for; *load* returns a value for each key, in their order."""

    def __init__(self, load: Callable[[list[Key]], Awaitable[Sequence[Value]]]) -> None:
        self._load = load
        self._wanted: list[tuple[Key, asyncio.Future[Value]]] = []

    def want(self, key: Key) -> asyncio.Future[Value]:
        """Add *key*; the future gets its value."""
        value: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._wanted.append((key, value))
        return value

    async def load(self) -> None:
        """Load all values. Runs in a task of its own: one waiting field may be cancelled without the others."""
        try:
            values = await self._load([key for key, _ in self._wanted])
            assert len(values) == len(self._wanted), "load returns a value for each key"
        except asyncio.CancelledError:
            for _, waiting in self._wanted:
                waiting.cancel()
            raise
        except Exception as fault:
            self._fail(fault)
        else:
            for (_, waiting), value in zip(self._wanted, values, strict=True):
                if not waiting.done():
                    waiting.set_result(value)

    def _fail(self, fault: Exception) -> None:
        """Give *fault* to all fields, and forget them: its traceback refers to this batch."""
        for _, waiting in self._wanted:
            if not waiting.done():
                waiting.set_exception(fault)
        self._wanted = []
