"""
The projector keeps the read models equal to the log.

It has two tasks. `_follow` folds new events into every projection whose rows are good. `_renew` rebuilds all other
rows: those of another version of the projection, of another log, or without a checkpoint. A rebuild folds the whole log
into generations that are not read, and switches to them when they are as new as the other rows. A task that meets a
fault reports it in the status, and starts again after a pause.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from projections.engine.buffer import RowBuffer
from projections.engine.projection import Projection
from projections.engine.rebuild import Rebuild, chunks
from projections.engine.status import ProjectionStatus, ProjectorStatus
from projections.engine.views import Advance, Checkpoint, Views, ViewsUnavailable
from store.codec import DamagedEvent, UnknownEvent
from store.log import EventLog, LogUnavailable, RecordedEvent

PAUSE = 1.0
"""Pause after a fault, in seconds."""

TIMEOUT = 5.0
"""Maximum time that a read waits for the read models, in seconds."""

BATCH = 1_000
"""Events that a rebuild reads at once, and rows that it writes at once."""

REPORT_INTERVAL = 5.0
"""Time between two log lines about the progress of a rebuild, in seconds."""

ROOM = 5_000
"""Maximum number of rows that a rebuild keeps in memory for each projection, beside one batch."""

logger = logging.getLogger(__name__)


class ViewsBehind(ViewsUnavailable):
    """The read models are at *position*, and did not reach *wanted* in time."""

    def __init__(self, wanted: int, position: int, fault: str | None = None) -> None:
        why = f" ({fault})" if fault else ""
        super().__init__(f"The read models are at position {position} and did not reach {wanted} in time{why}.")
        self.wanted, self.position = wanted, position


class ViewsBuilding(ViewsUnavailable):
    """The rows of a read model are not those of this version."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"The read model {kind!r} is being built, or a node of another version keeps it; retry later.")


class EventsMissed(Exception):
    """The events that were read have a gap, which the log has not."""


