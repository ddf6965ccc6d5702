"""
Keeps the read models equal to the log.

Two tasks do it. One follows the log and folds what comes into every projection whose rows are good. The other makes
rows anew that are not (another version of the projection, another log, none yet): it folds the whole log, with no more
rows in memory than there is room for, writes them where nobody reads them, and switches to them when they are as new as
the others. A task that meets a fault says so in the status and begins again a moment later.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from projections.engine.desk import Desk, parts
from projections.engine.projection import Projection
from projections.engine.sheet import Sheet
from projections.engine.views import Checkpoint, Parked, Progress, Views, ViewsUnavailable
from store.log import EventLog, LogUnavailable, Recorded

PAUSE = 1.0
TIMEOUT = 5.0
MANY = 1_000
ROOM = 5_000

logger = logging.getLogger(__name__)


class ProjectionStatus(Struct, frozen=True, kw_only=True):
    """How far the rows of *kind* are; while they are rebuilt, how far those are that are still read.

    *lag* is how many events of the log they do not contain.
    """

    kind: str
    version: int
    position: int
    lag: int
    is_rebuilding: bool


class ProjectorStatus(Struct, frozen=True, kw_only=True):
    """*lag* is how many events of the log some read model does not contain; *fault* is why nothing goes on just now.

    *parked* are the first ten events that each projection could not fold.
    """

    position: int
    lag: int
    projections: tuple[ProjectionStatus, ...]
    parked: tuple[Parked, ...]
    fault: str | None


class ViewsBehind(ViewsUnavailable):
    """The read models are at *position*, and did not come to *wanted* in time."""

    def __init__(self, wanted: int, position: int, fault: str | None = None) -> None:
        why = f" ({fault})" if fault else ""
        super().__init__(f"The read models are at position {position} and have not come to {wanted} in time{why}.")
        self.wanted, self.position = wanted, position


class EventsMissed(Exception):
    """The log's positions have no gaps, but what was read of it had one."""


