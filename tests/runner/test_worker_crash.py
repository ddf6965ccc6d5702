"""
Workers of one machine that are killed in the middle of deployments, again and again.

They are processes of their own, `stageline worker`. KILLS says how often they are killed (4, or with `--long` 12),
and SEED repeats a run.
The marks of steps are compared with the log as in test_crash.
"""

import asyncio
import fcntl
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import asyncpg
import pytest

from domain import pipeline as pipelines
from domain.deployment.queue import DeploymentId
from domain.deployment.state import DeploymentTakenUp
from domain.deployment.step import Status
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import AddService, EditService
from domain.project import EnvironmentId
from domain.spec import Backoff, ServiceSpec, ServiceType
from runner import jobs
from store import ids
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from tests import postgres
from tests.proxy import far
from tests.runner import test_crash
from tests.runner.test_crash import (
    SERVICES,
    lines_in_store,
    lines_of,
    listening,
    marks_in_log,
    marks_of,
    on_fixed_port,
    spec,
    stamped,
)
from tests.runner.world import ANN, World
from tests.store.sample import followed

ROOT = Path(__file__).parents[2]
KILLS, MANY_KILLS = 4, 12
HANGING = 100.0 + 20 * int(os.environ.get("KILLS", MANY_KILLS))
"""Seconds after which a test is cancelled."""

ENVIRONMENTS = 3
LONGEST = 1.0
"""Seconds at most between a deployment's being taken up and a worker's being killed."""

data = test_crash.data


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[World]:
    log = await PostgresLog.open(database)
    await jobs.prepare(database)
    async with World(log, await PostgresOutput.open(database)).standing(HANGING) as world:
        yield world


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with opened(database) as world:
        yield world


class Worker:
    """A worker on the machine of *folder*, in a process of its own; *options* are those of `stageline worker`."""

    def __init__(self, database: str, folder: Path, *options: str) -> None:
        self._arguments = ["worker", "--database", database, "--data", str(folder), *options]
        self._log = folder.with_suffix(".log")

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.main", *self._arguments, cwd=ROOT, stderr=log
            )

    def send(self, number: Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        return await self._process.wait()

    async def end(self, number: Signals) -> int:
        self.send(number)
        return await self._process.wait()


@asynccontextmanager
async def worker(database: str, folder: Path, *options: str) -> AsyncIterator[Worker]:
    worker = Worker(database, folder, *options)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.end(SIGKILL)


async def environment(here: World, folder: Path) -> EnvironmentId:
    """One whose services leave their marks in *folder*."""
    id_ = await here.environment()
    for name, type_ in SERVICES.items():
        add = AddService(service=ServiceId(ids.new()), name=name, type=type_, spec=spec(name, folder))
        await here.handler.handle(pipelines.decider, id_, add, ANN)
    return id_


async def taken_up(here: World) -> None:
    """Returns when a deployment is taken up from now on."""
    async for batch in here.log.follow(await here.log.position()):
        if any(isinstance(recorded.event, DeploymentTakenUp) for recorded in batch):
            return


async def deploy_on(here: World, place: EnvironmentId, done: list[DeploymentId], enough: asyncio.Event) -> None:
    """Deploys again and again, until it is enough."""
    while not enough.is_set():
        id_ = await here.request(place)
        await here.over(id_)
        done.append(id_)


async def test_no_step_is_lost_or_carried_out_twice_when_workers_are_killed(
    world: World, database: str, data: Path, is_long: bool
) -> None:
    kills = int(os.environ.get("KILLS", MANY_KILLS if is_long else KILLS))
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    folders = [data / f"environment-{number}" for number in range(ENVIRONMENTS)]
    for folder in folders:
        folder.mkdir()
    environments = [await environment(world, folder) for folder in folders]
    done: list[list[DeploymentId]] = [[] for _ in environments]
    enough = asyncio.Event()
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker(database, data / "machine")) for _ in range(2)]
        async with asyncio.TaskGroup() as tasks:
            for place, theirs in zip(environments, done, strict=True):
                tasks.create_task(deploy_on(world, place, theirs, enough))
            for _ in range(kills):
                await taken_up(world)
                await asyncio.sleep(chance.uniform(0, LONGEST))
                victim = chance.choice(workers)
                await victim.end(SIGKILL)
                await victim.start()
            enough.set()
    print(f"{kills} kills in {sum(map(len, done))} deployments")
    for folder, deployments in zip(folders, done, strict=True):
        marks = (folder / "marks").read_text().split()
        assert sorted(mark for number, _ in enumerate(deployments, 1) for mark in marks_of(number)) == sorted(marks)
        for number, id_ in enumerate(deployments, 1):
            assert (await world.deployment(id_)).status == Status.SUCCEEDED
            assert (marks_of(number), marks_of(number)) == await marks_in_log(world, id_)
            assert lines_of(number) == await lines_in_store(world, id_)
        alive = Counter(
            (process.environ()["STAGELINE_SERVICE"], int(process.environ()["STAGELINE_DEPLOYMENT_NUMBER"]))
            for process in stamped(data)
            if process.cmdline() == ["sleep", "600"] and process.cwd() == str(folder)
        )
        expected = {(name, len(deployments)): 1 for name, type_ in SERVICES.items() if type_ is not ServiceType.JOB}
        assert Counter(expected) == alive


