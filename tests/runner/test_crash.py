"""
A server that is killed in the middle of deployments, again and again.

The server is a process of its own, all of it but its face to the network.
Every step leaves a line in a file when it begins, so that one that is done twice shows, and whatever still runs of a
service is found by its environment.
"""

import asyncio
import multiprocessing
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from domain import pipeline as pipelines
from domain.deployment.queue import DeploymentId, DeploymentRequested
from domain.deployment.step import (
    BuildStarted,
    BuildSucceeded,
    OldInstanceRestarted,
    Phase,
    ServiceDeployed,
    ServiceDeployStarted,
    Status,
    StepRetried,
)
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import AddService, EditService
from domain.spec import CommandCheck, Health, ServiceSpec, ServiceType, TcpCheck
from runner.targets.process.table import STAMP
from server.components import running
from server.settings import Settings
from store import ids
from store.output import LineKind
from store.sqlite.log import SqliteLog
from store.sqlite.output import SqliteOutput
from tests.runner.target import fixed_port
from tests.runner.world import ANN, World

KILLS = 4
HANGING = 240.0
"""Seconds after which a test is cancelled."""

LONGEST = 0.4
"""Seconds that a server lives at most after it has begun to drive."""

SERVICES = {
    "db": ServiceType.DATABASE,
    "cache": ServiceType.DATABASE,
    "migrate": ServiceType.JOB,
    "api": ServiceType.APPLICATION,
    "web": ServiceType.APPLICATION,
    "worker": ServiceType.APPLICATION,
}
FLAKY = "api"
"""The service whose build fails at its first attempt."""

WHO = "$STAGELINE_DEPLOYMENT_NUMBER.$STAGELINE_SERVICE"
BUILD = f"echo {WHO}.build.$STAGELINE_ATTEMPT >> marks; echo building {WHO}; sleep 0.1"
RUN = f"echo {WHO}.deploy.$STAGELINE_ATTEMPT >> marks; echo running {WHO}; sleep 0.1"


def on_fixed_port(folder: Path) -> tuple[ServiceSpec, ServiceSpec]:
    """Two versions of a service on the same port: one that listens there, and one that never does."""
    port, marked = fixed_port(), f"echo {WHO} >> marks; sleep 0.1; exec "
    good = ServiceSpec(directory=str(folder), run=f"{marked} {sys.executable} -m http.server {port}", ports=(port,))
    return good, replace(good, run=f"{marked} sleep 600", health=Health(check=TcpCheck(), start_period=0.5))


def listening(folder: Path) -> list[str]:
    """The deployments whose instance of that service runs."""
    return [
        each.environ()["STAGELINE_DEPLOYMENT_NUMBER"] for each in stamped(folder) if "http.server" in each.cmdline()
    ]


@asynccontextmanager
async def world(data: Path) -> AsyncIterator[World]:
    log, outputs = await SqliteLog.open(data / "log.db"), await SqliteOutput.open(data / "output.db")
    try:
        yield World(log, outputs)
    finally:
        await outputs.close()
        await log.close()


async def serve(data: Path, drives: Callable[[], None]) -> None:
    """Call *drives* when it has begun to drive, and end when every deployment is over."""
    async with running(Settings(data=data)) as parts:
        drives()
        here = World(parts.application.log, parts.application.output)
        for recorded in await here.log.read_all(0, 100_000):
            if isinstance(recorded.event, DeploymentRequested):
                await here.over(recorded.event.deployment)


UNKNOWN = 255
"""Exit code of a killed process whose end the fork server of multiprocessing could not tell."""

_processes = multiprocessing.get_context("forkserver")


