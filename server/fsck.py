"""
A check of all stored data: of the log by itself, and of the read models against the log.

The log's positions, versions and hash chains are verified as in an audit (see `store.audit`). The rows of the read
models come from one snapshot. They are compared with rows that are rebuilt from the log up to the same position. For a
long log, the rows are divided among as many processes as there are processors. Memory is bounded: rows beyond
`MAX_ROWS` are spilled to a temporary file.
"""

import asyncio
import gc
import multiprocessing
import os
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from projections.engine.buffer import RowBuffer
from projections.engine.projection import Projection
from projections.engine.views import ViewRow
from server import progress
from server.settings import Settings
from server.spill import Spill
from server.stored import StoredData, StoreSnapshot, open_data, open_snapshot
from server.stores import PROJECTIONS
from store.archive import SegmentUnreadable
from store.audit import Verifier
from store.codec import DamagedEvent, UnknownEvent
from store.log import LogUnavailable, RecordedEvent
from store.postgres.errors import DatabaseDamaged
from store.snapshot import ExportSource

BATCH = 5_000
"""Maximum number of events or rows that are read at once."""

SINGLE_PROCESS_EVENTS = 50_000
"""Number of events up to which one process is faster than several."""

MAX_FINDINGS = 20
"""Maximum number of invalid rows in the findings."""

MAX_ROWS = 5_000
"""Maximum number of rows of a read model in memory, for each process."""

PAUSE = 0.5
"""Time between two progress reports, in seconds."""

EventCounter = Any
"""The number of events that all processes have handled: a `multiprocessing.Value`, which has no type."""

_counter: EventCounter = None

DAMAGE = (DamagedEvent, UnknownEvent, DatabaseDamaged, ValueError, TypeError, AttributeError, sqlite3.DatabaseError)
"""Errors by which the row of an event can't be read."""

Result = TypeVar("Result")

projections = {projection.name: projection for projection in PROJECTIONS}


class RowShare(Struct, frozen=True):
    """Part *number* of *count* of all rows, in the snapshot named *snapshot*.

    *max_rows* is the maximum number of rows of each read model in memory.
    """

    number: int
    count: int
    snapshot: str | None
    max_rows: int

    def includes(self, key: UUID | None) -> bool:
        return key is not None and key.int % self.count == self.number


class CheckResult(Struct):
    """The number of rows that each generation should have, and the problems found."""

    rows: dict[int, int]
    findings: list[str]


class FsckReport(Struct, kw_only=True, rename="camel"):
    """The output with `--json`."""

    log_position: int
    read_models: int
    seconds: float
    findings: Sequence[str]


def fsck(settings: Settings, as_json: bool = False) -> None:
    """Check everything, and print the findings. Exit with 1 if there are any, or if the data can't be read."""
    began = time.monotonic()
    try:
        position, findings = asyncio.run(check(settings, report=progress.show))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    taken = time.monotonic() - began
    if as_json:
        report = FsckReport(
            log_position=position, read_models=len(PROJECTIONS), seconds=round(taken, 3), findings=findings
        )
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        verdict = f"{len(findings) or 'no'} problem{'' if len(findings) == 1 else 's'} found"
        print(
            *findings, f"{position:,} events and {len(PROJECTIONS)} read models in {taken:.1f} s: {verdict}", sep="\n"
        )
    sys.exit(1 if findings else 0)


async def check(
    settings: Settings,
    single_process: int = SINGLE_PROCESS_EVENTS,
    max_rows: int = MAX_ROWS,
    report: Callable[[float], None] | None = None,
) -> tuple[int, list[str]]:
    """Return the log's last position and the findings; raise `LogUnavailable`.

    A log of up to *single_process* events is checked in one process, with *max_rows* of each read model in memory. So
    is an SQLite log that a server uses, since processes can't share its snapshot. *report* is called with the finished
    share, from 0 to 1.
    """
    counter: EventCounter = multiprocessing.get_context("spawn").Value("q", 0)
    try:
        async with open_data(settings) as data:
            return await _check(settings, data, single_process, max_rows, counter, report)
    except DatabaseDamaged as fault:  # the end of the log, or a read model, can't be read
        return await _damage(settings, fault)


