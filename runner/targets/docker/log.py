"""The log of a container, copied line by line to the output of a step."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from runner.mask import Mask
from runner.targets.contract import StepOutput
from runner.targets.docker.engine import Engine
from runner.targets.line import hidden_lines, last_state

ENDING = 10.0
"""Maximum time in which the log of an ended container comes to its end, in seconds."""


PAUSE = 0.02
"""Time that the log of a service which was found healthy has to come, in seconds."""


class ContainerLog:
    """The log of *container*, copied to *output* from the first byte that is not stored; *mask* hides secrets."""

    def __init__(self, engine: Engine, container: str, output: StepOutput, mask: Mask) -> None:
        self._engine, self._container, self._output, self._mask = engine, container, output, mask
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
        path, begin, rest = f"/containers/{self._container}/logs", 0, b""  # *begin* is where *rest* begins in the log
        async with self._engine.frames(path, follow=follows, stdout=True, stderr=True) as frames:
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
