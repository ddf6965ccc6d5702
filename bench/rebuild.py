"""
Rate of a rebuild of all read models: `python -m bench.rebuild [--events N] [--store sqlite|postgres]`.

The log has a million events (see `bench.long`) and complete read models. Then the version of every projection is
raised. During the rebuild a page of the newest history is read and an environment is changed, each ten times a second;
their latencies are printed. The peak memory is that of this process, without PostgreSQL. The processor time of an event
is printed beside the rate, because it depends less on other programs on the machine.

PostgreSQL is a server of this benchmark, with durable commits. SQLite is in a temporary folder.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
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
from projections.history import History, HistoryQuery
from server.stores import PROJECTIONS, Stores, on_postgres, on_sqlite
from store import ids
from tests.postgres import created, running

BAR = 10_000
"""Minimum rate on PostgreSQL, in events per second."""

ACT_INTERVAL = 0.1
"""Pause between two reads, and between two writes, in seconds."""

MEMORY_INTERVAL = 0.5
"""Pause between two readings of the memory, in seconds. A reading takes 3 ms of the processor."""

TIMEOUT = 3600.0
"""Maximum time of a rebuild, in seconds."""


class PeakMemory:
    """The largest memory of this process that was read, in MB."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._process = psutil.Process()

    async def read(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss / 2**20)


async def repeat(act: Callable[[], Awaitable[object]], taken: list[float], pause: float) -> None:
    """Call *act* again and again, and append the milliseconds of each call to *taken*."""
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


async def settle(stores: Stores, projector: Projector) -> None:
    """Wait until every read model contains the whole log."""
    await projector.wait_for(await stores.log.position(), TIMEOUT)
    while any(each.is_rebuilding for each in (await projector.status()).projections):
        await asyncio.sleep(ACT_INTERVAL)


async def rebuild(name: str, stores: Stores, database: Database | None, events: int) -> float:
    """Rebuild all read models of a log of so many *events*, print the figures, and return the events per second."""
    await long.fill(stores.log, events)
    await stores.projector.start()
    await settle(stores, stores.projector)
    await stores.projector.stop()
    handler, history = Handler(stores.log), History(stores.views, stores.log)
    changing = await environment(handler)
    concurrency = 1

    async def write() -> None:
        nonlocal concurrency
        concurrency = 3 - concurrency
        await handler.handle(pipelines.decider, changing, EditEnvironment(concurrency=concurrency), long.BY)

    async def read() -> None:
        page = await history.list(HistoryQuery(), Slice(first=50))
        assert len(page.edges) == 50

    raised = [replace(projection, version=projection.version + 1) for projection in PROJECTIONS]
    projector: Projector = type(stores.projector)(stores.log, stores.views, raised)
    reads, writes = list[float](), list[float]()
    memory = PeakMemory()
    acts = (read, reads, ACT_INTERVAL), (write, writes, ACT_INTERVAL), (memory.read, list[float](), MEMORY_INTERVAL)
    tasks = [asyncio.create_task(repeat(*act)) for act in acts]
    begun, own, its = time.perf_counter(), time.process_time(), await database.used() if database else 0.0
    await projector.start()
    await settle(stores, projector)
    rate = events / (time.perf_counter() - begun)
    own, its = time.process_time() - own, await database.used() - its if database else 0.0
    for task in tasks:
        task.cancel()
    await projector.stop()
    print(f"{name}: {rate:,.0f} events per second; peak memory {memory.peak:,.0f} MB")
    its_share = f", and {its / events * 1e6:.1f} µs in PostgreSQL" if database else ""
    print(f"  processor time of an event: {own / events * 1e6:.1f} µs{its_share}")
    for what, taken in (("reads", reads), ("writes", writes)):
        cuts = statistics.quantiles(taken, n=100)
        print(f"  {what} during the rebuild: median {cuts[49]:.1f} ms, 99th percentile {cuts[98]:.1f} ms")
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
            print(f"{BAR:,} events per second on PostgreSQL: {'met' if rate >= BAR else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    uvloop.run(main(options.events, [options.store] if options.store else ["sqlite", "postgres"]))
