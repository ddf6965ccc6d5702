"""
The time until another node takes over from a killed one: `python -m bench.takeover [--rounds N] [--database URL]`.

Each round there are two workers, `stageline worker`, at the default settings. The first of them drives a deployment,
and keeps up the read models. It is killed with SIGKILL at some moment between two of its signs of life, and it is timed
until the other has taken the deployment up, by the log, and until the other has the lease of the read models. Then the
deployment comes to its end, and the other worker is the first one of the next round. The database has to be empty;
without one a PostgreSQL of ours is started.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import uvloop

from domain.deployment.queue import DeploymentId
from domain.deployment.state import DeploymentTakenUp
from domain.deployment.step import Status
from domain.spec import ServiceSpec
from runner import jobs
from runner.targets.process.executor import ProcessExecutor
from store.log import EventLog
from store.postgres.connection import connect
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from tests.postgres import created, running
from tests.runner.test_worker_crash import Worker, worker
from tests.runner.world import World

if TYPE_CHECKING:
    from store.postgres.connection import Connection

BAR = 10.0
"""Seconds at most."""

HANGING = 60.0
"""Seconds after which a round is given up."""

LOOK = 0.005
"""Seconds between two looks into the database."""

LEASE = "SELECT token FROM leases WHERE name = 'views' AND expires_at > clock_timestamp()"
WORKERS = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > clock_timestamp() - interval '2 seconds'"

STEP = "while ! test -f go; do sleep 0.02; done"


async def taken_up(log: EventLog, after: int, id_: DeploymentId) -> None:
    """Returns when the deployment is taken up after that position."""
    async for batch in log.follow(after, id_):
        if any(isinstance(recorded.event, DeploymentTakenUp) for recorded in batch):
            return


async def leased(connection: "Connection", before: int) -> None:
    """Returns when the lease is another's than it was."""
    while await connection.fetchval(LEASE) in (None, before):
        await asyncio.sleep(LOOK)


async def timed(waiting: Awaitable[None]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    await waiting
    return time.perf_counter() - begun


async def killed(world: World, connection: "Connection", first: Worker, second: Worker, folder: Path) -> list[float]:
    """Seconds until the second worker, which is started meanwhile, drives the deployment; and keeps the read models."""
    spec = ServiceSpec(directory=str(folder), build=(STEP,), run=f"exec sleep {HANGING}")
    id_ = await world.request(await world.environment(["api"], spec=spec))
    await world.reaches(id_, "BuildStarted")
    while (before := await connection.fetchval(LEASE)) is None:
        await asyncio.sleep(LOOK)
    await second.start()
    while await connection.fetchval(WORKERS) < 2:
        await asyncio.sleep(LOOK)
    await asyncio.sleep(random.uniform(0, jobs.HEARTBEAT))
    after = await world.log.position()
    waiting = timed(taken_up(world.log, after, id_)), timed(leased(connection, before))
    tasks = [asyncio.create_task(each) for each in waiting]
    await first.end(SIGKILL)
    seconds = await asyncio.gather(*tasks)
    (folder / "go").touch()
    assert (await world.over(id_)).status is Status.SUCCEEDED
    (folder / "go").unlink()
    return list(seconds)


async def measured(dsn: str, rounds: int, folder: Path) -> list[list[float]]:
    log, output = await PostgresLog.open(dsn), await PostgresOutput.open(dsn)
    await jobs.prepare(dsn)
    found: list[list[float]] = []
    steps = folder / "steps"
    steps.mkdir()
    async with AsyncExitStack() as stack:
        connection = await connect(dsn)
        stack.push_async_callback(connection.close)
        world = await stack.enter_async_context(World(log, output).standing(HANGING * rounds))
        stack.push_async_callback(ProcessExecutor(folder / "machine").sweep, keep=())
        second = await stack.enter_async_context(worker(dsn, folder / "machine"))
        await second.end(SIGKILL)  # its turn comes
        first = await stack.enter_async_context(worker(dsn, folder / "machine"))
        for _ in range(rounds):
            found.append(await killed(world, connection, first, second, steps))
            first, second = second, first
    return found


async def main(server: str, rounds: int) -> None:
    with created(server, "template0") as dsn, tempfile.TemporaryDirectory() as folder:
        found = await measured(dsn, rounds, Path(folder))
    met = True
    for what, taken in zip(("deployment taken up", "read models kept up"), zip(*found, strict=True), strict=True):
        print(f"{what} by another: {min(taken):.2f} s, {statistics.median(taken):.2f} s in the median, ", end="")
        print(f"{max(taken):.2f} s at most, of {rounds}")
        met = met and max(taken) <= BAR
    print(f"{BAR:g} s at most: {'met' if met else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="a server's, whose user may create databases")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.database:
        uvloop.run(main(arguments.database, arguments.rounds))
    else:
        with running() as own:
            uvloop.run(main(own.dsn, arguments.rounds))
