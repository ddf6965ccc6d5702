"""
The output of services in containers, read from the target's own logs while they run.

The target keeps each line with its time, and rotates them away. A cursor is the time of a line, with its place among
lines of the same time: parts of a line that is longer than 16 KiB have one. A cursor that the log no longer has tells
that lines are gone.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from application.log import MAX_TAIL, MAX_TAIL_BYTES, ServiceOutput
from domain.errors import InvalidArgument, OutputElsewhere, OutputUnavailable
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.log import HIDDEN, MAX_MASKS, Elsewhere
from runner.mask import Mask
from runner.targets.contract import OpenSecrets, StepFailed, StepRequest, TargetUnavailable
from runner.targets.line import MAX_LINE, last_state

CURSOR = re.compile(r"([0-9a-f]{64})@(\d{1,19})\.(\d{1,9})")
"""A cursor: a container, the time of a line in nanoseconds, and the number of lines of that time so far."""

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
"""The time before a line, with up to nine digits after the point."""

FEW = 20
"""Number of last lines that are read at first, to find whether there are new ones."""

SECOND = 10**9
"""A second, in nanoseconds."""


class LogRecord(Struct, frozen=True):
    """A line in the log of a container, with its time in nanoseconds."""

    at: int
    line: bytes


class Place(Struct, frozen=True):
    """A place in the log of *container*: behind so many lines of the time *at*; at its beginning if that is 0."""

    container: str
    at: int = 0
    count: int = 0

    def __str__(self) -> str:
        return f"{self.container}@{self.at}.{self.count}"

    def after(self, records: Sequence[LogRecord]) -> "Place":
        """Return the place behind *records*, which follow it."""
        if not records:
            return self
        at = records[-1].at
        count = sum(record.at == at for record in records)
        return Place(self.container, at, count + (self.count if at == self.at else 0))

    def split(self, records: Sequence[LogRecord]) -> Sequence[LogRecord] | None:
        """Return those of *records* that follow it; None if it is not among them."""
        same = [index for index, record in enumerate(records) if record.at == self.at]
        return records[same[self.count - 1] + 1 :] if 0 < self.count <= len(same) else None


class LoggedContainer(Struct, frozen=True):
    """A container with a log, at *path* of the target's API with *query*; *id* has 64 hexadecimal digits."""

    id: str
    is_running: bool
    path: str
    query: dict[str, str] = {}


class ContainerSource(Protocol):
    """The containers of a target, and their logs."""

    async def containers(self, environment: EnvironmentId, service: ServiceId) -> Sequence[LoggedContainer]:
        """Return the containers of a service, newer ones first."""
        ...

    async def read(
        self, container: LoggedContainer, *, tail: int | None, since: int | None, most: int | None
    ) -> list[LogRecord]:
        """Return the last *tail* lines of a log, or the first *most* of those since a time in nanoseconds."""
        ...

    async def request(self, container: LoggedContainer) -> StepRequest | None:
        """Return the request of a listed container, without secrets; None if it can't be found."""
        ...


