"""
The throughput of workers, beside the engine's own limit: `python -m bench.worker [--count N] [--database URL]`.

Deployments of four stages of seven services, whose steps do nothing, each of an environment of its own that was
deployed before; and as many jobs of procrastinate that do nothing, by workers as it sets them up, and by such as do as
many at once as ours. The workers, one or two, each a process, have done as much before; they are held up while all of
it is asked for. It is timed from when they go on to the last that is done, which is seen by the same look into the
jobs' table on either side.

A shared machine's time says little of two cores that all of it needs. So the processor's time is told, too, for one
deployment and for one job: the workers', and PostgreSQL's where it runs on this machine.

Last, a hundred deployments at once on two workers: each is timed from its being admitted to its recorded end, by the
log's own times, and none may be lost. The database has to be empty; without one a PostgreSQL of ours is started.
"""

import argparse
import asyncio
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import uvloop
from msgspec import Struct
from procrastinate import App, PsycopgConnector

from application import request as requests
from application.handler import Handler, Transaction
from application.secret import Vault
from bench.deployment import DEPLOYED, STAGES, Case, Nothing, environment
from domain import deployment as deployments
from domain.deployment.queue import DeploymentAdmitted, DeploymentId
from domain.deployment.state import DeploymentSucceeded
from domain.pipeline.environment import Target
from domain.project import EnvironmentId
from runner import jobs
from runner.machine import machine
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.targets.contract import StepOutput, StepRequest
from runner.worker import WorkerEngine
from server.garbage import collect_rarely
from store import ids
from store.log import Author, Origin
from store.memory import MemoryKeys
from store.postgres.connection import connect
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from tests.postgres import created
from tests.postgres import running as postgres

if TYPE_CHECKING:
    from store.postgres.connection import Connection

BY = Author(actor="bench", origin=Origin.API)
CASE = Case(DEPLOYED, 28, 7)
RAW_CONNECTIONS = 5
MANY = 100
RATIO = 0.5
LOOK = 0.02
"""Seconds between two looks at how many jobs are left, which take time of the database's."""

AWAKE = "UPDATE procrastinate_workers SET last_heartbeat = clock_timestamp()"
"""Keeps workers that were held up from being taken for stalled."""

JOBS = "SELECT EXISTS (SELECT FROM procrastinate_jobs)"

LATE = 1.0
"""Seconds that a deployment may be later than one that has the workers for itself takes."""


def raw_app(dsn: str) -> App:
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an app in a program's main module
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=RAW_CONNECTIONS))

    @app.task(name="nothing", queue="raw")
    async def nothing() -> None: ...

    return app


async def work_raw(dsn: str, concurrency: int) -> None:
    async with (app := raw_app(dsn)).open_async():
        await app.run_worker_async(
            queues=["raw"], concurrency=concurrency, delete_jobs="successful", fetch_job_polling_interval=jobs.POLL
        )


class Working(Nothing):
    """A target whose every step takes so many *seconds*, and nothing of the machine."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        await asyncio.sleep(self._seconds)
        return ()


async def work(dsn: str, folder: Path, seconds: float) -> None:
    async def none(position: int) -> dict[Any, Any]:
        return {}

    log, output = await PostgresLog.open(dsn), await PostgresOutput.open(dsn)
    handler = Handler(log)
    secrets = SecretOpener(handler.states, Vault(handler.states, MemoryKeys()))
    runner = Runner(handler, {Target.PROCESS: Working(seconds)}, output, ids.new().hex, secrets)
    await WorkerEngine(dsn, machine(folder), 300, runner, output, none, none).start()
    collect_rarely()
    await asyncio.Event().wait()


@contextmanager
def workers(count: int, kind: str, dsn: str, folder: str = "", seconds: float = 0.0) -> Iterator[list[psutil.Process]]:
    command = [sys.executable, "-m", "bench.worker", "--as", kind, "--database", dsn, "--folder", folder]
    command += ["--seconds", str(seconds)]
    processes = [subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"}) for _ in range(count)]
    try:
        yield [psutil.Process(process.pid) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def request(handler: Handler, where: EnvironmentId) -> None:
    id_ = DeploymentId(ids.new())

    async def work(transaction: Transaction) -> DeploymentId:
        return await requests.request(transaction, where, id_, BY.actor)

    await handler.transact(work, deployments.decider, BY)


class Cost(Struct, frozen=True):
    """The cost of one of many of a kind: seconds, and the processor's in the workers and in PostgreSQL."""

    seconds: float
    workers: float
    database: float

    def __str__(self) -> str:
        at = f"{1 / self.seconds:.1f} a second"
        cpu = f"{1000 * self.workers:.2f} ms of the workers' processor and {1000 * self.database:.2f} of PostgreSQL's"
        return f"{at}; {cpu} each"


