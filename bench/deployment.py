"""
The cost of a deployment without its steps: `python -m bench.deployment`.

Four stages of seven services, whose steps do nothing, on the log in SQLite and driven by the local engine: from the
request to the recorded end, all the time is our own. Its limit is the disk: the same bytes in as many transactions,
written by nothing but SQLite. The same deployment on the log in memory shows the rest. What ends at once is recorded
at once; with one service at a time nothing does, and every outcome is an append of its own.

Last, the CPU time of a step of 50 stages of 20 services, on the log in memory, is compared with that of the four
stages.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec import Struct

from application import request as requests
from application.handler import Handler, Transaction
from application.secret import Vault
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment.plan import Output
from domain.deployment.queue import DeploymentId
from domain.deployment.step import OldInstance, Status
from domain.pipeline.environment import CreateEnvironment, Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService
from domain.pipeline.stage import CreateStage
from domain.project import EnvironmentId, ProjectId
from domain.spec import ServiceSpec, ServiceType
from runner.engine import LocalEngine
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.targets.contract import StepOutput, StepRequest
from store import codec, ids
from store.log import Author, EventLog, Origin, RecordedEvent
from store.memory import MemoryKeys, MemoryLog
from store.output import OutputStore
from store.sqlite.log import SqliteLog
from store.sqlite.output import MemoryOutput, SqliteOutput

STAGES = (ServiceType.DATABASE, ServiceType.JOB, ServiceType.CONTAINER, ServiceType.APPLICATION)
SERVICES = 7
TARGET = 150.0
BY = Author(actor="bench", origin=Origin.API)


class Nothing:
    """A target with nothing to do."""

    is_local = True

    async def build(self, request: StepRequest, output: StepOutput) -> None: ...

    async def deploy(self, request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        return ()

    async def outputs(self, request: StepRequest) -> tuple[Output, ...]:
        return ()

    async def abort(self, request: StepRequest) -> None: ...

    async def is_healthy(self, request: StepRequest) -> bool:
        return False

    async def restart_old(self, request: StepRequest) -> OldInstance | None:
        return None

    async def stop(self, request: StepRequest) -> None: ...

    async def delete(self, environment: UUID, service: UUID) -> None: ...

    async def delete_volume(self, environment: UUID, name: str) -> str | None:
        return None

    async def sweep(self, keep: Collection[UUID]) -> None: ...


class Case(Struct, frozen=True):
    """A service to deploy, the number of *steps*, how many services run at once, and the most milliseconds, if any.

    There are so many *stages* of so many *services*.
    """

    spec: ServiceSpec
    steps: int
    concurrency: int
    target: float | None = None
    stages: int = len(STAGES)
    services: int = SERVICES


DEPLOYED, BUILT = ServiceSpec(run="true"), ServiceSpec(build=("true",), run="true")
CASES = [
    Case(DEPLOYED, len(STAGES) * SERVICES, SERVICES, TARGET),
    Case(BUILT, 2 * len(STAGES) * SERVICES, SERVICES, TARGET),
    Case(BUILT, 2 * len(STAGES) * SERVICES, 1),
]

LARGE = 50, 20
"""Number of stages of a large pipeline, and of services of each."""

GROWTH = 1.5
"""Maximum CPU time of a step of a large deployment, as a multiple of that of a small one."""


async def environment(handler: Handler, case: Case) -> EnvironmentId:
    id_ = EnvironmentId(ids.new())
    first, second, third, fourth = (StageId(ids.new()) for _ in range(4))
    stages = (first, second, third, fourth)

    async def work(transaction: Transaction) -> EnvironmentId:
        create = CreateEnvironment(
            project=ProjectId(ids.new()), name="bench", stages=stages, concurrency=case.concurrency
        )
        await transaction.do(pipelines.decider, id_, create)
        further = [StageId(ids.new()) for _ in range(case.stages - len(stages))]
        for stage in further:
            await transaction.do(pipelines.decider, id_, CreateStage(stage=stage, name=str(stage)))
        for place, stage in enumerate((*stages, *further)):
            for number in range(case.services):
                name, type_ = f"{place} {number}", STAGES[place % len(STAGES)]
                add = AddService(service=ServiceId(ids.new()), name=name, type=type_, spec=case.spec, stage=stage)
                await transaction.do(pipelines.decider, id_, add)
        return id_

    await handler.transact(work, pipelines.decider, BY)
    return id_


async def deploy(handler: Handler, environment: EnvironmentId) -> float:
    """Milliseconds from the request of a deployment to its recorded end."""
    id_ = DeploymentId(ids.new())

    async def request(transaction: Transaction) -> DeploymentId:
        return await requests.request(transaction, environment, id_, BY.actor)

    begun = time.perf_counter()
    requested = await handler.transact(request, deployments.decider, BY)
    async for batch in handler.log.follow(requested.receipt.position, id_):
        if isinstance(batch[-1].event, deployments.DeploymentSucceeded):
            break
    taken = time.perf_counter() - begun
    assert (await handler.states.load(deployments.decider, id_)).state.status is Status.SUCCEEDED
    return taken * 1000


@asynccontextmanager
async def engine(log: EventLog, outputs: OutputStore) -> AsyncIterator[Handler]:
    """Run an engine on *log* for the block, whose steps do nothing."""

    async def none(position: int) -> dict[Any, Any]:
        return {}

    handler = Handler(log)
    secrets = SecretOpener(handler.states, Vault(handler.states, MemoryKeys()))
    running = LocalEngine(Runner(handler, {Target.PROCESS: Nothing()}, outputs, "bench", secrets), none, none)
    await running.start()
    try:
        yield handler
    finally:
        await running.stop()


async def measure(log: EventLog, outputs: OutputStore, case: Case, runs: int) -> list[float]:
    async with engine(log, outputs) as handler:
        where = await environment(handler, case)
        return [await deploy(handler, where) for _ in range(runs)]


async def appended(log: EventLog) -> list[list[bytes]]:
    """The last deployment's events as they are stored, by the append that they came in."""
    events = await log.read_all(0, 1_000_000)
    last = max(r.position for r in events if isinstance(r.event, deployments.DeploymentPlanned))
    appends = [list(group) for _, group in groupby(events, lambda recorded: recorded.recorded_at)]
    return [_bytes(append) for append in appends if append[-1].position >= last]


