"""The tail of a step's output file, copied line by line while it grows."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.mask import Mask
from runner.targets.contract import StepOutput
from runner.targets.process.file import MAX_LOG
from store.attempt import MAX_BYTES

MAX_LINE = 16 * 1024
"""Maximum length of a line, in bytes; the rest of a longer one becomes the next line."""

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
            text, lines, length = self._hidden(data, rest=rest and not is_full)
            if is_full and not length:  # no value is that long
                text, lines, length = self._hidden(data, rest=True)
            if lines:
                await self._output.write(lines, self._position + length)
                self._unfinished = ""
            self._position += length
            if not length or not is_full:
                await self._show_unfinished(text[length:])
                self._limit_size()
                break
        return self._position > before

    def _hidden(self, data: bytes, *, rest: bool) -> tuple[bytes, list[str], int]:
        """Return *data* without secrets, the complete lines in it, and their length, which ends in no secret."""
        hidden = self._mask.hide(data, is_end=rest)
        lines, length = split_lines(hidden.data, rest=rest)
        if (whole := hidden.whole(length)) < length:
            lines, length = split_lines(hidden.data[:whole], rest=False)
        return hidden.data, [self._mask.shown(line) for line in lines], length

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


def split_lines(data: bytes, *, rest: bool) -> tuple[list[str], int]:
    """Return the complete lines of *data*, with *rest* also an unfinished last one, and their length in bytes.

    Earlier states of a progress line, which end with a carriage return, are left out. Those of an unfinished line
    are in the length, if it is longer than `MAX_LINE`.
    """
    lines: list[str] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        following = end + 1
        if end < 0 and rest:
            end = following = len(data)
        begin = _state_start(data, start, len(data) if end < 0 else end)
        if (len(data) if end < 0 else end) - begin > MAX_LINE:
            end = following = _character_start(data, begin + MAX_LINE)
        elif end < 0:
            return lines, begin if len(data) - start > MAX_LINE else start
        lines.append(last_state(data[begin:end]))
        start = following
    return lines, start


def last_state(data: bytes) -> str:
    """Return the text that a terminal shows of a line: the one after the last carriage return before it."""
    return data[_state_start(data, 0, len(data)) :].rstrip(b"\r").decode(errors="replace")


def _state_start(data: bytes, start: int, end: int) -> int:
    """Return where the last state of the line from *start* to *end* begins."""
    while end > start and data[end - 1] == 13:  # a carriage return, after which nothing has come yet
        end -= 1
    return data.rfind(b"\r", start, end) + 1 or start


def _character_start(data: bytes, index: int) -> int:
    """Return where the UTF-8 character at *index* begins; *index* itself for invalid UTF-8."""
    return next((start for start in range(index, index - 4, -1) if data[start] & 0xC0 != 0x80), index)
