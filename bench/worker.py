"""
What workers carry out, beside the engine's own limit: `python -m bench.worker [--database URL]`.

Deployments of four stages of seven services, whose steps do nothing, each of an environment of its own; and ten times
as many jobs of procrastinate that do nothing. Requested all at once, then driven by one worker and by two, each a
process; there are more of them than a worker drives at once, so that it is never idle.

Last, a hundred deployments at once on two workers: each is timed from its being admitted to its recorded end, by the
log's own times, and none may be lost. The database has to be empty; without one a PostgreSQL of ours is started.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from procrastinate import App, PsycopgConnector

from bench.deployment import DEPLOYED, STAGES, Case, Nothing, environment
from domain import deployment as deployments
from domain.deployment import DeploymentSucceeded, DeploymentTakenUp
from domain.environment import Target
from domain.project import EnvironmentId
from domain.queue import DeploymentAdmitted, DeploymentId
from runner import jobs
from runner.executor import StepOutput, Work
from runner.machine import machine
from runner.runner import Runner
from runner.worker import WorkerEngine
from store import deployment as writing
from store import ids
from store.handle import Handler, Transaction
from store.log import Author, Origin, Recorded
from store.postgres import PostgresLog
from store.postgres_output import PostgresOutput
from store.postgres_schema import migrate
from tests.postgres import created
from tests.postgres import running as postgres

BY = Author(actor="bench", origin=Origin.API)
CASE = Case(DEPLOYED, 28, 7)
MANY = 100
RATIO = 0.5
LOOK = 0.02
"""Seconds between two looks at how many jobs are left, which take time of the database's."""

LATE = 1.0
"""Seconds that a deployment may be later than one that has the workers for itself takes."""


def raw_app(dsn: str) -> App:
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=jobs.CONNECTIONS))

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

    async def deploy(self, work: Work, output: StepOutput) -> tuple[int, ...]:
        await asyncio.sleep(self._seconds)
        return ()


async def work(dsn: str, folder: Path, seconds: float) -> None:
    async def none(position: int) -> tuple[()]:
        return ()

    log, output = await PostgresLog.open(dsn), await PostgresOutput.open(dsn)
    runner = Runner(Handler(log), {Target.PROCESS: Working(seconds)}, output, ids.new().hex)
    await WorkerEngine(dsn, machine(folder), 300, runner, output, none, none).start()
    await asyncio.Event().wait()


@contextmanager
def workers(count: int, kind: str, dsn: str, folder: str = "", seconds: float = 0.0) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.worker", "--as", kind, "--database", dsn, "--folder", folder]
    command += ["--seconds", str(seconds)]
    processes = [subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"}) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def request(handler: Handler, where: EnvironmentId) -> None:
    id_ = DeploymentId(ids.new())

    async def work(transaction: Transaction) -> DeploymentId:
        return await writing.request(transaction, where, id_, BY.actor)

    await handler.transact(work, deployments.decider, BY)


async def carried_out(log: PostgresLog, count: int, after: int) -> list[Recorded]:
    """Everything recorded until so many deployments are over."""
    events: list[Recorded] = []
    async for batch in log.follow(after):
        events += batch
        count -= sum(isinstance(each.event, DeploymentSucceeded) for each in batch)
        if not count:
            return events
    raise AssertionError("unreachable")


async def deployed(dsn: str, count: int, processes: int) -> float:
    """Deployments in a second, from the first that is taken up to the last that is over."""
    log = await PostgresLog.open(dsn)
    try:
        await jobs.prepare(dsn)
        handler, after = Handler(log), await log.position()
        for _ in range(count):
            await request(handler, await environment(handler, CASE))
        with tempfile.TemporaryDirectory() as folder, workers(processes, "ours", dsn, folder):
            events = await carried_out(log, count, after)
    finally:
        await log.close()
    begun = next(each.recorded_at for each in events if isinstance(each.event, DeploymentTakenUp))
    return count / (events[-1].recorded_at - begun).total_seconds()


async def done_raw(dsn: str, count: int, processes: int, kind: str) -> float:
    """Jobs that do nothing in a second, from the first that are done to the last."""
    await jobs.prepare(dsn)
    moments: list[tuple[float, int]] = []
    async with (app := raw_app(dsn)).open_async():
        await app.configure_task("nothing", queue="raw").batch_defer_async(*({} for _ in range(count)))
        with workers(processes, kind, dsn):
            left = count
            while left:
                now = sum(queue["jobs_count"] for queue in await app.job_manager.list_queues_async(queue="raw"))
                if now < left:
                    moments.append((time.perf_counter(), count - now))
                left = now
                await asyncio.sleep(LOOK)
    (began, first), (ended, last) = moments[0], moments[-1]
    return (last - first) / (ended - began)


async def late(dsn: str, seconds: float) -> list[float]:
    """How many seconds later than by their own work each of many deployments is over, requested all at once."""
    log = await PostgresLog.open(dsn)
    try:
        await jobs.prepare(dsn)
        handler = Handler(log)
        first, *others = [await environment(handler, CASE) for _ in range(MANY + 1)]
        with tempfile.TemporaryDirectory() as folder, workers(2, "ours", dsn, folder, seconds):
            await request(handler, first)
            await carried_out(log, 1, 0)  # so they are there
            after = await log.position()
            await asyncio.gather(*(request(handler, place) for place in others))
            events = await carried_out(log, MANY, after)
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
        print(
            f"{processes} worker{'s' * (processes - 1)}: {ours:.1f} deployments a second, {ours * CASE.steps:.0f} steps"
        )
        for kind, how in (("raw", "as many at once"), ("raw alone", "one at a time, as procrastinate sets it up")):
            with created(server, "template0") as dsn:
                await migrate(dsn)
                raw = await done_raw(dsn, 10 * count, processes, kind)
            print(f"  {ours / raw:.2f} times the {raw:.1f} jobs a second that do nothing, {how}")
            met = met and ours / raw >= RATIO
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
            uvloop.run(work_raw(arguments.database, jobs.MOST))
        case "raw alone":
            uvloop.run(work_raw(arguments.database, 1))
        case _ if arguments.database:
            uvloop.run(main(arguments.database, arguments.count))
        case _:
            with postgres() as own:
                uvloop.run(main(own.dsn, arguments.count))