class Server:
    """A server over *data*: a process of its own that executes *serve* with further *arguments*.

    It is forked from a process that has imported all of it, and so starts in a tenth of the time.
    """

    def __init__(self, data: Path, *arguments: Any, serve: Callable[..., Coroutine[Any, Any, None]] = serve) -> None:
        self._driving, drives = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_run, args=(serve, data, drives, *arguments))
        self._drives = drives
        self._ended: Awaitable[None]

    async def __aenter__(self) -> "Server":
        _processes.set_forkserver_preload([__name__])
        await asyncio.to_thread(self._process.start)
        self._drives.close()  # so that the pipe ends when the server does
        self._ended = asyncio.ensure_future(asyncio.to_thread(self._process.join))
        try:
            await asyncio.to_thread(self._driving.recv)
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._ended
        self._driving.close()

    async def wait(self) -> int | None:
        """Wait until it has ended, and return its exit code."""
        await asyncio.shield(self._ended)
        return self._process.exitcode


def _run(serve: Callable[..., Coroutine[Any, Any, None]], data: Path, drives: Connection, *arguments: Any) -> None:
    asyncio.run(serve(data, partial(drives.send, None), *arguments))


def spec(name: str, directory: Path) -> ServiceSpec:
    build = f"{BUILD}; test $STAGELINE_ATTEMPT = 2" if name == FLAKY else BUILD
    job = ServiceSpec(directory=str(directory), build=(build,), run=RUN, retries=1)
    if SERVICES[name] is ServiceType.JOB:
        return job
    check = CommandCheck(command=f"test -f {WHO}.up")
    return replace(job, run=f"{RUN}; touch {WHO}.up; exec sleep 600", health=Health(check=check))


async def two_deployments(data: Path) -> list[DeploymentId]:
    """Two deployments that are requested and not begun, of an environment whose services work in *data*."""
    async with world(data) as here:
        environment = await here.environment()
        for name, type_ in SERVICES.items():
            add = AddService(service=ServiceId(ids.new()), name=name, type=type_, spec=spec(name, data))
            await here.handler.handle(pipelines.decider, environment, add, ANN)
        return [await here.request(environment, actor) for actor in ("ann", "bob")]


def marks_of(deployment: int) -> list[str]:
    """The lines that the steps of that deployment leave behind, sorted."""
    builds = [f"{deployment}.{name}.build.{attempt}" for name in SERVICES for attempt in (1, 2)]
    deploys = [f"{deployment}.{name}.deploy.1" for name in SERVICES]
    return sorted([mark for mark in builds if mark.endswith(".1") or FLAKY in mark] + deploys)