@pytest.mark.long
async def test_a_service_on_a_fixed_port_runs_after_workers_were_killed(
    world: World, database: str, data: Path, is_long: bool
) -> None:
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    good, broken = on_fixed_port(data)
    place = await world.environment(["api"], spec=good)
    async with worker(database, data / "machine") as victim:
        await world.over(await world.request(place))
        edit = EditService(service="api", spec=broken)
        await world.handler.handle(pipelines.decider, place, edit, ANN)
        id_ = await world.request(place)
        async with asyncio.TaskGroup() as tasks:
            over = tasks.create_task(world.over(id_))
            for _ in range(4 if is_long else 2):
                await asyncio.sleep(chance.uniform(0, LONGEST))
                await victim.end(SIGKILL)
                await victim.start()
        assert over.result().status is Status.FAILED
    assert (data / "marks").read_text().split() == ["1.api", "2.api", "1.api"]
    assert listening(data) == ["1"]
    assert (await world.recorded(id_)).count("OldInstanceRestarted") == 1


async def waiting(world: World, folder: Path) -> DeploymentId:
    """A deployment whose two builds leave a mark, and wait for the file `go`."""
    wait = "echo $STAGELINE_SERVICE.$STAGELINE_ATTEMPT >> marks; while ! test -f go; do sleep 0.02; done"
    spec = ServiceSpec(directory=str(folder), build=(wait,), run="exec sleep 600")
    return await world.request(await world.environment(["api", "web"], spec=spec))


async def stalled(database: str) -> None:
    """Returns when no worker has given a sign of life for too long: the database's clock decides."""
    connection = await asyncpg.connect(database)
    try:
        last = await connection.fetchval("SELECT max(last_heartbeat) FROM procrastinate_workers")
        await connection.execute("SELECT pg_sleep_until($1)", last + timedelta(seconds=jobs.STALLED + 0.1))
    finally:
        await connection.close()


async def test_a_worker_that_is_asked_to_end_hands_over_and_loses_nothing(
    world: World, database: str, data: Path
) -> None:
    id_ = await waiting(world, data)
    async with worker(database, data / "machine") as first:
        await world.reaches(id_, "BuildStarted", 2)
        async with worker(database, data / "machine"):
            taken = asyncio.create_task(taken_up(world))
            assert await first.end(SIGTERM) == 0
            await taken
            (data / "go").touch()
            await world.over(id_)
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]


@pytest.mark.long
async def test_a_worker_that_was_taken_for_dead_can_write_nothing_more(world: World, database: str, data: Path) -> None:
    id_ = await waiting(world, data)
    async with worker(database, data / "machine") as first:
        await world.reaches(id_, "BuildStarted", 2)
        async with worker(database, data / "machine"):
            first.send(SIGSTOP)
            async with asyncio.timeout(60):
                await world.reaches(id_, "DeploymentTakenUp", 2)
            first.send(SIGCONT)
            (data / "go").touch()
            assert (await world.over(id_)).status == Status.SUCCEEDED
            assert await first.end(SIGTERM) == 0
    assert (await world.recorded(id_)).count("DeploymentTakenUp") == 2
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]


