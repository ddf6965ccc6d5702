"""Waiting for a database that can't be reached just now: whatever is to be recorded is tried until it is."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from store.log import EventLog, LogUnavailable, Recorded, StreamMoved

T = TypeVar("T")

FIRST, MOST = 0.05, 5.0

logger = logging.getLogger(__name__)


def pauses() -> Iterator[float]:
    """Seconds to wait before the next try: they double from `FIRST` up to `MOST`."""
    pause = FIRST
    while True:
        yield pause
        pause = min(2 * pause, MOST)


async def patiently(act: Callable[[], Awaitable[T]]) -> T:
    """What *act* gives as soon as the database lets it."""
    told = ""
    for pause in pauses():
        try:
            return await act()
        except (LogUnavailable, StreamMoved) as error:
            told = _tell("Recording failed, and is retried: %(reason)s", error, told)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def follow(log: EventLog, after: int, stream: UUID | None = None) -> AsyncIterator[Sequence[Recorded]]:
    """`EventLog.follow`, which goes on where it was when the database comes back; it ends when the log is closed."""
    waits, told = pauses(), ""
    while True:
        try:
            async for batch in log.follow(after, stream):
                yield batch
                after, waits, told = batch[-1].position, pauses(), ""
            return
        except LogUnavailable as error:
            told = _tell("Following the log failed, and is retried: %(reason)s", error, told)
            await asyncio.sleep(next(waits))


def _tell(words: str, error: Exception, told: str) -> str:
    """Says it unless that is what was *told* last: what lasts is said once; what is told now."""
    if str(error) != told:
        logger.warning(words, {"reason": error})
    return str(error)