def stamped(data: Path) -> list[psutil.Process]:
    """Every process that a step over *data* has started, and that still lives."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(STAMP, "").startswith(str(data)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def count(folder: Path, files: str) -> int:
    return len(list(folder.glob(files)))


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    while left := stamped(tmp_path):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)


async def kill_until_over(data: Path, chance: random.Random) -> int:
    """Lets servers over *data* live for a moment each, and the last one to the end; says how many were killed."""
    for kills in range(KILLS):
        async with Server(data) as server:
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, LONGEST)):
                    await server.wait()
                return kills
    async with Server(data) as server:
        assert await server.wait() == 0
    return KILLS


async def marks_in_log(here: World, id_: DeploymentId) -> tuple[list[str], list[str]]:
    """The steps that the log says were started, and those that it says have ended, written as their marks are."""
    started: list[str] = []
    ended: list[str] = []
    deployment = await here.deployment(id_)
    for event in await here.log.events(id_):
        match event:
            case BuildStarted() | BuildSucceeded() | StepRetried(phase=Phase.BUILD):
                phase = "build"
            case ServiceDeployStarted() | ServiceDeployed():
                phase = "deploy"
            case _:
                continue
        run = deployment.run_of(event.service)
        assert run is not None
        marks = started if isinstance(event, BuildStarted | ServiceDeployStarted) else ended
        marks.append(f"{deployment.number}.{run.service.name}.{phase}.{event.attempt}")
    return sorted(started), sorted(ended)


async def lines_in_store(here: World, id_: DeploymentId) -> list[str]:
    return sorted(line.text for line in await here.outputs.read(id_) if line.kind is LineKind.LINE)


def lines_of(deployment: int) -> list[str]:
    doing = {"build": "building", "deploy": "running"}
    marks = [mark.split(".") for mark in marks_of(deployment)]
    return sorted(f"{doing[phase]} {deployment}.{name}" for _, name, phase, _ in marks)


@pytest.mark.parametrize("run", [0, *(pytest.param(run, marks=pytest.mark.long) for run in (1, 2))])
async def test_deployments_go_on_where_a_killed_server_left_them(data: Path, run: int) -> None:
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    deployments = await two_deployments(data)
    async with asyncio.timeout(HANGING):
        kills = await kill_until_over(data, random.Random(seed))
    print(f"{kills} servers were killed")

    marks = (data / "marks").read_text().split()
    assert marks_of(1) == sorted(marks[: len(marks) // 2])
    assert marks_of(2) == sorted(marks[len(marks) // 2 :])
    stages = [[SERVICES[mark.split(".")[1]] for mark in marks if mark.startswith(f"{number}.")] for number in (1, 2)]
    assert [sorted(stage, key=list(SERVICES.values()).index) for stage in stages] == stages

    alive = Counter(
        (process.environ()["STAGELINE_SERVICE"], process.environ()["STAGELINE_DEPLOYMENT_NUMBER"])
        for process in stamped(data)
        if process.cmdline() == ["sleep", "600"]
    )
    assert Counter((name, "2") for name, type_ in SERVICES.items() if type_ is not ServiceType.JOB) == alive

    async with world(data) as here:
        assert [(await here.deployment(id_)).status for id_ in deployments] == [Status.SUCCEEDED] * 2
        for number, id_ in enumerate(deployments, 1):
            assert (marks_of(number), marks_of(number)) == await marks_in_log(here, id_)
            assert lines_of(number) == await lines_in_store(here, id_)


@pytest.mark.parametrize("run", [0, *(pytest.param(run, marks=pytest.mark.long) for run in (1, 2))])
@pytest.mark.parametrize("is_good", [True, False])
async def test_a_service_on_a_fixed_port_runs_after_any_crash(data: Path, run: int, is_good: bool) -> None:
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 2**32)
    print(f"SEED={seed}")
    first, broken = on_fixed_port(data)
    (port,) = first.ports
    async with world(data) as here:
        environment = await here.environment(["api"], spec=first)
        await here.request(environment)
    async with asyncio.timeout(HANGING):
        async with Server(data) as server:
            assert await server.wait() == 0
        async with world(data) as here:
            edit = EditService(service="api", spec=first if is_good else broken)
            await here.handler.handle(pipelines.decider, environment, edit, ANN)
            id_ = await here.request(environment)
        print(f"{await kill_until_over(data, random.Random(seed))} servers were killed")
    assert (data / "marks").read_text().split() == (["1.api", "2.api"] if is_good else ["1.api", "2.api", "1.api"])
    assert listening(data) == (["2"] if is_good else ["1"])
    async with world(data) as here:
        api = await here.service(environment, "api")
        old = [each for each in await here.log.events(id_) if isinstance(each, OldInstanceRestarted)]
        assert (await here.deployment(id_)).status is (Status.SUCCEEDED if is_good else Status.FAILED)
    assert old == ([] if is_good else [OldInstanceRestarted(service=api, attempt=1, number=1, ports=(port,))])


async def test_a_forced_cancellation_after_a_crash_leaves_nothing_running(data: Path) -> None:
    async with world(data) as here:
        spec = ServiceSpec(directory=str(data), build=("touch begun.$STAGELINE_SERVICE; sleep 600",), run="true")
        id_ = await here.request(await here.environment(["api", "web"], spec=spec))
    async with asyncio.timeout(HANGING):
        async with Server(data):
            while count(data, "begun.*") < 2:
                await asyncio.sleep(0.01)  # the log is the server's alone, so there is no position to wait for
        assert len(stamped(data)) > 0
        async with world(data) as here:
            await here.cancel(id_, forced=True)
        async with Server(data) as server:
            assert await server.wait() == 0
    assert stamped(data) == []
    async with world(data) as here:
        assert (await here.deployment(id_)).status == Status.CANCELLED
        names = await here.recorded(id_)
    assert names[-3:] == ["ServiceCancelled", "ServiceCancelled", "DeploymentCancelled"]