async def _check(
    settings: Settings,
    data: StoredData,
    single_process: int,
    max_rows: int,
    counter: EventCounter,
    report: Callable[[float], None] | None,
) -> tuple[int, list[str]]:
    reporting: asyncio.Task[None] | None = None
    try:
        log, stored, position = data.log, data.snapshot, await data.log.position()
        count = os.cpu_count() or 1 if position > single_process and data.is_shared else 1
        if report is not None:
            reporting = asyncio.create_task(_report_progress(counter, position * (1 + count), report))
            await asyncio.sleep(0)  # it begins
        if stored is None:
            return position, [*data.findings, *await check_links(log, counter)]
        shares = [RowShare(number, count, stored.name, max_rows) for number in range(count)]
        results: Sequence[CheckResult]
        if count == 1:
            problems = await check_links(log, counter)
            results = [await check_rows(stored, log.epoch, shares[0], counter)]
        else:
            problems, results = await _check_in_parallel(settings, log, shares, counter)
        lost = await _lost_events(stored, log)
        return position, [*data.findings, *lost, *problems, *await _combine(stored, results)]
    finally:
        if reporting is not None:
            reporting.cancel()
            await asyncio.wait([reporting])


async def _damage(settings: Settings, found: DatabaseDamaged) -> tuple[int, list[str]]:
    """Return the last position that can be read, and the first event after it or the damage *found* as a finding."""
    after = 0
    async with open_snapshot(settings) as stored:
        try:
            while events := await _read(stored.log.events, after, BATCH):
                after = events[-1].position
        except EventUnreadable as fault:
            return after, [f"the log, {fault}"]
    return after, [f"the read models can't be read: {found}"]


async def _report_progress(counter: EventCounter, total: int, report: Callable[[float], None]) -> None:
    try:
        while True:
            report(min(0.99, counter.value / max(1, total)))
            await asyncio.sleep(PAUSE)
    finally:
        report(1.0)


async def _lost_events(stored: StoreSnapshot, log: ExportSource) -> list[str]:
    """Return a finding if the log ends before its read models do."""
    position = await log.position()
    known = max(
        (each.position for each in await stored.read_models.checkpoints() if each.epoch == log.epoch), default=0
    )
    if known <= position:
        return []
    return [f"the log ends at position {position}, but its read models have events up to {known}: it lost the others"]


async def _check_in_parallel(
    settings: Settings, log: ExportSource, shares: Sequence[RowShare], counter: EventCounter
) -> tuple[list[str], Sequence[CheckResult]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(shares), context, _init_process, (counter,)) as processes:
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(processes, _check_in_process, settings, log.epoch, share) for share in shares]
        return await check_links(log, counter), await asyncio.gather(*futures)


def _init_process(counter: EventCounter) -> None:
    """Set the counter that all processes share: it can only be passed to a process when it starts."""
    global _counter
    _counter = counter
    gc.disable()  # nothing here has reference cycles, and collections take a tenth of the time


def _check_in_process(settings: Settings, epoch: str, share: RowShare) -> CheckResult:
    """Check *share* in a process of its own."""

    async def work() -> CheckResult:
        async with open_snapshot(settings, share.snapshot) as stored:
            return await check_rows(stored, epoch, share, _counter)

    return asyncio.run(work())


async def check_links(log: ExportSource, counter: EventCounter) -> list[str]:
    """Return the problems of the log itself."""
    verifier, after, end, damaged = Verifier(), 0, await log.position(), list[str]()
    while after < end and len(damaged) < MAX_FINDINGS:
        try:
            part = await _read(log.export, after, min(BATCH, end - after))
        except EventUnreadable as fault:
            damaged.append(f"the log, {fault}")
            if isinstance(fault.__cause__, SegmentUnreadable):  # as many events as the segment has
                break
            after = fault.position
            continue
        if not part.lines:
            break
        verifier.take(part.lines.splitlines(keepends=True))
        _add(counter, part.position - after)
        after = part.position
    if damaged:
        return damaged  # the events after it don't link to it
    if verifier.position < end and not verifier.findings:
        return [f"the log ends at position {verifier.position} instead of {end}"]
    return [f"the log, {finding}" for finding in verifier.findings]


class EventUnreadable(Exception):
    """The event at *position* can't be read."""

    def __init__(self, position: int, fault: Exception) -> None:
        super().__init__(f"position {position} can't be read: {fault}")
        self.position = position


