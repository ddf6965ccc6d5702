"""
The throughput of workers, beside that of the engine alone: `python -m bench.worker [--count N] [--database URL]`.

Each deployment has four stages of seven services, whose steps do nothing. Its environment was deployed once before. The
peer is the same number of empty jobs of procrastinate: one at a time, which is procrastinate's default, and as many at
once as a worker of Stageline runs. One or two workers run, each a process.

The workers run the same amount of work once before they are measured. Then they are suspended while all deployments or
jobs are requested. The clock starts when the workers resume, and stops when the table of jobs is empty.

The wall time says little on a busy machine. So the benchmark also prints the CPU time of one deployment and of one job:
that of the workers, and that of PostgreSQL if it runs on this machine.

At the end, two workers run a hundred deployments at once. The benchmark prints how much later each one ends than its
own steps take, by the times in the log. None may be lost.

The database must be empty. Without `--database` the benchmark starts a PostgreSQL of its own.
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
"""Interval at which the table of jobs is read, in seconds; each read takes CPU time of the database."""

AWAKE = "UPDATE procrastinate_workers SET last_heartbeat = clock_timestamp()"
"""Prevents that suspended workers count as stalled."""

JOBS = "SELECT EXISTS (SELECT FROM procrastinate_jobs)"

LATE = 1.0
"""Maximum time that a deployment may take longer than its steps, in seconds."""


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
    """A target whose steps take *seconds* each, and no CPU time."""

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
    """The cost of one deployment or job: wall time, and CPU time of the workers and of PostgreSQL, in seconds."""

    seconds: float
    workers: float
    database: float

    def __str__(self) -> str:
        at = f"{1 / self.seconds:.1f} a second"
        cpu = f"{1000 * self.workers:.2f} ms of the workers' processor and {1000 * self.database:.2f} of PostgreSQL's"
        return f"{at}; {cpu} each"


class Database:
    """A database: whether it has jobs, and the CPU time of its server."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def used(self) -> float:
        """Return the CPU time of the server, in seconds; 0 if it is on another machine."""
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
        """Return the cost of each job that *ask* requests while *workers* are suspended, from their resumption on."""
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
    """Return the CPU time of *processes*, in seconds."""
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
    """Open the log for the block: an open log would read all that the workers write, and be timed."""
    log = await PostgresLog.open(dsn)
    try:
        yield Handler(log)
    finally:
        await log.close()


async def late(dsn: str, seconds: float) -> list[float]:
    """Return how many seconds longer than its steps each of `MANY` deployments takes that are requested at once."""
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