class Database:
    """The one that is looked into: how far the jobs are, and what its server has used of the processor."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def used(self) -> float:
        """Seconds; 0 if it isn't on this machine."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(await self._connection.fetchval("SELECT pg_backend_pid()"))
            server = own.parent()
            if own.name() == "postgres" and server is not None and server.name() == "postgres":
                gone = server.cpu_times()
                return gone.children_user + gone.children_system + used([server, *server.children()])
        return 0.0

    async def done(self) -> None:
        while await self._connection.fetchval(JOBS):
            await asyncio.sleep(LOOK)

    async def cost(self, ask: Callable[[], Awaitable[int]], workers: Sequence[psutil.Process]) -> Cost:
        """Of the jobs that are asked for while *workers* are held up, from then on to the last that is done."""
        for worker in workers:
            worker.suspend()
        count = await ask()
        await self._connection.execute(AWAKE)
        begun, before, database = time.perf_counter(), used(workers), await self.used()
        for worker in workers:
            worker.resume()
        await self.done()
        seconds, own = time.perf_counter() - begun, used(workers) - before
        database = await self.used() - database
        return Cost(seconds / count, own / count, database / count)


def used(processes: Iterable[psutil.Process]) -> float:
    """Seconds of the processor."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@asynccontextmanager
async def looked_into(dsn: str) -> AsyncIterator[Database]:
    connection = await connect(dsn)
    try:
        yield Database(connection)
    finally:
        await connection.close()


async def deployed(dsn: str, count: int, processes: int) -> Cost:
    async with opened(dsn) as handler:
        await jobs.prepare(dsn)
        places = [await environment(handler, CASE) for _ in range(count)]

    async def ask() -> int:
        async with opened(dsn) as handler:
            for place in places:
                await request(handler, place)
        return count

    return await measured(dsn, ask, processes, "ours")


async def done_raw(dsn: str, count: int, processes: int, kind: str) -> Cost:
    async with (app := raw_app(dsn)).open_async():
        await app.schema_manager.apply_schema_async()

    async def ask() -> int:
        async with (app := raw_app(dsn)).open_async():
            await app.configure_task("nothing", queue="raw").batch_defer_async(*({} for _ in range(count)))
        return count

    return await measured(dsn, ask, processes, kind)


async def measured(dsn: str, ask: Callable[[], Awaitable[int]], processes: int, kind: str) -> Cost:
    """Measure workers that have done as much before."""
    await ask()
    async with looked_into(dsn) as database:
        with tempfile.TemporaryDirectory() as folder, workers(processes, kind, dsn, folder) as running:
            await database.done()
            return await database.cost(ask, running)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Handler]:
    """The log, which is closed again before anything is timed: it would read all that workers write."""
    log = await PostgresLog.open(dsn)
    try:
        yield Handler(log)
    finally:
        await log.close()


async def late(dsn: str, seconds: float) -> list[float]:
    """How many seconds later than by their own work each of many deployments is over, requested all at once."""
    log = await PostgresLog.open(dsn)
    try:
        await jobs.prepare(dsn)
        handler = Handler(log)
        first, *others = [await environment(handler, CASE) for _ in range(MANY + 1)]
        async with looked_into(dsn) as database:
            with tempfile.TemporaryDirectory() as folder, workers(2, "ours", dsn, folder, seconds):
                await request(handler, first)
                await database.done()  # so they are there
                after = await log.position()
                await asyncio.gather(*(request(handler, place) for place in others))
                await database.done()
        events = await log.read_all(after, 1_000_000)
    finally:
        await log.close()
    admitted = {each.event.deployment: each for each in events if isinstance(each.event, DeploymentAdmitted)}
    own = len(STAGES) * seconds
    return [
        (each.recorded_at - admitted[DeploymentId(each.stream)].recorded_at).total_seconds() - own
        for each in events
        if isinstance(each.event, DeploymentSucceeded)
    ]


async def main(server: str, count: int) -> None:
    met = True
    for processes in (1, 2):
        with created(server, "template0") as dsn:
            ours = await deployed(dsn, count, processes)
        print(f"{processes} worker{'s' * (processes - 1)}: deployments, {ours}", flush=True)
        for kind, how in (("raw alone", "one at a time, as procrastinate sets it up"), ("raw", "as many at once")):
            with created(server, "template0") as dsn:
                raw = await done_raw(dsn, count, processes, kind)
            ratio, cpu = raw.seconds / ours.seconds, (raw.workers + raw.database) / (ours.workers + ours.database)
            print(f"  jobs that do nothing, {how}: {raw}")
            print(f"    {ratio:.2f} times as many deployments, {cpu:.2f} by the processor's time", flush=True)
            met = met and ratio >= RATIO
    with created(server, "template0") as dsn:
        lateness = await late(dsn, 1.0)
    print(f"{MANY} deployments at once on 2 workers: {len(lateness)} over; beside their own work they took")
    print(f"  {statistics.median(lateness):.2f} s in the median, {max(lateness):.2f} s at most")
    met = met and len(lateness) == MANY and max(lateness) <= LATE
    print(f"{RATIO:g} times, and {LATE:g} s at most: {'met' if met else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="a server's, whose user may create databases")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.role:
        case "ours":
            uvloop.run(work(arguments.database, Path(arguments.folder), arguments.seconds))
        case "raw":
            uvloop.run(work_raw(arguments.database, jobs.MAX_DEPLOYMENTS))
        case "raw alone":
            uvloop.run(work_raw(arguments.database, 1))
        case _ if arguments.database:
            uvloop.run(main(arguments.database, arguments.count))
        case _:
            with postgres() as own:
                uvloop.run(main(own.dsn, arguments.count))
