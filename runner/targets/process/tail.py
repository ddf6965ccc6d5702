"""The tail of a step's output file, copied line by line while it grows."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.mask import Mask
from runner.targets.contract import StepOutput
from runner.targets.line import MAX_LINE, hidden_lines, last_state
from runner.targets.process.file import MAX_LOG
from store.attempt import MAX_BYTES

MAX_READ = 4 * MAX_LINE
"""Maximum number of bytes that are read at once."""

SHORT_PAUSE, LONG_PAUSE = 0.02, 0.08
"""Time between two reads of the file while it grows, and when it has not grown for a while, in seconds."""


class Tail:
    """A copier of the lines of *file* to *output*, from byte *position* on; *mask* hides secrets in them.

    A value whose end is still to come stays in the file, so a copier that continues after a crash finds it whole.
    """

    def __init__(self, file: Path, output: StepOutput, position: int, mask: Mask | None = None) -> None:
        self._mask = mask or Mask(())
        self._file = file
        self._output = output
        self._position = position
        self._begin = 0  # of the file in the attempt's output: what was before it was cut off
        self._unfinished = ""

    async def follow(self, *until: Coroutine[Any, Any, None]) -> None:
        """Copy complete lines until one of *until* returns; raise the exception that it raises."""
        waits = [asyncio.ensure_future(each) for each in until]
        pause = SHORT_PAUSE
        try:
            while not any(wait.done() for wait in waits):
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = SHORT_PAUSE if await self.copy() else min(2 * pause, LONG_PAUSE)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for wait in waits:
            if not wait.cancelled():
                wait.result()

    async def copy(self, *, rest: bool = False) -> bool:
        """Copy the complete lines in the file, and with *rest* an unfinished one; return whether there was any."""
        before = self._position
        while data := self._read(MAX_READ):
            is_full = len(data) == MAX_READ
            text, lines, length = hidden_lines(data, self._mask, rest=rest and not is_full)
            if is_full and not length:  # no value is that long
                text, lines, length = hidden_lines(data, self._mask, rest=True)
            if lines:
                await self._output.write(lines, self._position + length)
                self._unfinished = ""
            self._position += length
            if not length or not is_full:
                await self._show_unfinished(text[length:])
                self._limit_size()
                break
        return self._position > before

    async def _show_unfinished(self, data: bytes) -> None:
        text = self._mask.shown(last_state(data))
        if text != self._unfinished:
            self._unfinished = text
            await self._output.show_unfinished(text)

    def _read(self, length: int) -> bytes:
        """Return the next bytes of the file; none if it was deleted."""
        with suppress(FileNotFoundError), self._file.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._position - self._begin:  # somebody has truncated it
                self._begin = self._position
            file.seek(self._position - self._begin)
            return file.read(length)
        return b""

    def _limit_size(self) -> None:
        """Truncate a file that is large, once the store drops what comes: `MAX_BYTES` of the attempt were read."""
        if self._position > MAX_BYTES and self._position - self._begin > MAX_LOG:
            with suppress(FileNotFoundError):
                os.truncate(self._file, 0)
            self._begin = self._position
