"""The output of the processes on this machine, read from their files while they run."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from application.log import MAX_TAIL, MAX_TAIL_BYTES, ServiceOutput
from domain.errors import OutputElsewhere
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.targets.process import start as starts
from runner.targets.process.file import LogFile
from runner.targets.process.tail import split_lines

CURSOR = re.compile(r"([0-9a-f-]{36}\.deploy\.\d{1,9}(?:\.old\.\d{1,9})?)@(\d{1,18})")
"""A cursor: the folder of an attempt, and a position in its output."""

Elsewhere = Callable[[EnvironmentId], Awaitable[str | None]]
"""Return the name of the machine that an environment is bound to, if it is another one."""


class ProcessLogs:
    """The output of the services in the data folder *data*; *elsewhere* says which ones are on other machines."""

    def __init__(self, data: Path, elsewhere: Elsewhere) -> None:
        self._root, self._elsewhere = data.resolve() / "processes", elsewhere

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        await self._check(environment)
        return await asyncio.to_thread(self._last, self._root / str(environment) / str(service), tail, since)

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        await self._check(environment)
        return await asyncio.to_thread(self._after, self._root / str(environment) / str(service), cursor)

    async def _check(self, environment: EnvironmentId) -> None:
        machine = await self._elsewhere(environment)
        if machine is not None:
            raise OutputElsewhere(machine=machine)

    def _last(self, service: Path, tail: int, since: datetime | None) -> ServiceOutput:
        folder = _current(service)
        if folder is None:
            return ServiceOutput()
        file = LogFile(folder)
        end = file.end
        begin = file.begin if since is None else file.since(since)
        start = max(begin, end - MAX_TAIL_BYTES)
        data = _read(file, start, end)
        lines, length = split_lines(data, rest=False)
        if start > begin:
            lines = lines[1:]  # it is cut off
        lines = lines[len(lines) - tail :] if tail < len(lines) else lines
        return ServiceOutput(lines=tuple(lines), cursor=f"{folder.name}@{start + length}")

    def _after(self, service: Path, cursor: str) -> ServiceOutput:
        found = CURSOR.fullmatch(cursor)
        current = _current(service)
        folder = None if found is None else service / found[1]
        if found is not None and folder is not None and folder.is_dir():
            read = _next(folder, int(found[2]), is_over=folder != current)
            if read.lines or current is None or folder == current:
                return read
        if current is None:
            return ServiceOutput(cursor=cursor)
        return _next(current, 0, is_over=False)


def _next(folder: Path, position: int, *, is_over: bool) -> ServiceOutput:
    """Return the lines after *position*; an unfinished one only if the output *is_over*."""
    file = LogFile(folder)
    begin, end = file.begin, file.end
    start = position if begin <= position <= end else begin
    data = _read(file, start, min(end, start + MAX_TAIL_BYTES))
    lines, length = split_lines(data, rest=is_over)
    if len(lines) > MAX_TAIL:
        lines = lines[:MAX_TAIL]
        length = _length(data, MAX_TAIL)
    return ServiceOutput(lines=tuple(lines), cursor=f"{folder.name}@{start + length}", has_gap=start != position)


def _length(data: bytes, count: int) -> int:
    """Return the length of the first *count* lines of *data*, which has more."""
    low, high = 0, len(data)
    while low < high:  # the smallest beginning of the data that has so many lines
        middle = (low + high) // 2
        if len(split_lines(data[:middle], rest=False)[0]) < count:
            low = middle + 1
        else:
            high = middle
    return split_lines(data[:low], rest=False)[1]


def _read(file: LogFile, start: int, end: int) -> bytes:
    """Return the bytes from *start* to *end*, of both files."""
    data = b""
    while start + len(data) < end and (part := file.read(start + len(data), end - start - len(data))):
        data += part
    return data


def _current(service: Path) -> Path | None:
    """Return the folder of the instance that runs, else of the one that printed last; None if there is none."""
    if not service.is_dir():
        return None
    folders = [each.parent for each in service.glob(f"*/{starts.OWN}")]
    return max(folders, key=_rank, default=None)


def _rank(folder: Path) -> tuple[bool, float]:
    return not (folder / "stopped").exists(), LogFile(folder).changed_at
