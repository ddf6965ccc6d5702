"""
Deployments that wait, while servers are killed at each point of the wait.

The server is a process of its own. It kills itself at an append that
changes more than its worker: before it is stored, or after. It also does so when it has lived for a moment, so that
each wait is interrupted several times. People are in it, too: they hold and release, and approve.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from application import deployment as writing
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment import queue as queues
from domain.deployment.hold import HoldCommand, HoldDeployment, ReleaseDeployment
from domain.deployment.queue import DeploymentId, DeploymentRequested
from domain.deployment.state import DeploymentTakenUp
from domain.deployment.step import Status
from domain.pipeline.environment import EnvironmentPolicy
from domain.pipeline.freeze import Freeze, OnFreeze
from domain.pipeline.gate import Approval, StageCheck
from domain.pipeline.stage import EditStage, StagePolicy
from domain.project import EnvironmentId
from domain.role import Role
from domain.spec import Backoff, ServiceSpec
from server.components import running
from server.settings import Settings
from store.log import Author, IdempotencyKey, Receipt, StreamChange
from store.sqlite.log import SqliteLog
from tests.runner import test_crash, test_gate
from tests.runner.test_crash import Server, stamped
from tests.runner.world import ANN, World

pytestmark = pytest.mark.long

GATED = "stage 1"
HANGING = 240.0
"""Seconds after which a story is not going to end."""

PAUSE = 1.5
"""Seconds that each wait takes."""

LIFE, LONGER = 0.3, 0.1
"""Seconds that the first server lives after its start, and by which each further one lives longer."""

STORIES = ["hold", "freeze", "approval", "time", "check", "backoff"]
MOMENTS = ["never", "after", "before"]
FLAKY = "test $STAGELINE_ATTEMPT = 3"

data = test_crash.data


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def be_mortal(moment: str) -> None:
    """Let this process die *after* its first append that is no take-up, or *before* its second one."""
    append, progress = SqliteLog.append, 0

    async def mortal(
        self: SqliteLog, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None
    ) -> Receipt:
        nonlocal progress
        is_progress = any(not isinstance(event, DeploymentTakenUp) for change in changes for event in change.events)
        if moment == "before" and is_progress and progress:
            die()
        receipt = await append(self, changes, by, key)
        progress += is_progress
        if moment == "after" and is_progress:
            die()
        return receipt

    SqliteLog.append = mortal  # type: ignore[method-assign]


async def people(here: World, id_: DeploymentId, folder: Path, *, holds: bool) -> None:
    """Hold the deployment while its first build runs, release it, and approve its stage: each once, and not at once."""

    async def do(command: HoldCommand) -> None:
        work = partial(writing.hold, deployment=id_, command=command)
        await here.handler.transact(work, deployments.decider, ANN)

    async def approve(actor: str) -> None:
        work = partial(
            writing.review,
            deployment=id_,
            stage=GATED,
            actor=actor,
            role=Role.ADMIN,
            at=datetime.now(UTC),
            approves=True,
        )
        await here.handler.transact(work, deployments.decider, ANN)

    while not (deployment := await here.deployment(id_)).status.is_final:
        at = {recorded.name.split(".")[1]: recorded.recorded_at for recorded in await here.log.read(id_)}
        now = datetime.now(UTC)
        past = {event for event, then in at.items() if now - then > timedelta(seconds=PAUSE)}
        if not holds or "DeploymentHeld" in at:
            (folder / "go").touch()
        elif "BuildStarted" in at:
            await do(HoldDeployment())
        if deployment.is_held and "BuildSucceeded" in past:
            await do(ReleaseDeployment())
        if deployment.gate is not None and "StageApprovalRequested" in past:
            approvers = deployment.next_stage.gate.approvals if deployment.next_stage else ()
            await approve("bob" if "ann" in approvers else "ann")
        await asyncio.sleep(0.02)


async def serve(data: Path, drives: Callable[[], None], story: str, moment: str, life: float) -> None:
    if moment != "never":
        be_mortal(moment)
    async with running(Settings(data=data)) as parts:
        drives()
        if moment != "never":
            asyncio.get_running_loop().call_later(life, die)
        here = World(parts.application.log, parts.application.output)
        for recorded in await here.log.read_all(0, 100_000):
            if isinstance(recorded.event, DeploymentRequested):
                await people(here, recorded.event.deployment, data, holds=story == "hold")


class Outcome(NamedTuple):
    """The end of a story: events of the deployment and of its queue, marks of steps, and the services that run."""

    status: Status
    events: list[str]
    queue: list[str]
    marks: list[str]
    services: list[str]


def spec(story: str, folder: Path) -> ServiceSpec:
    mark = "until [ -e go ]; do sleep 0.01; done; echo $STAGELINE_SERVICE.$STAGELINE_ATTEMPT >> marks"
    return ServiceSpec(
        directory=str(folder),
        build=(f"{mark}; {FLAKY}" if story == "backoff" else mark,),
        run="exec sleep 600",
        retries=2,
        backoff=Backoff(initial=PAUSE, factor=1.0),
    )


def freeze() -> Freeze:
    """A freeze that began in the minute before this one, and lasts for another pause."""
    now = datetime.now(UTC)
    begun = (now - timedelta(minutes=1)).replace(second=0, microsecond=0)
    duration = (now - begun).total_seconds() + 2 * PAUSE
    return Freeze(cron=f"{begun.minute} {begun.hour} * * *", duration=duration, action=OnFreeze.HOLD)


async def begin(story: str, folder: Path, url: str) -> tuple[EnvironmentId, DeploymentId]:
    """Request a deployment of two stages that waits as *story* says; *url* is that of its check."""
    policy = StagePolicy(
        approval=Approval(count=2) if story == "approval" else None,
        wait=PAUSE if story == "time" else None,
        check=StageCheck(url=url, interval=0.2) if story == "check" else None,
    )
    async with test_crash.world(folder) as here:
        environment = await here.environment(["db"], ["api"], spec=spec(story, folder))
        await here.handler.handle(pipelines.decider, environment, EditStage(stage=GATED, policy=policy), ANN)
        if story == "freeze":
            await here.policy(environment, EnvironmentPolicy(freezes=(freeze(),)))
        return environment, await here.request(environment)


async def told(story: str, folder: Path, moment: str) -> tuple[Outcome, int]:
    """Tell *story* to its end with servers that die at *moment*; return its outcome, and how many were killed."""
    first: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        first.append(time.monotonic())
        status = "200 OK" if time.monotonic() - first[0] > PAUSE else "503 Service Unavailable"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async with asyncio.timeout(HANGING), await asyncio.start_server(answer, "127.0.0.1", 0) as checked:
        environment, id_ = await begin(story, folder, f"http://127.0.0.1:{checked.sockets[0].getsockname()[1]}/")
        kills = 0
        while True:
            async with Server(folder, story, moment, LIFE + LONGER * kills, serve=serve) as server:
                code = await server.wait()
            if code == 0:
                break
            assert code in (-signal.SIGKILL, test_crash.UNKNOWN)
            kills += 1
    async with test_crash.world(folder) as here:
        events = [name for name in await here.recorded(id_) if name not in ("DeploymentTakenUp", "StageCheckAnswered")]
        queue = await here.recorded(queues.stream(environment))
        status = (await here.deployment(id_)).status
    services = sorted(
        each.environ()["STAGELINE_SERVICE"] for each in stamped(folder) if each.cmdline() == ["sleep", "600"]
    )
    return Outcome(status, events, queue, (folder / "marks").read_text().split(), services), kills


@pytest.mark.parametrize("story", STORIES)
async def test_a_deployment_that_waits_ends_as_without_the_kills_of_its_servers(data: Path, story: str) -> None:
    folders = [data / moment for moment in MOMENTS]
    for folder in folders:
        folder.mkdir()
    undisturbed, *killed = await asyncio.gather(*(told(story, folder, folder.name) for folder in folders))
    print(f"{[kills for _, kills in killed]} servers were killed")
    attempts = (1, 2, 3) if story == "backoff" else (1,)
    expected, kills = undisturbed
    assert expected.status is Status.SUCCEEDED
    assert expected.marks == [f"{name}.{attempt}" for name in ("db", "api") for attempt in attempts]
    assert expected.services == ["api", "db"]
    assert kills == 0
    for outcome, kills in killed:
        assert expected == outcome
        assert kills > 3


@pytest.mark.parametrize(
    ("story", "event"),
    [
        ("hold", "deployment.BuildSucceeded"),
        ("freeze", "queue.DeploymentFrozen"),
        ("approval", "deployment.StageApprovalRequested"),
        ("backoff", "deployment.StepRetried"),
    ],
)
async def test_a_deployment_that_waits_goes_on_after_a_restart_of_the_machine(
    data: Path, story: str, event: str
) -> None:
    """The server and all processes of steps and services end at the same moment."""
    environment, id_ = await begin(story, data, "")
    async with asyncio.timeout(HANGING), Server(data, story, "never", 0.0, serve=serve):
        while not test_gate.recorded(data, event):
            await asyncio.sleep(0.02)
    for each in stamped(data):
        each.kill()
    async with asyncio.timeout(HANGING), Server(data, story, "never", 0.0, serve=serve) as server:
        assert await server.wait() == 0
    async with test_crash.world(data) as here:
        over = await here.deployment(id_)
        queue = await here.recorded(queues.stream(environment))
    running = [each.environ()["STAGELINE_SERVICE"] for each in stamped(data) if each.cmdline() == ["sleep", "600"]]
    assert over.status is Status.SUCCEEDED
    assert queue[-1] == "DeploymentClosed"
    assert sorted(running) == ["api", "db"]
