"""Stages that wait before they start, also while servers and workers are killed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL

import pytest

from application import deployment as writing
from application.handler import Transaction
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment.gate import StageApprovalRequested
from domain.deployment.queue import DeploymentId
from domain.deployment.state import AdvanceDeployment
from domain.deployment.step import Status
from domain.pipeline.gate import Approval
from domain.pipeline.stage import EditStage, StagePolicy
from domain.role import Role
from domain.spec import ServiceSpec
from store.memory import MemoryLog
from store.sqlite.output import MemoryOutput
from tests.runner import test_crash
from tests.runner.test_crash import Server
from tests.runner.test_worker_crash import opened, worker
from tests.runner.world import ANN, UNBUILT, World

GATED = "stage 1"
HANGING = 60.0

data = test_crash.data


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(MemoryLog(), MemoryOutput()).standing() as world:
        yield world


async def request(world: World, policy: StagePolicy, spec: ServiceSpec = UNBUILT) -> DeploymentId:
    """A deployment of two stages, of which the second has *policy*."""
    environment = await world.environment(["db"], ["api"], spec=spec)
    await world.handler.handle(pipelines.decider, environment, EditStage(stage=GATED, policy=policy), ANN)
    return await world.request(environment)


async def review(world: World, id_: DeploymentId, *, approves: bool = True) -> None:
    async def work(transaction: Transaction) -> DeploymentId:
        return await writing.review(transaction, id_, GATED, "ann", Role.DEPLOYER, datetime.now(UTC), approves=approves)

    await world.handler.transact(work, deployments.decider, ANN)


async def stop(driving: asyncio.Task[object]) -> None:
    driving.cancel()
    with suppress(asyncio.CancelledError):
        await driving


async def test_a_stage_starts_when_it_is_approved(world: World) -> None:
    id_ = await request(world, StagePolicy(approval=Approval()))
    driving = asyncio.create_task(world.runner().drive(id_))
    await world.reaches(id_, "StageApprovalRequested")
    assert world.target.marks == ["begin deploy db 1", "end deploy db 1"]
    await review(world, id_)
    assert (await driving).status is Status.SUCCEEDED


async def test_a_rejection_ends_the_deployment_that_waits(world: World) -> None:
    id_ = await request(world, StagePolicy(approval=Approval()))
    driving = asyncio.create_task(world.runner().drive(id_))
    await world.reaches(id_, "StageApprovalRequested")
    await review(world, id_, approves=False)
    assert (await driving).status is Status.FAILED
    assert world.target.marks == ["begin deploy db 1", "end deploy db 1"]


async def test_another_runner_keeps_the_deadline(world: World) -> None:
    id_ = await request(world, StagePolicy(approval=Approval(timeout=0.5)))
    driving = asyncio.create_task(world.runner().drive(id_))
    await world.reaches(id_, "StageApprovalRequested")
    await stop(driving)
    over = await world.runner().drive(id_)
    requested = [each for each in await world.log.read_all(0, 100) if isinstance(each.event, StageApprovalRequested)]
    ended = [each for each in await world.log.read_all(0, 100) if each.name == "deployment.StageApprovalTimedOut"]
    assert (over.status, len(requested), len(ended)) == (Status.FAILED, 1, 1)
    assert timedelta(seconds=0.4) < ended[0].recorded_at - requested[0].recorded_at < timedelta(seconds=20)


async def test_a_clock_that_was_set_back_does_not_lengthen_a_wait(world: World) -> None:
    environment = await world.environment(["api"], spec=UNBUILT)
    policy = StagePolicy(approval=Approval(timeout=0.2))
    await world.handler.handle(pipelines.decider, environment, EditStage(stage="stage 0", policy=policy), ANN)
    id_ = await world.request(environment)
    await world.take_up(id_, datetime.now(UTC))
    later = AdvanceDeployment(worker="worker-0", at=datetime.now(UTC) + timedelta(hours=2))
    await world.handler.transact(lambda transaction: writing.report(transaction, id_, later), deployments.decider, ANN)
    assert await world.recorded(id_) == [
        "DeploymentPlanned",
        "DeploymentStarted",
        "DeploymentTakenUp",
        *["StageSkipped"] * 4,
        "StageApprovalRequested",
    ]
    assert (await world.runner().drive(id_)).status is Status.FAILED


def recorded(data: Path, event: str) -> int:
    """How many such events the server's log has."""
    with closing(sqlite3.connect(data / "log.db")) as connection:
        (found,) = connection.execute("SELECT count(*) FROM stored_events WHERE topic = ?", (event,))
    count: int = found[0]
    return count


