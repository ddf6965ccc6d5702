"""The tail of a step's output file, copied line by line while it grows."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from runner.targets.contract import StepOutput

MAX_LINE = 16 * 1024
"""Maximum length of a line, in bytes; the rest of a longer one becomes the next line."""

MAX_READ = 4 * MAX_LINE
"""Maximum number of bytes that are read at once."""

SHORT_PAUSE, LONG_PAUSE = 0.02, 0.2
"""Time between two reads of the file while it grows, and when it has not grown for a while, in seconds."""


class Tail:
    """A copier of the lines of *file* to *output*, from byte *position* on."""

    def __init__(self, file: Path, output: StepOutput, position: int) -> None:
        self._file = file
        self._output = output
        self._position = position

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
        before, size = self._position, self._size()
        while self._position < size:
            data = self._read(min(MAX_READ, size - self._position))
            lines, length = split_lines(data, rest=rest and self._position + len(data) == size)
            if not lines:
                break
            await self._output.write(lines, self._position + length)
            self._position += length
        return self._position > before

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def _read(self, length: int) -> bytes:
        with self._file.open("rb") as file:
            file.seek(self._position)
            return file.read(length)


def split_lines(data: bytes, *, rest: bool) -> tuple[list[str], int]:
    """Return the complete lines of *data*, with *rest* also an unfinished last one, and their length in bytes."""
    lines = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + MAX_LINE + 1)
        following = end + 1
        if end < 0 and len(data) - start > MAX_LINE:
            end = following = _character_start(data, start + MAX_LINE)
        elif end < 0 and rest:
            end = following = len(data)
        elif end < 0:
            break
        lines.append(data[start:end].removesuffix(b"\r").decode(errors="replace"))
        start = following
    return lines, start


def _character_start(data: bytes, index: int) -> int:
    """Return where the UTF-8 character at *index* begins; *index* itself for invalid UTF-8."""
    return next((start for start in range(index, index - 4, -1) if data[start] & 0xC0 != 0x80), index)
