"""The log of a container, copied line by line to the output of a step."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from runner.mask import Mask
from runner.targets.contract import StepOutput
from runner.targets.line import hidden_lines, last_state

ENDING = 10.0
"""Maximum time in which the log of an ended container comes to its end, in seconds."""


PAUSE = 0.02
"""Time that the log of a service which was found healthy has to come, in seconds."""


class Source(Protocol):
    """A log, read from its beginning; with *follow* until its container ends."""

    def __call__(self, *, follow: bool) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


class ContainerLog:
    """The log of a container, *source*, copied to *output* from the first byte not stored; *mask* hides secrets."""

    def __init__(self, source: Source, output: StepOutput, mask: Mask) -> None:
        self._source, self._output, self._mask = source, output, mask
        self._position: int | None = None  # of the first byte that was not copied

    async def follow(self, *until: Coroutine[Any, Any, None]) -> None:
        """Copy the log until one of *until* returns; raise the exception that it raises."""
        copying = asyncio.create_task(self._copy(follows=True))
        waits = [asyncio.create_task(each) for each in until]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([copying], timeout=PAUSE)
        finally:
            for task in (*waits, copying):
                task.cancel()
            await asyncio.gather(*waits, copying, return_exceptions=True)
        for task in waits:
            if not task.cancelled():
                task.result()

    async def copy(self) -> None:
        """Copy the rest of the log, as far as it has come."""
        async with asyncio.timeout(ENDING):
            await self._copy(follows=False)

    async def _copy(self, *, follows: bool) -> None:
        if self._position is None:
            self._position = await self._output.offset()
        begin, rest = 0, b""  # *begin* is where *rest* begins in the log
        async with self._source(follow=follows) as frames:
            async for frame in frames:
                rest += frame
                if begin < self._position:  # it was copied before
                    skipped = min(self._position - begin, len(rest))
                    begin, rest = begin + skipped, rest[skipped:]
                text, lines, length = hidden_lines(rest, self._mask, rest=False)
                begin, rest = begin + length, rest[length:]
                if lines:
                    self._position = begin
                    await self._output.write(lines, begin)
                if text[length:]:
                    await self._output.show_unfinished(self._mask.shown(last_state(text[length:])))
        _, lines, length = hidden_lines(rest, self._mask, rest=True)
        if lines:
            self._position = begin + length
            await self._output.write(lines, self._position)
