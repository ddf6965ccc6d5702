"""
Things that many fields of an answer want, loaded together.

Nothing of a batch is left when it is over; strawberry's DataLoader keeps the last one, and graphql-core leaves it in
garbage that refers to itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Batch(Generic[Key, Value]):
    """What is wanted until it is carried out; *load* gives a value for each key."""

    def __init__(self, load: Callable[[list[Key]], Awaitable[Sequence[Value]]]) -> None:
        self._load = load
        self._wanted: list[tuple[Key, asyncio.Future[Value]]] = []

    def want(self, key: Key) -> asyncio.Future[Value]:
        value: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._wanted.append((key, value))
        return value

    async def load(self) -> None:
        """To be called in a task of its own: who wanted something may be cancelled, and the others get theirs."""
        try:
            values = await self._load([key for key, _ in self._wanted])
            assert len(values) == len(self._wanted), "there is a value for each key"
        except asyncio.CancelledError:
            for _, waiting in self._wanted:
                waiting.cancel()
            raise
        except Exception as fault:
            for _, waiting in self._wanted:
                if not waiting.done():
                    waiting.set_exception(fault)
        else:
            for (_, waiting), value in zip(self._wanted, values, strict=True):
                if not waiting.done():
                    waiting.set_result(value)
