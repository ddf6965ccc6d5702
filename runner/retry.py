"""Retries of operations until the database is available again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from store.log import EventLog, LogUnavailable, RecordedEvent, StreamMoved

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Shortest and longest time between two tries, in seconds."""

logger = logging.getLogger(__name__)


def backoff() -> Iterator[float]:
    """Yield the seconds to wait before each retry: they double from `FIRST_PAUSE` up to `LONGEST_PAUSE`."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


async def retry(act: Callable[[], Awaitable[T]]) -> T:
    """Call *act* until the database is available and no other writer conflicts; return the result."""
    last = ""
    for pause in backoff():
        try:
            return await act()
        except (LogUnavailable, StreamMoved) as error:
            last = log_once("Recording failed; retrying: %(reason)s", error, last)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def follow(log: EventLog, after: int, stream: UUID | None = None) -> AsyncIterator[Sequence[RecordedEvent]]:
    """Yield the batches of `EventLog.follow`, and resume it after a lost connection; end when the log is closed."""
    waits, last = backoff(), ""
    while True:
        try:
            async for batch in log.follow(after, stream):
                yield batch
                after, waits, last = batch[-1].position, backoff(), ""
            return
        except LogUnavailable as error:
            last = log_once("Following the log failed; retrying: %(reason)s", error, last)
            await asyncio.sleep(next(waits))


def log_once(message: str, error: Exception, last: str) -> str:
    """Log *error*, unless it has the *last* text; return its text."""
    if str(error) != last:
        logger.warning(message, {"reason": error})
    return str(error)
