"""A step's output file, carried over line by line while it grows."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from runner.targets.contract import StepOutput

LINE = 16 * 1024
"""The most bytes of a line: a longer one is cut there and goes on as the next."""

CHUNK = 4 * LINE
QUICK, SLOW = 0.02, 0.2  # seconds between looks at the file: while lines come, and after a while without any


class Tail:
    """Carries the lines of *file* over to *output*, from byte *position* on."""

    def __init__(self, file: Path, output: StepOutput, position: int) -> None:
        self._file = file
        self._output = output
        self._position = position

    async def follow(self, *until: Coroutine[Any, Any, None]) -> None:
        """Carries whole lines over until one of *until* returns, or raises; what it raises is raised here."""
        waits = [asyncio.ensure_future(each) for each in until]
        pause = QUICK
        try:
            while not any(wait.done() for wait in waits):
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = QUICK if await self.pull() else min(2 * pause, SLOW)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for wait in waits:
            if not wait.cancelled():
                wait.result()

    async def pull(self, *, rest: bool = False) -> bool:
        """Carries over what is in the file by now, with *rest* an unfinished line too; whether there was anything."""
        before, size = self._position, self._size()
        while self._position < size:
            data = self._read(min(CHUNK, size - self._position))
            lines, length = cut(data, rest=rest and self._position + len(data) == size)
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


def cut(data: bytes, *, rest: bool) -> tuple[list[str], int]:
    """The whole lines of *data*, with *rest* its unfinished last one too, and how many bytes they take up."""
    lines = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + LINE + 1)
        behind = end + 1
        if end < 0 and len(data) - start > LINE:
            end = behind = _character(data, start + LINE)
        elif end < 0 and rest:
            end = behind = len(data)
        elif end < 0:
            break
        lines.append(data[start:end].removesuffix(b"\r").decode(errors="replace"))
        start = behind
    return lines, start


def _character(data: bytes, place: int) -> int:
    """*place*, or the few bytes before it at which its UTF-8 character begins."""
    return next((at for at in range(place, place - 4, -1) if data[at] & 0xC0 != 0x80), place)
