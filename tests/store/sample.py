"""Events that the tests of the store write and read."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar
from uuid import UUID

from domain.pipeline.environment import EnvironmentRenamed
from store import ids
from store.log import Author, Event, Origin, RecordedEvent, StreamChange
from store.output import EVERYTHING, OutputLine, OutputSelection, OutputStore

ANN = Author(actor="ann", origin=Origin.CLI)
BOB = Author(
    actor="bob",
    origin=Origin.API,
    token=ids.new(),
    correlation=ids.new(),
    causation=ids.new(),
    reason="The database moved — see ticket 7.",
)

A, B, C = ids.new(), ids.new(), ids.new()
"""Streams."""

Item = TypeVar("Item")


def renamed(name: str) -> Event:
    return EnvironmentRenamed(name=name)


def change(stream: UUID, expected: int, *names: str) -> StreamChange:
    """An event for each of *names*."""
    return StreamChange(stream=stream, expected=expected, events=tuple(map(renamed, names)))


def names(recorded: Sequence[RecordedEvent]) -> list[str]:
    return [told.event.name for told in recorded if isinstance(told.event, EnvironmentRenamed)]


async def take(follower: AsyncGenerator[Sequence[Item], None], count: int) -> list[Item]:
    """The next *count* items; then the follower is closed."""
    taken: list[Item] = []
    async with asyncio.timeout(30), aclosing(follower):  # only a follower that misses something is waited for so long
        while len(taken) < count:
            taken += await anext(follower)
    return taken


async def followed(
    store: OutputStore, deployment: UUID, selection: OutputSelection = EVERYTHING, after: int = 0
) -> AsyncGenerator[Sequence[OutputLine], None]:
    """The lines of the batches that a follower of the output gets."""
    async with aclosing(store.follow(deployment, selection, after)) as following:
        async for batch in following:
            if batch.chunks:
                yield batch.lines()