async def until(data: Path, event: str) -> None:
    async with asyncio.timeout(HANGING):
        while not recorded(data, f"deployment.{event}"):
            await asyncio.sleep(0.02)


def quick(data: Path) -> ServiceSpec:
    return ServiceSpec(directory=str(data), run="echo $STAGELINE_SERVICE >> marks; exec sleep 600")


@pytest.mark.long
async def test_a_server_that_is_killed_while_a_stage_waits_goes_on_after_its_approval(data: Path) -> None:
    async with test_crash.world(data) as here:
        id_ = await request(here, StagePolicy(approval=Approval()), quick(data))
    async with Server(data):
        await until(data, "StageApprovalRequested")
    async with Server(data):
        await until(data, "DeploymentTakenUp")
    async with test_crash.world(data) as here:
        await review(here, id_)
    async with Server(data) as server, asyncio.timeout(HANGING):
        assert await server.wait() == 0
    async with test_crash.world(data) as here:
        assert (await here.deployment(id_)).status is Status.SUCCEEDED
        assert (await here.recorded(id_)).count("StageApprovalRequested") == 1
    assert (data / "marks").read_text().split() == ["db", "api"]


@pytest.mark.long
async def test_a_deadline_that_passes_while_no_server_runs_is_kept(data: Path) -> None:
    async with test_crash.world(data) as here:
        id_ = await request(here, StagePolicy(approval=Approval(timeout=2)), quick(data))
    async with Server(data):
        await until(data, "StageApprovalRequested")
    async with Server(data) as server, asyncio.timeout(HANGING):
        assert await server.wait() == 0
    async with test_crash.world(data) as here:
        over = await here.deployment(id_)
        names = await here.recorded(id_)
    assert over.failure is not None
    assert over.failure.reason == "not approved within 2 s"
    assert [names.count(each) for each in ("StageApprovalRequested", "StageApprovalTimedOut")] == [1, 1]
    assert (data / "marks").read_text().split() == ["db"]


@pytest.mark.long
async def test_a_time_passes_also_while_no_server_runs(data: Path) -> None:
    async with test_crash.world(data) as here:
        id_ = await request(here, StagePolicy(wait=2), quick(data))
    async with Server(data):
        await until(data, "StageWaitStarted")
    async with Server(data) as server, asyncio.timeout(HANGING):
        assert await server.wait() == 0
    async with test_crash.world(data) as here:
        assert (await here.deployment(id_)).status is Status.SUCCEEDED
        names = await here.recorded(id_)
    assert [names.count(each) for each in ("StageWaitStarted", "StageWaitEnded")] == [1, 1]
    assert (data / "marks").read_text().split() == ["db", "api"]


@pytest.mark.long
@pytest.mark.parametrize("is_approved", [True, False])
async def test_another_worker_goes_on_with_a_stage_that_waits(database: str, data: Path, is_approved: bool) -> None:
    async with opened(database) as world:
        timeout = None if is_approved else 8
        id_ = await request(world, StagePolicy(approval=Approval(timeout=timeout)), quick(data))
        async with asyncio.timeout(2 * HANGING), worker(database, data / "machine") as first:
            await world.reaches(id_, "StageApprovalRequested")
            await first.end(SIGKILL)
            async with worker(database, data / "machine"):
                await world.reaches(id_, "DeploymentTakenUp", 2)
                if is_approved:
                    await review(world, id_)
                over = await world.over(id_)
        assert over.status is (Status.SUCCEEDED if is_approved else Status.FAILED)
        assert (await world.recorded(id_)).count("StageApprovalRequested") == 1
        assert (data / "marks").read_text().split() == (["db", "api"] if is_approved else ["db"])
