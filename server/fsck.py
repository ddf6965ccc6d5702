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

projections = {projection.name: projection for projection in PROJECTIONS}


class StoreSnapshot(Struct, frozen=True):
    """A snapshot of the log and of the read models; other processes can open it by its *name*."""

    name: str | None
    log: LogSnapshot
    read_models: RowReader


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

    position: int
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
        report = FsckReport(position=position, read_models=len(PROJECTIONS), seconds=round(taken, 3), findings=findings)
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

    A log of up to *single_process* events is checked in one process, with *max_rows* of each read model in memory.
    *report* is called with the finished share, from 0 to 1.
    """
    if settings.database is None:
        log: EventLog = await SqliteLog.open(settings.data / "log.db")  # locked, so that no server writes
    else:
        log = await PostgresLog.open(settings.database)
    counter: EventCounter = multiprocessing.get_context("spawn").Value("q", 0)
    reporting: asyncio.Task[None] | None = None
    try:
        position = await log.position()
        count = 1 if position <= single_process else os.cpu_count() or 1
        if report is not None:
            reporting = asyncio.create_task(_report_progress(counter, position * (1 + count), report))
        if settings.database is None and not (settings.data / "views.db").exists():
            return position, await check_links(log, counter)
        async with _open_snapshot(settings) as stored:
            shares = [RowShare(number, count, stored.name, max_rows) for number in range(count)]
            results: Sequence[CheckResult]
            if count == 1:
                problems = await check_links(log, counter)
                results = [await check_rows(stored, log.epoch, shares[0], counter)]
            else:
                problems, results = await _check_in_parallel(settings, log, shares, counter)
            return position, [*problems, *await _combine(stored, results)]
    finally:
        if reporting is not None:
            reporting.cancel()
            await asyncio.wait([reporting])
        await log.close()


async def _report_progress(counter: EventCounter, total: int, report: Callable[[float], None]) -> None:
    try:
        while True:
            report(min(0.99, counter.value / max(1, total)))
            await asyncio.sleep(PAUSE)
    finally:
        report(1.0)


@asynccontextmanager
async def _open_snapshot(settings: Settings, name: str | None = None) -> AsyncIterator[StoreSnapshot]:
    """Open the snapshot *name*, or a new one; raise `LogUnavailable`."""
    if settings.database is not None:
        async with snapshot(settings.database, name) as stored:
            yield StoreSnapshot(stored.name, stored, PostgresRowReader(stored.connection))
    else:
        with read_only(settings.data / "log.db") as log, read_only(settings.data / "views.db") as views:
            yield StoreSnapshot(None, SqliteSnapshot(log), SqliteRowReader(views))


async def _check_in_parallel(
    settings: Settings, log: EventLog, shares: Sequence[RowShare], counter: EventCounter
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
        async with _open_snapshot(settings, share.snapshot) as stored:
            return await check_rows(stored, epoch, share, _counter)

    return asyncio.run(work())


async def check_links(log: EventLog, counter: EventCounter) -> list[str]:
    """Return the problems of the log itself."""
    verifier, after, end = Verifier(), 0, await log.position()
    while after < end and (part := await log.export(after, min(BATCH, end - after))).lines:
        verifier.take(part.lines.splitlines(keepends=True))
        _add(counter, part.position - after)
        after = part.position
    if verifier.position < end and not verifier.findings:
        return [f"the log ends at position {verifier.position} instead of {end}"]
    return [f"the log, {finding}" for finding in verifier.findings]


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
    while after < end and (events := await stored.log.events(after, BATCH)):
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
        if found.get(row.key) != (row.place, row.position, row.document, sorted(row.tags)):
            fault = "differs in" if row.key in found else "lacks"
            checked.findings.append(f"the read model {check.kind} {fault} row {row.key}")


async def _combine(stored: StoreSnapshot, results: Sequence[CheckResult]) -> list[str]:
    """Return the findings of all shares, with the read models that have more rows than these expect."""
    findings = [finding for each in results for finding in each.findings]
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
