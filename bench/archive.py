"""
What an archive costs those who read it: `python -m bench.archive`.

A real server deploys seven jobs in four stages, on SQLite. Its last deployment is written many times into another log,
which is archived. Before and after that, the whole log is read in order, and deployments one by one in any order, each
by a log that has cached nothing.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

from bench.growth import deploy, furnish
from store import archive, ids
from store.log import RecordedEvent, StreamChange
from store.sqlite.archive import archiving
from store.sqlite.log import SqliteLog
from tests.serving import serving
from tests.store.sample import BOB

OLD = datetime.now(UTC) - timedelta(days=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=3_000)
    parser.add_argument("--reads", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log" / "log.db"
        streams = asyncio.run(_fill(path, _events(Path(folder) / "server"), given.deployments))
        chosen = random.Random(1).sample(streams, given.reads)
        before, began = path.stat().st_size, asyncio.run(_read(path, chosen, "stored"))
        taken = asyncio.run(_archive(path))
        after, archived = path.stat().st_size, asyncio.run(_read(path, chosen, "archived"))
        files = sum(each.stat().st_size for each in (path.parent / archive.FOLDER).iterdir())
    stored, left, moved = (size / given.deployments / 1000 for size in (before, after, files))
    print(f"archived {given.deployments / taken:,.0f} deployments a second, {began / taken:,.0f} events a second")
    print(f"log.db {stored:.1f} kB a deployment, then {left:.1f}, and {moved:.1f} in the archive")
    assert began == archived


def _events(folder: Path) -> Sequence[RecordedEvent]:
    """Return the events of a deployment."""
    folder.mkdir()
    with serving(folder) as server:
        furnish(server, lines=1)
        deploy(server, 2)
        server.stop()

        async def read() -> Sequence[RecordedEvent]:
            log = await SqliteLog.open(server.data / "log.db")
            every = await log.read_all(limit=10_000)
            last = next(each.stream for each in reversed(every) if each.name in archive.CLOSED)
            await log.close()
            return [each for each in every if each.stream == last]

        return asyncio.run(read())


async def _fill(path: Path, events: Sequence[RecordedEvent], count: int) -> list[UUID]:
    """Write *count* deployments with these *events*."""
    log = await SqliteLog.open(path, lambda: OLD)
    whole = tuple(each.event for each in events)
    streams = [ids.new() for _ in range(count)]
    for start in range(0, count, 100):
        some = streams[start : start + 100]
        changes = [StreamChange(stream=stream, expected=0, events=whole) for stream in some]
        await asyncio.gather(*(log.append([change], BOB) for change in changes))
    await log.close()
    return streams


async def _read(path: Path, chosen: Sequence[UUID], what: str) -> int:
    """Print how long it takes to read *what* is there; return the number of events."""
    times = []
    for stream in chosen:
        log = await SqliteLog.open(path)
        began = time.perf_counter()
        await log.read(stream)
        times.append(time.perf_counter() - began)
        await log.close()
    log = await SqliteLog.open(path)
    began, after = time.perf_counter(), 0
    while found := await log.read_all(after):
        after = found[-1].position
    rate = after / (time.perf_counter() - began)
    began, exported = time.perf_counter(), 0
    while page := (await log.export(exported)).position:
        exported = page
    export = exported / (time.perf_counter() - began)
    await log.close()
    print(f"{what:9} a deployment {median(times) * 1000:.1f} ms, {rate:,.0f} events/s in order, export {export:,.0f}/s")
    return after


async def _archive(path: Path) -> float:
    """Archive everything; return the time that it took, in seconds."""
    began = time.perf_counter()
    with archiving(path.parent, is_dry_run=False) as log:
        await archive.archive(log, path.parent / archive.FOLDER, datetime.now(UTC), lambda share: None)
        await log.shrink()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