class ContainerLogs:
    """The output of services in the containers of *source*; *elsewhere* says which ones are on other machines.

    The values of secrets, which *open_secrets* gives, are masked.
    """

    def __init__(self, source: ContainerSource, elsewhere: Elsewhere, open_secrets: OpenSecrets | None = None) -> None:
        self._source, self._elsewhere, self._open = source, elsewhere, open_secrets
        self._masks: dict[str, Mask] = {}

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        try:
            return await self._last(environment, service, tail, since)
        except TargetUnavailable as error:
            raise OutputUnavailable(why=str(error)) from error

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        try:
            return await self._after(environment, service, cursor)
        except TargetUnavailable:  # a follower waits for it
            return ServiceOutput(cursor=cursor)

    async def _last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        current = _current(await self._list(environment, service))
        if current is None:
            return ServiceOutput()
        nanoseconds = None if since is None else int(since.timestamp() * SECOND)
        records = await self._read(current, tail=max(1, tail), since=nanoseconds)
        place = await self._counted(current, Place(current.id).after(records))
        return await self._output(current, _within(reversed(records[-tail:] if tail else []))[::-1], place)

    async def _after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        found, listed = CURSOR.fullmatch(cursor), await self._list(environment, service)
        if found is None and cursor:  # it is empty before the first output
            raise InvalidArgument(argument="cursor", why="it is damaged, or belongs to another list")
        current = _current(listed)
        if current is None:
            return ServiceOutput(cursor=cursor)
        own = None if found is None else next((each for each in listed if each.id == found[1]), None)
        if found is None or own is None:
            read = await self._next(current, Place(current.id))
            return read if found is None else ServiceOutput(lines=read.lines, cursor=read.cursor, has_gap=True)
        read = await self._next(own, Place(own.id, int(found[2]), int(found[3])))
        if read.lines or read.has_gap or own is current or own.is_running:
            return read
        return await self._next(current, Place(current.id))

    async def _next(self, container: LoggedContainer, place: Place) -> ServiceOutput:
        """Return the lines after *place*; the newest few are enough if it is among them."""
        records: Sequence[LogRecord] | None = None
        if place.at:
            for tail in (FEW, MAX_TAIL):
                newest = await self._read(container, tail=tail)
                if newest and newest[0].at != place.at:
                    records = place.split(newest)
                if records is not None or len(newest) < tail:
                    break
        has_gap = False
        if records is None:
            whole = await self._read(container, since=place.at or None, most=MAX_TAIL + place.count)
            records = place.split(whole) if place.at else whole
            if records is None:
                records, has_gap = [record for record in whole if record.at > place.at], bool(whole)
        read = _within(records[:MAX_TAIL])
        return await self._output(container, read, place.after(read), has_gap=has_gap, begin=place)

    async def _output(
        self,
        container: LoggedContainer,
        records: Sequence[LogRecord],
        place: Place,
        *,
        has_gap: bool = False,
        begin: Place | None = None,
    ) -> ServiceOutput:
        """Return the masked lines of *records*, up to *place*.

        Behind *begin*, the last lines are left for later if a secret may begin in them whose end is still to come.
        """
        mask = await self._mask(container)
        if mask is None:
            return ServiceOutput(lines=(HIDDEN,) if records else (), cursor=str(place), has_gap=has_gap)
        data = b"".join(record.line + b"\n" for record in records)
        is_end = begin is None or not container.is_running
        lines = mask.hide(data, is_end=is_end).data.split(b"\n")[:-1]
        if begin is not None and len(lines) < len(records):
            place = begin.after(records[: len(lines)])
        shown = tuple(mask.shown(last_state(line)) for line in lines)
        return ServiceOutput(lines=shown, cursor=str(place), has_gap=has_gap)

    async def _counted(self, container: LoggedContainer, place: Place) -> Place:
        """Return *place*, with the number of all lines of its time if there are some."""
        if not place.at:
            return place
        newest = await self._read(container, tail=MAX_TAIL)
        count = sum(record.at == place.at for record in newest)
        return Place(place.container, place.at, max(count, place.count))

    async def _read(
        self, container: LoggedContainer, *, tail: int | None = None, since: int | None = None, most: int | None = None
    ) -> list[LogRecord]:
        return await self._source.read(container, tail=tail, since=since, most=most)

    async def _list(self, environment: EnvironmentId, service: ServiceId) -> Sequence[LoggedContainer]:
        machine = await self._elsewhere(environment)
        if machine is not None:
            raise OutputElsewhere(machine=machine)
        return await self._source.containers(environment, service)

    async def _mask(self, container: LoggedContainer) -> Mask | None:
        """Return the mask of a container; None if its secrets are unknown, so that nothing is shown."""
        mask = self._masks.get(container.id)
        if mask is None:
            request, secrets = await self._source.request(container), tuple[str, ...]()
            if request is None:
                return None
            if request.needs_secrets and self._open is not None:
                try:
                    secrets = (await self._open(request)).secrets
                except StepFailed:
                    return None
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            mask = self._masks[container.id] = Mask(secrets)
        return mask


def _current(listed: Sequence[LoggedContainer]) -> LoggedContainer | None:
    """Return the container that runs, else the newest."""
    running = (each for each in listed if each.is_running)
    return next(running, listed[0] if listed else None)


def records(line: bytes) -> list[LogRecord]:
    """Return the records of *line*, which begins with a time; none if it does not, as words of the target itself.

    A line that is longer than `MAX_LINE` comes in parts. Kubernetes puts a time before each part of some.
    """
    found: list[LogRecord] = []
    at: int | None = None
    while line or not found:
        if (stamp := STAMP.match(line)) is not None:
            line, at = line[stamp.end() :], _nanoseconds(stamp)
        if at is None:
            return []
        found.append(LogRecord(at, line[:MAX_LINE].rstrip(b"\n")))
        line = line[MAX_LINE:].rstrip(b"\n")
    return found


def _nanoseconds(stamp: re.Match[bytes]) -> int:
    whole = datetime.fromisoformat(stamp[1].decode() + stamp[3].decode().replace("Z", "+00:00"))
    return int(whole.timestamp()) * SECOND + int((stamp[2] or b"").ljust(9, b"0"))


def _within(records: Iterable[LogRecord]) -> list[LogRecord]:
    """Return the first of *records* that have at most `MAX_TAIL_BYTES` together."""
    found, size = list[LogRecord](), 0
    for record in records:
        size += len(record.line) + 1
        if found and size > MAX_TAIL_BYTES:
            break
        found.append(record)
    return found
