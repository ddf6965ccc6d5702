"""
Whether what is stored is whole: the log by itself, and the read models against the log.

The log's positions, versions and hash chains are checked as an auditor's are (see `store.audit`). The rows of the read
models are those of one moment, and are made again from the log, up to where they say they are. A long log is shared
out by rows over as many processes as there are processors. No more rows are in memory than there is room for: the
others are put away in a file of SQLite's that is gone with the process.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from projections.engine.buffer import RowBuffer
from projections.engine.projection import Projection
from projections.engine.rows import RowReader
from projections.engine.views import ViewRow
from projections.postgres.rows import PostgresRowReader
from projections.sqlite.rows import SqliteRowReader
from server import progress
from server.settings import Settings
from server.spill import Spill
from server.stores import PROJECTIONS
from store.audit import Verifier
from store.log import EventLog, LogUnavailable, RecordedEvent
from store.postgres.log import PostgresLog
from store.postgres.snapshot import snapshot
from store.snapshot import LogSnapshot
from store.sqlite.log import SqliteLog
from store.sqlite.snapshot import SqliteSnapshot, read_only

BATCH = 5_000
SMALL = 50_000
"""Events up to which one process is the quickest."""

MOST = 20
"""Wrong rows that are named."""

ROOM = 5_000
"""Rows of a read model that are in memory at most, for each process."""

PAUSE = 0.5
"""Seconds between two words about how far it has come."""

Done = Any
"""How many events all processes have been through: a `multiprocessing.Value`, which has no type of its own."""

_done: Done = None

projections = {projection.name: projection for projection in PROJECTIONS}


class Moment(Struct, frozen=True):
    """A snapshot of the log and of the read models; other processes can open it by its *name*."""

    name: str | None
    log: LogSnapshot
    read_models: RowReader


class Share(Struct, frozen=True):
    """The *number*-th of *count* parts of all rows, in the moment of the database that has the name *moment*.

    Of each read model there are no more rows in memory than there is *room* for.
    """

    number: int
    count: int
    moment: str | None
    room: int

    def has(self, key: UUID | None) -> bool:
        return key is not None and key.int % self.count == self.number


class CheckResult(Struct):
    """How many rows each generation should have, and what is wrong with them."""

    rows: dict[int, int]
    findings: list[str]


class Report(Struct, kw_only=True, rename="camel"):
    """What `--json` answers."""

    position: int
    read_models: int
    seconds: float
    findings: Sequence[str]


def fsck(settings: Settings, as_json: bool = False) -> None:
    """Says what was found; ends the program with 1 if anything is wrong, or can't be read."""
    began = time.monotonic()
    try:
        position, findings = asyncio.run(check(settings, tell=progress.tell))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    taken = time.monotonic() - began
    if as_json:
        report = Report(position=position, read_models=len(PROJECTIONS), seconds=round(taken, 3), findings=findings)
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        verdict = f"{len(findings) or 'nothing'} wrong"
        print(
            *findings, f"{position:,} events and {len(PROJECTIONS)} read models in {taken:.1f} s: {verdict}", sep="\n"
        )
    sys.exit(1 if findings else 0)


async def check(
    settings: Settings, small: int = SMALL, room: int = ROOM, tell: Callable[[float], None] | None = None
) -> tuple[int, list[str]]:
    """The log's last position, and what is wrong; raises `LogUnavailable`. *tell* is told how much of it is done."""
    if settings.database is None:
        log: EventLog = await SqliteLog.open(settings.data / "log.db")  # while we have it, nobody else writes
    else:
        log = await PostgresLog.open(settings.database)
    done: Done = multiprocessing.get_context("spawn").Value("q", 0)
    telling: asyncio.Task[None] | None = None
    try:
        position = await log.position()
        count = 1 if position <= small else os.cpu_count() or 1
        if tell is not None:
            telling = asyncio.create_task(_watch(done, position * (1 + count), tell))
        if settings.database is None and not (settings.data / "views.db").exists():
            return position, await links(log, done)
        async with _moment(settings) as stored:
            shares = [Share(number, count, stored.name, room) for number in range(count)]
            checked: Sequence[CheckResult]
            if count == 1:
                wrong, checked = await links(log, done), [await rows(stored, log.epoch, shares[0], done)]
            else:
                wrong, checked = await _side_by_side(settings, log, shares, done)
            return position, [*wrong, *await _together(stored, checked)]
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.wait([telling])
        await log.close()


async def _watch(done: Done, all_: int, tell: Callable[[float], None]) -> None:
    try:
        while True:
            tell(min(0.99, done.value / max(1, all_)))
            await asyncio.sleep(PAUSE)
    finally:
        tell(1.0)


@asynccontextmanager
async def _moment(settings: Settings, name: str | None = None) -> AsyncIterator[Moment]:
    """Open the snapshot *name*, or a new one; raises `LogUnavailable`."""
    if settings.database is not None:
        async with snapshot(settings.database, name) as stored:
            yield Moment(stored.name, stored, PostgresRowReader(stored.connection))
    else:
        with read_only(settings.data / "log.db") as log, read_only(settings.data / "views.db") as views:
            yield Moment(None, SqliteSnapshot(log), SqliteRowReader(views))


