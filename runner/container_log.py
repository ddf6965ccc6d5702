"""
The output of services in containers, read from the engine's own logs while they run.

The engine keeps each line with its time, and rotates them away (`container.LOG`). A cursor is the time of a line, with
its place among lines of the same time: parts of a line that is longer than 16 KiB have one. A cursor that the log no
longer has tells that lines are gone.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from application.log import MAX_TAIL, MAX_TAIL_BYTES, ServiceOutput
from domain.errors import InvalidArgument, OutputElsewhere, OutputUnavailable
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from runner.log import HIDDEN, MAX_MASKS, Elsewhere
from runner.mask import Mask
from runner.targets.contract import OpenSecrets, StepFailed
from runner.targets.docker import label
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine, EngineError, EngineUnavailable
from runner.targets.line import last_state

CURSOR = re.compile(r"([0-9a-f]{64})@(\d{1,19})\.(\d{1,9})")
"""A cursor: a container, the time of a line in nanoseconds, and the number of lines of that time so far."""

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


class ContainerLogs:
    """The output of services on *engine*; *elsewhere* says which ones are on other machines.

    The values of secrets, which *open_secrets* gives, are masked.
    """

    def __init__(self, engine: Engine, elsewhere: Elsewhere, open_secrets: OpenSecrets | None = None) -> None:
        self._engine, self._elsewhere, self._open = engine, elsewhere, open_secrets
        self._masks: dict[str, Mask] = {}

    async def last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        try:
            return await self._last(environment, service, tail, since)
        except EngineUnavailable as error:
            raise OutputUnavailable(why=str(error)) from error

    async def after(self, environment: EnvironmentId, service: ServiceId, cursor: str) -> ServiceOutput:
        try:
            return await self._after(environment, service, cursor)
        except EngineUnavailable:  # a follower waits for it
            return ServiceOutput(cursor=cursor)

    async def _last(
        self, environment: EnvironmentId, service: ServiceId, tail: int, since: datetime | None
    ) -> ServiceOutput:
        current = _current(await self._list(environment, service))
        if current is None:
            return ServiceOutput()
        records = await self._read(current.id, tail=max(1, tail), since=since)
        place = await self._counted(Place(current.id).after(records))
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
        if read.lines or read.has_gap or own is current:
            return read
        return await self._next(current, Place(current.id))

    async def _next(self, container: ListedContainer, place: Place) -> ServiceOutput:
        """Return the lines after *place*; the newest few are enough if it is among them."""
        records: Sequence[LogRecord] | None = None
        if place.at:
            for tail in (FEW, MAX_TAIL):
                newest = await self._read(container.id, tail=tail)
                if newest and newest[0].at != place.at:
                    records = place.split(newest)
                if records is not None or len(newest) < tail:
                    break
        has_gap = False
        if records is None:
            whole = await self._read(container.id, since=place.at or None, most=MAX_TAIL + place.count)
            records = place.split(whole) if place.at else whole
            if records is None:
                records, has_gap = [record for record in whole if record.at > place.at], bool(whole)
        read = _within(records[:MAX_TAIL])
        return await self._output(container, read, place.after(read), has_gap=has_gap, begin=place)

    async def _output(
        self,
        container: ListedContainer,
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
        is_end = begin is None or container.state != "running"
        lines = mask.hide(data, is_end=is_end).data.split(b"\n")[:-1]
        if begin is not None and len(lines) < len(records):
            place = begin.after(records[: len(lines)])
        shown = tuple(mask.shown(last_state(line)) for line in lines)
        return ServiceOutput(lines=shown, cursor=str(place), has_gap=has_gap)

    async def _counted(self, place: Place) -> Place:
        """Return *place*, with the number of all lines of its time if there are some."""
        if not place.at:
            return place
        newest = await self._read(place.container, tail=MAX_TAIL)
        count = sum(record.at == place.at for record in newest)
        return Place(place.container, place.at, max(count, place.count))

    async def _read(
        self, container: str, *, tail: int | None = None, since: datetime | int | None = None, most: int | None = None
    ) -> list[LogRecord]:
        """Return the last *tail* lines of a log, or the first *most* of those since a time."""
        seconds = since.timestamp() if isinstance(since, datetime) else since
        text = f"{seconds // SECOND}.{seconds % SECOND:09}" if isinstance(seconds, int) else seconds
        found: list[LogRecord] = []
        try:
            async with self._engine.frames(
                f"/containers/{container}/logs", stdout=True, stderr=True, timestamps=True, tail=tail, since=text
            ) as frames:
                async for frame in frames:
                    found.append(_record(frame))
                    if most is not None and len(found) >= most:
                        break
        except EngineError as error:
            if error.status != 404:  # it is gone meanwhile
                raise
        return found

    async def _list(self, environment: EnvironmentId, service: ServiceId) -> list[ListedContainer]:
        machine = await self._elsewhere(environment)
        if machine is not None:
            raise OutputElsewhere(machine=machine)
        filters = label.filters(environment=environment, service=service, phase="deploy")
        found = await self._engine.get("/containers/json", list[ListedContainer], all=True, filters=filters)
        return [each for each in found if each.labels.get(label.TYPE) != ServiceType.JOB and each.state != "created"]

    async def _mask(self, container: ListedContainer) -> Mask | None:
        """Return the mask of a container; None if its secrets are unknown, so that nothing is shown."""
        mask = self._masks.get(container.id)
        if mask is None:
            request, secrets = label.request(container.labels), tuple[str, ...]()
            if request.needs_secrets and self._open is not None:
                try:
                    secrets = (await self._open(request)).secrets
                except StepFailed:
                    return None
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            mask = self._masks[container.id] = Mask(secrets)
        return mask


def _current(listed: Sequence[ListedContainer]) -> ListedContainer | None:
    """Return the container that runs, else the newest; an engine lists newer ones first."""
    running = (each for each in listed if each.state in ("running", "restarting"))
    return next(running, listed[0] if listed else None)


def _record(frame: bytes) -> LogRecord:
    """Return the record of a frame: a time with nine digits after the point, a space, and the line."""
    stamp, _, line = frame.partition(b" ")
    text = stamp.decode()
    whole = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    return LogRecord(int(whole.timestamp()) * SECOND + int(text[20:29]), line.rstrip(b"\n"))


def _within(records: Iterable[LogRecord]) -> list[LogRecord]:
    """Return the first of *records* that have at most `MAX_TAIL_BYTES` together."""
    found, size = list[LogRecord](), 0
    for record in records:
        size += len(record.line) + 1
        if found and size > MAX_TAIL_BYTES:
            break
        found.append(record)
    return found