@pytest.mark.long
async def test_a_worker_whose_database_was_silent_writes_nothing_more_of_what_another_took_up_and_goes_on(
    world: World, database: str, data: Path
) -> None:
    id_ = await waiting(world, data)
    async with far(database) as (proxy, dsn), worker(dsn, data / "machine") as first:
        await world.reaches(id_, "BuildStarted", 2)
        async with worker(database, data / "machine") as second:
            proxy.hushes = b"BuildSucceeded"
            (data / "go").touch()
            await proxy.has_hushed.wait()
            async with asyncio.timeout(60):
                await world.reaches(id_, "DeploymentTakenUp", 2)
            assert (await world.over(id_)).status == Status.SUCCEEDED
            assert await second.end(SIGTERM) == 0
        recorded = await world.recorded(id_)
        proxy.speak()
        assert (await world.over(await waiting(world, data))).status == Status.SUCCEEDED
        assert await first.end(SIGTERM) == 0
    assert await world.recorded(id_) == recorded
    assert sorted((data / "marks").read_text().split()) == ["api.1", "api.1", "web.1", "web.1"]
    assert "Traceback" not in (data / "machine.log").read_text()


@pytest.mark.long
async def test_a_worker_that_was_taken_for_dead_goes_on_when_no_other_has_taken_over(
    world: World, database: str, data: Path
) -> None:
    id_ = await waiting(world, data)
    async with worker(database, data / "machine") as only:
        await world.reaches(id_, "BuildStarted", 2)
        only.send(SIGSTOP)
        await stalled(database)
        only.send(SIGCONT)
        (data / "go").touch()
        assert (await world.over(id_)).status == Status.SUCCEEDED
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]


@pytest.mark.long
async def test_a_step_waits_for_the_machine_that_it_was_begun_on_and_says_so(
    world: World, database: str, data: Path
) -> None:
    id_ = await waiting(world, data)
    async with worker(database, data / "first") as first:
        await world.reaches(id_, "BuildStarted", 2)
        await first.end(SIGKILL)
        async with worker(database, data / "second"):
            async for lines in followed(world.outputs, id_):
                if any("does not answer; the step waits for it" in line.text for line in lines):
                    break
            await first.start()
            (data / "go").touch()
            assert (await world.over(id_)).status == Status.SUCCEEDED
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]


async def supervisor(folder: Path) -> None:
    """Returns when a worker of the machine of *folder* is its supervisor."""
    with (folder / "processes" / "supervisor").open() as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            await asyncio.sleep(0.02)


async def started(folder: Path, name: str, times: int) -> int:
    """The process of the service, once it was started so many *times*."""
    while True:
        found = [line.split(".") for line in (folder / "starts").read_text().split()]
        pids = [int(pid) for service, pid in found if service == name]
        if len(pids) >= times:
            return pids[-1]
        await asyncio.sleep(0.02)


@pytest.mark.long
async def test_another_worker_supervises_when_the_supervisor_is_killed_and_starts_nothing_twice(
    world: World, database: str, data: Path
) -> None:
    """One service ends beside each supervisor, one just before the supervisor is killed, and one never."""
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    machine, expected = data / "machine", Counter(["api", "web", "idle"])
    run = "echo $STAGELINE_SERVICE.$$ >> starts; exec sleep 600"
    spec = ServiceSpec(directory=str(data), run=run, restart_backoff=Backoff(initial=0.1), restart_limit=100)
    place = await world.environment(list(expected), spec=spec)

    async def end(name: str) -> None:
        os.kill(await started(data, name, expected[name]), SIGKILL)
        expected[name] += 1

    async with worker(database, machine) as first:
        assert (await world.over(await world.request(place))).status is Status.SUCCEEDED
        await supervisor(machine)
        async with worker(database, machine) as second:
            for victim in (first, second) * 3:
                await end("api")
                await started(data, "api", expected["api"])
                await end("web")
                await asyncio.sleep(chance.uniform(0, 0.3))  # around its restart
                await victim.end(SIGKILL)
                await supervisor(machine)
                await started(data, "web", expected["web"])
                await victim.start()
    lines = Counter(line.split(".")[0] for line in (data / "starts").read_text().split())
    alive = Counter(each.environ()["STAGELINE_SERVICE"] for each in stamped(data) if each.cmdline() == ["sleep", "600"])
    assert expected == lines
    assert Counter(["api", "web", "idle"]) == alive


async def test_a_worker_goes_on_when_the_database_is_back(data: Path) -> None:
    with postgres.running(waits_for_disk=False) as server, postgres.created(server.dsn, "template0") as database:
        async with opened(database) as world:
            id_ = await waiting(world, data)
            async with worker(database, data / "machine"):
                await world.reaches(id_, "BuildStarted", 2)
                await asyncio.to_thread(server.stop, "immediate")
                (data / "go").touch()
                await asyncio.to_thread(server.start)
                assert (await world.over(id_)).status == Status.SUCCEEDED
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]