async def _side_by_side(
    settings: Settings, log: EventLog, shares: Sequence[Share], done: Done
) -> tuple[list[str], Sequence[CheckResult]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(shares), context, _begin, (done,)) as processes:
        loop = asyncio.get_running_loop()
        works = [loop.run_in_executor(processes, _alone, settings, log.epoch, share) for share in shares]
        return await links(log, done), await asyncio.gather(*works)


def _begin(done: Done) -> None:
    """The count that all processes have together; it can only be handed on when they begin."""
    global _done
    _done = done
    gc.disable()  # nothing here goes in circles, and looking for them takes a tenth of the time


def _alone(settings: Settings, epoch: str, share: Share) -> CheckResult:
    """The work of a process of its own."""

    async def work() -> CheckResult:
        async with _moment(settings, share.moment) as stored:
            return await rows(stored, epoch, share, _done)

    return asyncio.run(work())


async def links(log: EventLog, done: Done) -> list[str]:
    """What is wrong with the log's own order."""
    verifier, after, end = Verifier(), 0, await log.position()
    while after < end and (part := await log.export(after, min(BATCH, end - after))).lines:
        verifier.take(part.lines.splitlines(keepends=True))
        _add(done, part.position - after)
        after = part.position
    if verifier.position < end and not verifier.findings:
        return [f"the log ends at position {verifier.position}, and not at {end}"]
    return [f"the log, {finding}" for finding in verifier.findings]


def _add(done: Done, events: int) -> None:
    with done.get_lock():
        done.value += events


async def rows(stored: Moment, epoch: str, share: Share, done: Done) -> CheckResult:
    """What is wrong with the rows of *share*. A read model of another log, or yet to be made anew, isn't wrong."""
    checks = [
        RowCheck(projections[each.kind], each.generation, each.position)
        for each in await stored.read_models.checkpoints()
        if each.kind in projections and (each.version, each.epoch) == (projections[each.kind].version, epoch)
    ]
    checked = CheckResult({check.generation: 0 for check in checks}, [])
    after, end = 0, max((check.end for check in checks), default=0)
    while after < end and (events := await stored.log.events(after, BATCH)):
        for check in checks:
            await _compare(stored, check, check.beside(events, share), checked)
        _add(done, events[-1].position - after)
        after = events[-1].position
    for check in checks:
        for some in check.rows():
            await _compare(stored, check, some, checked)
    return checked


async def _compare(stored: Moment, check: "RowCheck", expected: Sequence[ViewRow], checked: CheckResult) -> None:
    checked.rows[check.generation] += len(expected)
    found = await stored.read_models.rows(check.generation, [row.key for row in expected]) if expected else {}
    for row in expected:
        if found.get(row.key) != (row.place, row.position, row.document, sorted(row.tags)):
            what = "has something else in" if row.key in found else "lacks"
            checked.findings.append(f"the read model {check.kind} {what} row {row.key}")


async def _together(stored: Moment, checked: Sequence[CheckResult]) -> list[str]:
    """What the shares have found, and whether there is more stored than all of them expect."""
    findings = [finding for each in checked for finding in each.findings]
    findings[MOST:] = [f"and {len(findings) - MOST} more rows"] if len(findings) > MOST else []
    for checkpoint in await stored.read_models.checkpoints():
        generation = checkpoint.generation
        expected = [each.rows[generation] for each in checked if generation in each.rows]
        extra = await stored.read_models.count(generation) - sum(expected) if expected else 0
        if extra > 0:
            findings.append(f"the read model {checkpoint.kind} has rows that the log tells nothing of: {extra}")
    return findings


class RowCheck:
    """Makes the rows of a read model again, from the events up to position *end*."""

    def __init__(self, projection: Projection[Any], generation: int, end: int) -> None:
        self.kind, self.generation, self.end = projection.name, generation, end
        self._projection = projection
        self._sheet = RowBuffer(projection)
        self._away = Spill()

    def beside(self, events: Sequence[RecordedEvent], share: Share) -> list[ViewRow]:
        """Folds the events of *share*; the rows that are written once, beside theirs."""
        own = [each for each in events if each.position <= self.end and self._is_of(share, each)]
        self._sheet.fold(own, self._away.documents(self._sheet.missing(own)))
        self._away.put(self._sheet.evict(share.room))
        return self._sheet.take_beside()

    def rows(self) -> Iterator[list[ViewRow]]:
        """All the other rows, some at a time, when all is folded."""
        while self._sheet.is_changed:
            rows, removed = self._sheet.take(BATCH)
            self._away.put(rows)
            self._away.remove(removed)
        return self._away.rows()

    def _is_of(self, share: Share, recorded: RecordedEvent) -> bool:
        try:
            return share.has(self._projection.key(recorded))
        except Exception:  # it is parked when it is folded
            return share.number == 0