class Projector:
    """Folds *log* into the rows of *projections*; after a fault it waits for *pause* seconds.

    While rows are made anew *many* events or rows are read or written at once, and of each kind there are no more rows
    in memory than there is *room* for.
    """

    def __init__(
        self,
        log: EventLog,
        views: Views,
        projections: Sequence[Projection[Any]],
        pause: float = PAUSE,
        many: int = MANY,
        room: int = ROOM,
    ) -> None:
        self._log = log
        self._views = views
        self._pause = pause
        self._many, self._room = many, room
        self._projections = {projection.name: projection for projection in projections}
        self._live: dict[str, Checkpoint] = {}
        self._stale: dict[str, Checkpoint | None] = {}  # with the checkpoint of the rows that are still read
        self._outdated: dict[str, int] = {}  # how far those are, if they are of this log
        self._has_looked = asyncio.Event()
        self._found_live = asyncio.Event()
        self._found_stale = asyncio.Event()
        self._moving = asyncio.Lock()  # held while checkpoints move
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._faults: dict[str, str] = {}
        self._told: set[str] = set()  # of faults, since all was well
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to follow the log; returns when it was seen how far the read models are, or can't be just now."""
        if not self._tasks:
            self._tasks = self._begun()
        await self._has_looked.wait()

    def _begun(self) -> list[asyncio.Task[None]]:
        works = (self._follow, self._renew)
        return [asyncio.create_task(self._persist(work), name=f"projector{work.__name__}") for work in works]

    async def stop(self) -> None:
        """Whoever still waits is told that the read models are behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(TimeoutError)

    @property
    def position(self) -> int:
        """The last position that every read model contains."""
        return min((self._position(kind) for kind in self._projections), default=0)

    def _position(self, kind: str) -> int:
        return self._live[kind].position if kind in self._live else self._outdated.get(kind, 0)

    async def wait_for(self, position: int, timeout: float = TIMEOUT) -> None:
        """Returns when every read model contains the log up to *position*; raises `ViewsBehind` after *timeout* s."""
        if self.position >= position:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = position
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise ViewsBehind(position, self.position, self.fault) from None
        finally:
            del self._waiters[waiter]

    async def status(self) -> ProjectorStatus:
        end, parked = await self._log.position(), await self._views.parked()
        return ProjectorStatus(
            position=self.position,
            lag=max(0, end - self.position),
            projections=tuple(
                ProjectionStatus(
                    kind=kind,
                    version=projection.version,
                    position=self._position(kind),
                    lag=max(0, end - self._position(kind)),
                    is_rebuilding=kind not in self._live,
                )
                for kind, projection in sorted(self._projections.items())
            ),
            parked=tuple(parked),
            fault=self.fault,
        )

    @property
    def fault(self) -> str | None:
        """Why nothing goes on just now; None if all is well."""
        return "; ".join(sorted(set(self._faults.values()))) or None

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        name = work.__name__
        while True:
            try:
                await work()
            except Exception as fault:
                text = f"{type(fault).__name__}: {fault}"
                is_away = isinstance(fault, LogUnavailable)
                if text not in self._told and is_away:
                    logger.warning("The read models do not go on just now: %s", fault)
                elif text not in self._told:
                    logger.exception("The read models do not go on just now")
                self._told.add(text)
                self._faults[name] = text
                self._has_looked.set()
                await asyncio.sleep(self._pause)

    def _goes_on(self, work: str) -> None:
        self._faults.pop(work, None)
        if self._told and not self._faults:
            logger.info("The read models go on")
            self._told.clear()

    async def _review(self) -> None:
        """Reads how far the rows are, and finds those that have to be made anew."""
        async with self._moving:
            found = await self._views.checkpoints()
            ours = {kind for kind, checkpoint in found.items() if await self._is_of_this_log(checkpoint)}
            self._live, self._stale = {}, {}
            for kind, projection in self._projections.items():
                checkpoint = found.get(kind)
                if checkpoint and kind in ours and checkpoint.version == projection.version:
                    self._live[kind] = checkpoint
                else:
                    self._stale[kind] = checkpoint
            self._outdated = {kind: found[kind].position for kind in ours & self._stale.keys()}
            self._moved()
            self._has_looked.set()

    async def _is_of_this_log(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.epoch != self._log.epoch or not checkpoint.position:
            return checkpoint.epoch == self._log.epoch
        last = await self._log.read_all(after=checkpoint.position - 1, limit=1)
        return bool(last) and last[0].hash == checkpoint.hash

    def _moved(self) -> None:
        """Checkpoints have moved: wakes whoever waits for that."""
        for event, found in ((self._found_live, self._live), (self._found_stale, self._stale)):
            if found:
                event.set()
            else:
                event.clear()
        position = self.position
        for waiter, wanted in self._waiters.items():
            if wanted <= position and not waiter.done():
                waiter.set_result(None)

    # Following

    async def _follow(self) -> None:
        await self._review()
        await self._found_live.wait()
        after = min((checkpoint.position for checkpoint in self._live.values()), default=0)
        if after == await self._log.position():
            self._goes_on("_follow")
        follower = self._log.follow(after)
        try:
            async for batch in follower:
                for events in parts(batch):
                    async with self._moving:
                        await self._advance(events)
                self._goes_on("_follow")
        finally:
            if isinstance(follower, AsyncGenerator):
                await follower.aclose()
        raise LogUnavailable("The log is closed.")

    async def _advance(self, events: Sequence[Recorded]) -> None:
        """Takes *events* into the rows that are good, as far as they are not in there."""
        news = {kind: [each for each in events if each.position > self._position(kind)] for kind in self._live}
        sheets = {kind: Sheet(self._projections[kind]) for kind in news if news[kind]}
        wanted = {kind: sheet.keys(news[kind]) for kind, sheet in sheets.items()}
        generations = {self._live[kind].generation: keys for kind, keys in wanted.items() if keys}
        documents = await self._views.load(generations) if generations else {}
        steps = []
        for kind, sheet in sheets.items():
            before, first, last = self._live[kind], news[kind][0], news[kind][-1]
            if first.position != before.position + 1:
                raise EventsMissed(f"event {first.position} came after event {before.position}")
            sheet.fold(news[kind], documents.get(before.generation))
            steps.append(_step(sheet, before, replace(before, position=last.position, hash=last.hash)))
        if steps:
            await self._views.save(steps)
            self._live |= {step.after.kind: step.after for step in steps}
            self._moved()

    # Making anew

    async def _renew(self) -> None:
        for kind in (await self._views.checkpoints()).keys() - self._projections.keys():
            await self._views.forget(kind)
        while True:
            await self._views.prune()
            await self._review()
            replaced = await self._rebuild() if self._stale else ()
            self._goes_on("_renew")
            if replaced:
                await self._views.prune(replaced)
            await self._found_stale.wait()

    async def _rebuild(self) -> Collection[int]:
        """Makes all rows anew that are not good, in one reading of the log; the generations that were read before."""
        stale = dict(self._stale)
        generations = {kind: await self._views.begin(kind) for kind in stale}
        desk = Desk(self._views, [self._projections[kind] for kind in stale], generations, self._many, self._room)
        last = await self._read_on(desk, None)
        await desk.clear()
        async with self._moving:
            last = await self._read_on(desk, last)  # what came meanwhile
            steps = []
            for kind, sheet in desk.sheets.items():
                checkpoint = Checkpoint(
                    kind=kind,
                    version=self._projections[kind].version,
                    generation=generations[kind],
                    epoch=self._log.epoch,
                    position=last.position if last else 0,
                    hash=last.hash if last else b"",
                )
                steps.append(_step(sheet, stale[kind], checkpoint))
            await self._views.save(steps)
            for step in steps:
                self._stale.pop(step.after.kind, None)
                self._live[step.after.kind] = step.after
            self._moved()
        return [before.generation for before in stale.values() if before is not None]

    async def _read_on(self, desk: Desk, last: Recorded | None) -> Recorded | None:
        """Folds everything after *last* into the rows on *desk*; the last event there was."""
        while events := await self._log.read_all(last.position if last else 0, self._many):
            await desk.fold(events)
            last = events[-1]
        return last


def _step(sheet: Sheet[Any], before: Checkpoint | None, after: Checkpoint) -> Progress:
    rows, removed = sheet.take()
    rows += sheet.take_beside()
    return Progress(before=before, after=after, rows=rows, removed=removed, parked=sheet.parked)