class Projector:
    """Folds *log* into the rows of *projections*, and pauses for *pause* seconds after a fault.

    A rebuild reads and writes *batch* events or rows at once, and keeps at most *room* rows of each kind in memory,
    beside one batch.
    """

    def __init__(
        self,
        log: EventLog,
        views: Views,
        projections: Sequence[Projection[Any]],
        pause: float = PAUSE,
        batch: int = BATCH,
        room: int = ROOM,
    ) -> None:
        self._log = log
        self._views = views
        self._pause = pause
        self._batch, self._room = batch, room
        self._projections = {projection.name: projection for projection in projections}
        self._live: dict[str, Checkpoint] = {}
        self._stale: dict[str, Checkpoint | None] = {}  # with the checkpoint of the old rows
        self._outdated: dict[str, int] = {}  # positions of the old rows, if they are of this log
        self._is_reviewed = asyncio.Event()
        self._has_live = asyncio.Event()
        self._has_stale = asyncio.Event()
        self._moving = asyncio.Lock()  # held while checkpoints move
        self._waiters: dict[asyncio.Future[None], int] = {}
        self.position = 0
        """Last position that every read model contains."""

        self._faults: dict[str, str] = {}
        self._logged: set[str] = set()  # faults that were logged since the last recovery
        self._lost = 0  # the last position of events that the log lost
        self._reported = 0.0  # when the progress of the rebuild was logged
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start to follow the log; return when the checkpoints were read, or can't be read."""
        if not self._tasks:
            self._tasks = self._start_tasks()
        await self._is_reviewed.wait()

    def _start_tasks(self) -> list[asyncio.Task[None]]:
        works = (self._follow, self._renew)
        return [asyncio.create_task(self._persist(work), name=f"projector{work.__name__}") for work in works]

    async def stop(self) -> None:
        """Stop; each pending `wait_for` raises `ViewsBehind`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(TimeoutError)

    def _position(self, kind: str) -> int:
        return self._live[kind].position if kind in self._live else self._outdated.get(kind, 0)

    def contains(self, kind: str, position: int) -> bool:
        """Return whether the rows of *kind* are good, and contain the log up to *position*."""
        checkpoint = self._live.get(kind)
        return checkpoint is not None and checkpoint.position >= position

    def check_built(self, *kinds: str) -> None:
        """Raise `ViewsBuilding` unless the rows of *kinds* are good; of others, old rows may be read meanwhile."""
        for kind in kinds:
            if kind not in self._live:
                raise ViewsBuilding(kind)

    async def wait_for(self, position: int, timeout: float = TIMEOUT) -> None:
        """Wait until every read model contains the log up to *position*; raise `ViewsBehind` after *timeout* s.

        Raises `DamagedEvent` or `UnknownEvent` if such an event is before *position*.
        """
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
        """Return the state of all read models; raise `LogUnavailable`."""
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
        """The fault that stalls the projector, or None."""
        return "; ".join(sorted(set(self._faults.values()))) or None

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat *work*, which returns only by a fault."""
        name = work.__name__
        while True:
            try:
                await work()
            except Exception as fault:
                text = f"{type(fault).__name__}: {fault}"
                if text not in self._logged:
                    trace = None if isinstance(fault, LogUnavailable) else fault
                    level = logging.WARNING if trace is None else logging.ERROR
                    logger.log(level, "Projection is stalled: %s; retrying in %g s", text, self._pause, exc_info=trace)
                self._logged.add(text)
                if isinstance(fault, (DamagedEvent, UnknownEvent)):  # waiting is in vain
                    for waiter in self._waiters:
                        if not waiter.done():
                            waiter.set_exception(fault)
                self._faults[name] = text
                self._is_reviewed.set()
                await asyncio.sleep(self._pause)

    def _recover(self, work: str) -> None:
        """Clear the fault of *work*."""
        self._faults.pop(work, None)
        if self._logged and not self._faults:
            logger.info("Projection has recovered")
            self._logged.clear()

    async def review(self) -> None:
        """Read the checkpoints, and find the rows that need a rebuild."""
        async with self._moving:
            found = await self._views.checkpoints()
            await self._check_end(found.values())
            ours = {kind for kind, checkpoint in found.items() if await self._is_of_this_log(checkpoint)}
            self._live, self._stale = {}, {}
            for kind, projection in self._projections.items():
                checkpoint = found.get(kind)
                if checkpoint and kind in ours and checkpoint.version == projection.version:
                    self._live[kind] = checkpoint
                else:
                    self._stale[kind] = checkpoint
            self._outdated = {kind: found[kind].position for kind in ours & self._stale.keys()}
            self._notify()
            self._is_reviewed.set()

    async def _check_end(self, found: Iterable[Checkpoint]) -> None:
        """Report that the log has lost its last events, as by a restore of an earlier copy."""
        known = max((each.position for each in found if each.epoch == self._log.epoch), default=0)
        end = await self._log.position()
        if known > end and known != self._lost:
            self._lost = known
            logger.error(
                "The log ends at position %(end)d, but its read models have events up to %(known)d: it lost the "
                "others. If this is no backup that you restored on purpose, stop the server and restore a newer one",
                {"end": end, "known": known},
            )

    async def _is_of_this_log(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.epoch != self._log.epoch or not checkpoint.position:
            return checkpoint.epoch == self._log.epoch
        last = await self._log.read_all(after=checkpoint.position - 1, limit=1)
        return bool(last) and last[0].hash == checkpoint.hash

    def _notify(self) -> None:
        """Wake the tasks and the waiters for which the moved checkpoints suffice."""
        for event, found in ((self._has_live, self._live), (self._has_stale, self._stale)):
            if found:
                event.set()
            else:
                event.clear()
        self.position = position = min(map(self._position, self._kept()), default=0)
        for waiter, wanted in self._waiters.items():
            if wanted <= position and not waiter.done():
                waiter.set_result(None)

    def _kept(self) -> Iterable[str]:
        """Return the kinds of the read models that somebody keeps."""
        return self._projections

    # Following

    async def _follow(self) -> None:
        await self.review()
        await self._has_live.wait()
        after = min((checkpoint.position for checkpoint in self._live.values()), default=0)
        if after == await self._log.position():
            self._recover("_follow")
        follower = self._log.follow(after)
        try:
            async for batch in follower:
                for events in chunks(batch):
                    async with self._moving:
                        await self._advance(events)
                self._recover("_follow")
        finally:
            if isinstance(follower, AsyncGenerator):
                await follower.aclose()
        raise LogUnavailable("The log is closed.")

    async def _advance(self, events: Sequence[RecordedEvent]) -> None:
        """Fold *events* into the good rows that do not contain them yet."""
        news = {kind: [each for each in events if each.position > self._position(kind)] for kind in self._live}
        buffers = {kind: RowBuffer(self._projections[kind]) for kind in news if news[kind]}
        wanted = {kind: buffer.keys(news[kind]) for kind, buffer in buffers.items()}
        generations = {self._live[kind].generation: keys for kind, keys in wanted.items() if keys}
        documents = await self._views.load(generations) if generations else {}
        advances = []
        for kind, buffer in buffers.items():
            before, first, last = self._live[kind], news[kind][0], news[kind][-1]
            if first.position != before.position + 1:
                raise EventsMissed(f"Event {first.position} followed event {before.position}.")
            buffer.fold(news[kind], documents.get(before.generation))
            advances.append(_advance(buffer, before, replace(before, position=last.position, hash=last.hash)))
        if advances:
            await self._views.save(advances)
            self._live |= {each.after.kind: each.after for each in advances}
            self._notify()

    # Rebuilding

    async def _renew(self) -> None:
        for kind in (await self._views.checkpoints()).keys() - self._projections.keys():
            await self._views.forget(kind)
        while True:
            await self._views.prune()
            await self.review()
            replaced = await self._rebuild() if self._stale else ()
            self._recover("_renew")
            if replaced:
                await self._views.prune(replaced)
            await self._has_stale.wait()

    async def _rebuild(self) -> Collection[int]:
        """Rebuild all stale rows in one pass over the log; return the generations that were replaced."""
        stale = dict(self._stale)
        generations = {kind: await self._views.begin(kind) for kind in stale}
        projections = [self._projections[kind] for kind in stale]
        rebuild = Rebuild(self._views, projections, generations, self._batch, self._room)
        self._reported = time.monotonic()
        last = await self._read_on(rebuild, None)
        await rebuild.flush()
        async with self._moving:
            last = await self._read_on(rebuild, last)  # events that came meanwhile
            advances = []
            for kind, buffer in rebuild.buffers.items():
                checkpoint = Checkpoint(
                    kind=kind,
                    version=self._projections[kind].version,
                    generation=generations[kind],
                    epoch=self._log.epoch,
                    position=last.position if last else 0,
                    hash=last.hash if last else b"",
                )
                advances.append(_advance(buffer, stale[kind], checkpoint))
            await self._views.save(advances)
            for each in advances:
                self._stale.pop(each.after.kind, None)
                self._live[each.after.kind] = each.after
            self._notify()
        return [before.generation for before in stale.values() if before is not None]

    async def _read_on(self, rebuild: Rebuild, last: RecordedEvent | None) -> RecordedEvent | None:
        """Fold all events after *last* into *rebuild*; return the last event of the log."""
        while events := await self._log.read_all(last.position if last else 0, self._batch):
            await rebuild.fold(events)
            last = events[-1]
            await self._report(last.position)
        return last

    async def _report(self, position: int) -> None:
        """Log the progress of a rebuild, at most once in `REPORT_INTERVAL`."""
        if time.monotonic() - self._reported >= REPORT_INTERVAL:
            self._reported = time.monotonic()
            end = max(position, await self._log.position())
            logger.info(
                "Rebuilding the read models: %(share)d%%, %(position)d of %(end)d events",
                {"share": 100 * position // end, "position": position, "end": end},
            )


def _advance(buffer: RowBuffer[Any], before: Checkpoint | None, after: Checkpoint) -> Advance:
    rows, removed = buffer.take()
    parts, gone = buffer.take_parts()
    rows += buffer.take_beside() + parts
    return Advance(before=before, after=after, rows=rows, removed=removed + gone, parked=buffer.parked)
