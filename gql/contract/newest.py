"""
Newest-wins subscriptions: a value now, and again after each change.

Changes that come faster than `UPDATES` are sent as one, and the last value is always sent. So a slow reader costs no
more than a fast one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from store.log import EventLog, LogUnavailable, RecordedEvent

Value = TypeVar("Value")

UPDATES = 10
"""Maximum number of updates to one subscriber, per second."""

RETRY = 1.0
"""Time until a log that could not be reached is read again, in seconds."""

RATE = f"At most {UPDATES} updates a second: faster changes are sent as one, and the last value is always sent"
"""The rate, for descriptions of subscriptions."""


class Reading(Struct, Generic[Value], frozen=True, kw_only=True):
    """A value as of *position*; if it *is_final*, nothing can change it any more."""

    value: Value
    position: int
    is_final: bool


async def newest(
    log: EventLog,
    read: Callable[[], Awaitable[Reading[Value]]],
    concerns: Callable[[RecordedEvent], bool] = lambda _: True,
    stream: UUID | None = None,
) -> AsyncGenerator[Value, None]:
    """Yield the value that *read* returns, now and after each event of *stream* (None: of any) that *concerns* it.

    Except for the first value, wait for a log that can't be reached.
    """
    reading = await read()
    while True:
        yield reading.value
        if reading.is_final:
            return
        await asyncio.sleep(1 / UPDATES)
        while True:
            try:
                if not await _next_event(log, reading.position, concerns, stream):
                    return
                reading = await read()
                break
            except LogUnavailable:
                await asyncio.sleep(RETRY)


async def _next_event(
    log: EventLog, after: int, concerns: Callable[[RecordedEvent], bool], stream: UUID | None
) -> bool:
    """Wait for the next event; return False if the log is closed first."""
    async with aclosing(log.follow(after, stream)) as following:
        async for batch in following:
            if any(map(concerns, batch)):
                return True
    return False