async def _read(read: Callable[[int, int], Awaitable[Result]], after: int, limit: int) -> Result:
    """Return *limit* events after a position, or fewer before damage; raise `EventUnreadable` for the first event."""
    while True:
        try:
            return await read(after, limit)
        except DAMAGE as fault:
            if limit == 1:
                raise EventUnreadable(after + 1, fault) from fault
            limit //= 2


def _add(counter: EventCounter, events: int) -> None:
    with counter.get_lock():
        counter.value += events


async def check_rows(stored: StoreSnapshot, epoch: str, share: RowShare, counter: EventCounter) -> CheckResult:
    """Return the problems of the rows in *share*, without read models of another log or before a rebuild."""
    checks = [
        RowCheck(projections[each.kind], each.generation, each.position)
        for each in await stored.read_models.checkpoints()
        if each.kind in projections and (each.version, each.epoch) == (projections[each.kind].version, epoch)
    ]
    checked = CheckResult({check.generation: 0 for check in checks}, [])
    after, end = 0, max((check.end for check in checks), default=0)
    while after < end:
        try:
            events = await _read(stored.log.events, after, BATCH)
        except EventUnreadable as fault:
            checked.findings.append(f"the read models can't be checked: the log, {fault}")
            return CheckResult({}, checked.findings)
        if not events:
            break
        for check in checks:
            await _compare(stored, check, check.fold(events, share), checked)
        _add(counter, events[-1].position - after)
        after = events[-1].position
    for check in checks:
        for some in check.rows():
            await _compare(stored, check, some, checked)
    return checked


async def _compare(stored: StoreSnapshot, check: "RowCheck", expected: Sequence[ViewRow], checked: CheckResult) -> None:
    checked.rows[check.generation] += len(expected)
    found = await stored.read_models.rows(check.generation, [row.key for row in expected]) if expected else {}
    for row in expected:
        places = sorted(row.places, key=lambda place: (place.parent, place.sort))
        if found.get(row.key) != (row.place, row.position, row.document, sorted(row.tags), places):
            fault = "differs in" if row.key in found else "lacks"
            checked.findings.append(f"the read model {check.kind} {fault} row {row.key}")


async def _combine(stored: StoreSnapshot, results: Sequence[CheckResult]) -> list[str]:
    """Return the findings of all shares, with the read models that have more rows than these expect."""
    findings = list(dict.fromkeys(finding for each in results for finding in each.findings))
    findings[MAX_FINDINGS:] = [f"and {len(findings) - MAX_FINDINGS} more rows"] if len(findings) > MAX_FINDINGS else []
    for checkpoint in await stored.read_models.checkpoints():
        generation = checkpoint.generation
        expected = [each.rows[generation] for each in results if generation in each.rows]
        extra = await stored.read_models.count(generation) - sum(expected) if expected else 0
        if extra > 0:
            findings.append(f"the read model {checkpoint.kind} has rows without events: {extra}")
    return findings


class RowCheck:
    """A rebuild of the rows of a read model from the events up to position *end*."""

    def __init__(self, projection: Projection[Any], generation: int, end: int) -> None:
        self.kind, self.generation, self.end = projection.name, generation, end
        self._projection = projection
        self._buffer = RowBuffer(projection)
        self._spill = Spill()

    def fold(self, events: Sequence[RecordedEvent], share: RowShare) -> list[ViewRow]:
        """Fold the events of *share*, and return the rows beside others, which are written only once."""
        own = [each for each in events if each.position <= self.end and self._is_in(share, each)]
        self._buffer.fold(own, self._spill.documents(self._buffer.missing(own)))
        self._spill.put(self._buffer.evict(share.max_rows))
        parts, gone = self._buffer.take_parts()
        self._spill.put(parts)
        self._spill.remove(gone)
        return self._buffer.take_beside()

    def rows(self) -> Iterator[list[ViewRow]]:
        """Yield all other rows in batches, after the last event."""
        while self._buffer.is_changed:
            rows, removed = self._buffer.take(BATCH)
            self._spill.put(rows)
            self._spill.remove(removed)
        return self._spill.rows()

    def _is_in(self, share: RowShare, recorded: RecordedEvent) -> bool:
        try:
            return share.includes(self._projection.key(recorded))
        except Exception:  # folding it parks it
            return share.number == 0
