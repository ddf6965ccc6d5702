"""
The output file of an attempt: `log`, and `log.1` with what was before it.

Positions count the bytes of the whole output, also of what is gone. The file `base` has the position at which `log`
begins. The file `marks` has moments with the positions of the end at that time, so that output since a moment is found.
"""

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from store.sqlite import disk

PIECE = 1024 * 1024
"""Size of a part of a log that is copied at once, in bytes."""

MAX_LOG = 16 * 1024 * 1024
"""Size of a log from which it is rotated, in bytes; as much of it stays in log.1, or twice as much of a fast one."""

MAX_MARKS = 64 * 1024
"""Size of the marks from which every second one is dropped, in bytes; a mark has about 30."""


FAST = MAX_LOG // 8
"""Growth of a log between two looks from which it is looked at more often, in bytes."""


class LogFile:
    """The output of the attempt in *folder*, as far as its files have it: from `begin` to `end`."""

    def __init__(self, folder: Path) -> None:
        self._log, self._old = folder / "log", folder / "log.1"
        self._base, self._marks = folder / "base", folder / "marks"

    @property
    def base(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            return int(self._base.read_text())
        return 0

    @property
    def begin(self) -> int:
        base = self.base
        return max(0, base - _size(self._old)) if base else 0

    @property
    def end(self) -> int:
        return self.base + _size(self._log)

    @property
    def changed_at(self) -> float:
        """The time of the last output, in seconds of the wall clock; 0 if there is none."""
        with suppress(FileNotFoundError):
            return self._log.stat().st_mtime
        return 0.0

    def read(self, position: int, length: int) -> bytes:
        """Return at most *length* bytes from *position*, which is not before `begin`; fewer at the end of a file."""
        base = self.base
        file, start = (self._log, base) if position >= base else (self._old, base - _size(self._old))
        with suppress(FileNotFoundError), file.open("rb") as opened:
            opened.seek(max(0, position - start))
            return opened.read(length)
        return b""

    def since(self, moment: datetime) -> int:
        """Return the position of the output at *moment*, or of the last mark before it."""
        found = 0
        for at, position in self._read_marks():
            if at > moment.timestamp():
                break
            found = position
        return max(found, self.begin)

    def mark(self) -> None:
        """Note the end at this moment, if it has moved since the last mark."""
        end, marks = self.end, self._read_marks()
        if end == (marks[-1][1] if marks else 0):
            return
        if len(marks) * 30 > MAX_MARKS:
            self._write_marks(marks[::2])
        with open(self._marks, "a", opener=disk.open_private) as file:
            file.write(f"{datetime.now(UTC).timestamp():.6f} {end}\n")

    def rotate(self) -> None:
        """Move the end of a log that is larger than `MAX_LOG` to log.1, and what is printed meanwhile, up to as much.

        Output of the moment of the truncation is lost.
        """
        with suppress(FileNotFoundError):
            size = self._log.stat().st_size
            if size > MAX_LOG:
                with self._log.open("rb") as log, open(self._old, "wb", opener=disk.open_private) as old:
                    log.seek(size - MAX_LOG)
                    while old.tell() < 2 * MAX_LOG and (part := log.read(min(PIECE, MAX_LOG))):
                        old.write(part)
                    end = self.base + log.tell()
                with open(self._base, "w", opener=disk.open_private) as base:
                    base.write(str(end))
                os.truncate(self._log, 0)

    def _read_marks(self) -> list[tuple[float, int]]:
        with suppress(FileNotFoundError):
            lines = (line.split() for line in self._marks.read_text().splitlines())
            return [(float(each[0]), int(each[1])) for each in lines if len(each) == 2]
        return []

    def _write_marks(self, marks: list[tuple[float, int]]) -> None:
        part = self._marks.with_name("marks.part")
        with open(part, "w", opener=disk.open_private) as file:
            file.writelines(f"{at:.6f} {position}\n" for at, position in marks)
        part.replace(self._marks)


class LogKeeper:
    """Marks and rotates the logs of many attempts, but those in the folders *spared*, which a step copies.

    A log that has not grown since the last look costs only that look: 1,000 of them 10 ms.
    """

    def __init__(self, spared: Collection[Path]) -> None:
        self._spared = spared
        self._sizes: dict[Path, int] = {}
        self.fast: Collection[Path] = ()  # logs that grow fast

    def look(self, logs: Iterable[Path]) -> None:
        """Mark and rotate those of *logs* that have grown."""
        fast, sizes = [], dict[Path, int]()
        for log in logs:
            size, before = _size(log), self._sizes.get(log, 0)
            if size != before and log.parent not in self._spared:
                file = LogFile(log.parent)
                file.mark()
                file.rotate()
                if size - before > FAST or size < before:
                    fast.append(log)
            sizes[log] = _size(log) if size > MAX_LOG else size
        self._sizes = {log: size for log, size in (self._sizes | sizes).items() if log in sizes or log.exists()}
        self.fast = fast


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0
