"""The output of the processes on this machine, read from their files while they run."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from application.log import MAX_TAIL, MAX_TAIL_BYTES, ServiceOutput
from domain.errors import InvalidArgument, OutputElsewhere
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.mask import Mask
from runner.targets.contract import OpenSecrets, StepFailed
from runner.targets.line import split_lines
from runner.targets.process import start as starts
from runner.targets.process.file import LogFile

CURSOR = re.compile(r"([0-9a-f-]{36}\.deploy\.\d{1,9}(?:\.old\.\d{1,9})?)@(\d{1,18})")
"""A cursor: the folder of an attempt, and a position in its output."""

MAX_MASKS = 100
"""Maximum number of masks that are kept."""

HIDDEN = "(hidden: the secrets of this instance are gone, so they could not be masked)"
"""The line in the place of output whose secrets are unknown."""

Elsewhere = Callable[[EnvironmentId], Awaitable[str | None]]
"""Return the name of the machine that an environment is bound to, if it is another one."""


class ProcessLogs:
    """The output of the services in the data folder *data*; *elsewhere* says which ones are on other machines.

    The values of secrets, which *open_secrets* gives, are masked.
    """

    def __init__(self, data: Path, elsewhere: Elsewhere, open_secrets: OpenSecrets | None = None) -> None:
        self._root, self._elsewhere, self._open = data.resolve() / "processes", elsewhere, open_secrets
        self._masks: dict[Path, Mask] = {}

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        folder = await asyncio.to_thread(_current, await self._folder(environment, service))
        if folder is None:
            return ServiceOutput()
        return await asyncio.to_thread(_last, folder, tail, since, await self._mask(folder))

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        own, found = await self._folder(environment, service), CURSOR.fullmatch(cursor)
        if found is None and cursor:  # it is empty before the first output
            raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")
        current = await asyncio.to_thread(_current, own)
        folder = None if found is None else own / found[1]
        if found is not None and folder is not None and folder.is_dir():
            mask = await self._mask(folder)
            read = await asyncio.to_thread(_next, folder, int(found[2]), folder != current, mask)
            if read.lines or current is None or folder == current:
                return read
        if current is None:
            return ServiceOutput(cursor=cursor)
        return await asyncio.to_thread(_next, current, 0, False, await self._mask(current))

    async def _folder(self, environment: EnvironmentId, service: ServiceId) -> Path:
        machine = await self._elsewhere(environment)
        if machine is not None:
            raise OutputElsewhere(machine=machine)
        return self._root / str(environment) / str(service)

    async def _mask(self, folder: Path) -> Mask | None:
        """Return the mask of the instance in *folder*; None if its secrets are unknown, so that nothing is shown."""
        mask = self._masks.get(folder)
        if mask is None:
            start = starts.read(folder / starts.OWN)
            secrets: tuple[str, ...] = ()
            if start is not None and start.request.needs_secrets and self._open is not None:
                try:
                    secrets = (await self._open(start.request)).secrets
                except StepFailed:
                    return None
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            mask = self._masks[folder] = Mask(secrets)
        return mask


def _last(folder: Path, tail: int, since: datetime | None, mask: Mask | None) -> ServiceOutput:
    file = LogFile(folder)
    end = file.end
    begin = file.begin if since is None else file.since(since)
    start = max(begin, end - MAX_TAIL_BYTES)
    lines, length = _lines(_read(file, start, end), mask, rest=False)
    if start > begin:
        lines = lines[1:]  # it is cut off
    lines = lines[len(lines) - tail :] if tail < len(lines) else lines
    return ServiceOutput(lines=tuple(lines), cursor=f"{folder.name}@{start + length}")


def _next(folder: Path, position: int, is_over: bool, mask: Mask | None) -> ServiceOutput:
    """Return the lines after *position*; an unfinished one only if the output *is_over*."""
    file = LogFile(folder)
    begin, end = file.begin, file.end
    start = position if begin <= position <= end else begin
    data = _read(file, start, min(end, start + MAX_TAIL_BYTES))
    lines, length = _lines(data, mask, rest=is_over)
    if len(lines) > MAX_TAIL:
        lines, length = _lines(data[: _length(data, MAX_TAIL)], mask, rest=True)
    return ServiceOutput(lines=tuple(lines), cursor=f"{folder.name}@{start + length}", has_gap=start != position)


def _lines(data: bytes, mask: Mask | None, *, rest: bool) -> tuple[list[str], int]:
    """Return the masked complete lines of *data*, with *rest* also an unfinished one, and their length in bytes."""
    if mask is None:
        return ([HIDDEN] if data else []), len(data)
    hidden = mask.hide(data, is_end=rest)
    lines, length = split_lines(hidden.data, rest=rest)
    return [mask.shown(line) for line in lines], hidden.whole(length)


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