def _bytes(append: Sequence[RecordedEvent]) -> list[bytes]:
    return [codec.encode(recorded.event) for recorded in append]


def raw(path: Path, appends: list[list[bytes]], runs: int) -> list[float]:
    """Milliseconds for *appends* in SQLite alone, each made durable before the next."""
    taken = []
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, state BLOB NOT NULL)")
        for _ in range(runs):
            begun = time.perf_counter()
            for append in appends:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT INTO events (state) VALUES (?)", [(state,) for state in append])
                database.execute("COMMIT")
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def compare(case: Case, runs: int, folder: Path) -> None:
    log, outputs = await SqliteLog.open(folder / "log.db"), await SqliteOutput.open(folder / "output.db")
    try:
        ours = await measure(log, outputs, case, runs)
        appends = await appended(log)
    finally:
        await outputs.close()
        await log.close()
    limit = raw(folder / "raw.db", appends, runs)
    in_memory = MemoryOutput()
    memory = await measure(MemoryLog(), in_memory, case, runs)
    await in_memory.close()
    events, median = sum(map(len, appends)), statistics.median
    print(f"{len(STAGES)} stages of {SERVICES} services, {case.concurrency} at once, {case.steps} no-op steps:")
    print(f"{events} events in {len(appends)} appends, {median(ours) / median(limit):.1f} times the disk's own time")
    for name, taken in [("SQLite", ours), ("memory", memory), ("disk alone", limit)]:
        print(f"  {name:10} {median(taken):7.1f} ms, the median of {runs} ({min(taken):.1f} to {max(taken):.1f})")
    if case.target is not None:
        print(f"  at most    {case.target:7.1f} ms: {'met' if median(ours) <= case.target else 'missed'}")


async def cost(case: Case, runs: int) -> float:
    """Return the median CPU time of a step on the log in memory, in microseconds."""
    outputs, taken = MemoryOutput(), []
    async with engine(MemoryLog(), outputs) as handler:
        where = await environment(handler, case)
        for _ in range(runs):
            begun = time.process_time()
            await deploy(handler, where)
            taken.append((time.process_time() - begun) * 1e6 / case.steps)
    await outputs.close()
    return statistics.median(taken)


async def grow(concurrency: int, runs: int) -> None:
    stages, services = LARGE
    large = Case(BUILT, 2 * stages * services, concurrency, stages=stages, services=services)
    small = await cost(Case(BUILT, 2 * len(STAGES) * SERVICES, concurrency), runs)
    each = await cost(large, max(1, runs // 10))
    verdict = "met" if each <= GROWTH * small else "missed"
    print(f"{stages} stages of {services} services, {concurrency} at once: {each:.0f} µs of CPU a step,")
    print(
        f"  {each / small:.2f} times the {small:.0f} µs of {len(STAGES)} of {SERVICES} (at most {GROWTH:g}: {verdict})"
    )


async def main(runs: int) -> None:
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            await compare(case, runs, Path(folder))
    for concurrency in (SERVICES, 1):
        await grow(concurrency, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    asyncio.run(main(parser.parse_args().runs))
