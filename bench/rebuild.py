"""
How quick read models are made anew: `python -m bench.rebuild [--events N] [--store sqlite|postgres]`.

A log of a million events (see `bench.long`), whose read models are there; then every projection's version is raised.
While all rows are made anew, the old ones are read (a page of the newest history, a pipeline) and an environment is
changed, each ten times a second; how long that takes is said, too. The peak is the memory of this process and of those
that it starts to make rows, together; PostgreSQL's own is not in it. The processor's time is said beside the rate, as
it says more where the machine does other things too: with two processors, each microsecond of it takes half a one.

PostgreSQL is one of our own, whose commits wait for the disk; SQLite is in a folder that is removed.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import uvloop

from application.handler import Handler
from bench import long
from bench.worker import Database, looked_into
from domain import pipeline as pipelines
from domain.pipeline.environment import CreateEnvironment, EditEnvironment
from domain.pipeline.ref import StageId
from domain.project import EnvironmentId, ProjectId
from projections.engine.projector import Projector
from projections.engine.views import Slice
from projections.history import History, HistoryFilter
from server.stores import PROJECTIONS, Stores, on_postgres, on_sqlite
from store import ids
from tests.postgres import created, running

BAR = 30_000
"""Events per second, on PostgreSQL."""

OFTEN = 0.1
"""Seconds between two reads, and between two writes, meanwhile."""

SELDOM = 0.5
"""Seconds between two looks at the memory: one takes 3 ms of the processor."""

LONG = 3600.0


def used() -> float:
    """Seconds of the processor that this process took, and those that it has started and that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in times)


class Memory:
    """The most that this process and those that it has started had together, in MB, of what was looked at."""

    def __init__(self) -> None:
        self.peak, self.processes = 0.0, 0
        self._own = psutil.Process()

    async def look(self) -> None:
        taken = []
        for process in (self._own, *self._own.children()):
            with suppress(psutil.NoSuchProcess):
                taken.append(process.memory_info().rss / 2**20)
        self.peak, self.processes = max((self.peak, self.processes), (sum(taken), len(taken)))


async def again_and_again(act: Callable[[], Awaitable[object]], taken: list[float], pause: float = OFTEN) -> None:
    """Adds how many milliseconds each time took."""
    while True:
        begun = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(pause)


async def environment(handler: Handler) -> EnvironmentId:
    id_ = EnvironmentId(ids.new())
    stages = StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new())
    create = CreateEnvironment(project=ProjectId(ids.new()), name="changing", stages=stages)
    await handler.handle(pipelines.decider, id_, create, long.BY)
    return id_


async def settled(stores: Stores, projector: Projector) -> None:
    await projector.wait_for(await stores.log.position(), LONG)
    while any(each.is_rebuilding for each in (await projector.status()).projections):
        await asyncio.sleep(OFTEN)


async def rebuild(name: str, stores: Stores, database: Database | None, events: int) -> float:
    """Events per second; *database* is PostgreSQL's."""
    await long.fill(stores.log, events)
    await stores.projector.start()
    await settled(stores, stores.projector)
    await stores.projector.stop()
    handler, history = Handler(stores.log), History(stores.views, stores.log)
    changing = await environment(handler)
    concurrency = 1

    async def write() -> None:
        nonlocal concurrency
        concurrency = 3 - concurrency
        await handler.handle(pipelines.decider, changing, EditEnvironment(concurrency=concurrency), long.BY)

    async def read() -> None:
        page = await history.list(HistoryFilter(), Slice(first=50))
        assert len(page.edges) == 50

    raised = [replace(projection, version=projection.version + 1) for projection in PROJECTIONS]
    projector: Projector = type(stores.projector)(stores.log, stores.views, raised)
    reads, writes = list[float](), list[float]()
    memory = Memory()
    works = (read, reads, OFTEN), (write, writes, OFTEN), (memory.look, list[float](), SELDOM)
    meanwhile = [asyncio.create_task(again_and_again(*work)) for work in works]
    begun, own, its = time.perf_counter(), used(), await database.used() if database else 0.0
    await projector.start()
    await settled(stores, projector)
    rate = events / (time.perf_counter() - begun)
    own, its = used() - own, await database.used() - its if database else 0.0
    for task in meanwhile:
        task.cancel()
    await projector.stop()
    print(f"{name}: {rate:,.0f} events a second; {memory.peak:,.0f} MB at most, in {memory.processes} processes")
    its_share = f", and {its / events * 1e6:.1f} of PostgreSQL's" if database else ""
    print(f"  of the processor {own / events * 1e6:.1f} microseconds for an event{its_share}")
    for what, taken in (("reads", reads), ("writes", writes)):
        cuts = statistics.quantiles(taken, n=100)
        print(f"  {what} meanwhile: half within {cuts[49]:.1f} ms, 99 % within {cuts[98]:.1f} ms")
    return rate


@asynccontextmanager
async def opened(store: str) -> AsyncIterator[tuple[Stores, Database | None]]:
    if store == "sqlite":
        with tempfile.TemporaryDirectory(dir=Path()) as folder:
            async with on_sqlite(Path(folder)) as stores:
                yield stores, None
    else:
        with running() as server, created(server.dsn, "template0") as dsn:
            async with on_postgres(dsn) as stores, looked_into(dsn) as database:
                yield stores, database


async def main(events: int, wanted: Sequence[str]) -> None:
    for store in wanted:
        async with opened(store) as (stores, database):
            rate = await rebuild(store, stores, database, events)
        if store == "postgres":
            print(f"{BAR:,} events a second on PostgreSQL: {'met' if rate >= BAR else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    uvloop.run(main(options.events, [options.store] if options.store else ["sqlite", "postgres"]))
