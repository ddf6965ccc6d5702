"""Deployments that wait for the end of a freeze."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from domain import pipeline as pipelines
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentId
from domain.pipeline.environment import EditEnvironment, EnvironmentPolicy
from domain.pipeline.freeze import Freeze, OnFreeze
from domain.project import EnvironmentId
from runner.freeze import FreezeEnds
from store.memory import MemoryLog
from store.output import OutputStore
from store.sqlite.output import MemoryOutput
from tests.runner.world import ANN, World

FREEZE = Freeze(cron="0 12 * * *", duration=3600.0, action=OnFreeze.HOLD)


class Clock(datetime):
    """A clock that a test sets."""

    present = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return cls.present


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("application.freeze.datetime", Clock)
    monkeypatch.setattr("runner.freeze.datetime", Clock)
    monkeypatch.setattr("runner.freeze.POLL", 0.005)
    monkeypatch.setattr(Clock, "present", datetime(2026, 1, 1, 12, 30, tzinfo=UTC))
    outputs: OutputStore = MemoryOutput()
    async with World(MemoryLog(), outputs).standing() as standing:
        yield standing


async def frozen(world: World) -> EnvironmentId:
    environment = await world.environment(["api"])
    await world.policy(environment, EnvironmentPolicy(freezes=(FREEZE,)))
    return environment


async def recorded(world: World, environment: EnvironmentId) -> list[str]:
    return await world.recorded(queues.stream(environment))


async def until_admitted(world: World, environment: EnvironmentId, releases: FreezeEnds) -> None:
    """Run *releases* until a deployment is admitted."""
    running = asyncio.create_task(releases.run())
    try:
        async for _ in world.log.follow(0, queues.stream(environment)):
            if "DeploymentAdmitted" in await recorded(world, environment):
                return
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_held_deployment_is_released_at_the_end_of_the_freeze_also_after_a_restart(world: World) -> None:
    environment = await frozen(world)
    id_ = await world.request(environment)
    assert await recorded(world, environment) == ["DeploymentRequested", "DeploymentFrozen"]
    assert await world.recorded(id_) == ["DeploymentPlanned", "WaitStarted"]

    async def open_deployments(position: int) -> Collection[DeploymentId]:
        return [id_]

    after_a_restart = FreezeEnds(world.handler, open_deployments)
    Clock.present += timedelta(minutes=30)
    await until_admitted(world, environment, after_a_restart)
    assert await recorded(world, environment) == [
        "DeploymentRequested",
        "DeploymentFrozen",
        "DeploymentThawed",
        "DeploymentAdmitted",
    ]
    assert (await world.runner().drive(id_)).status.is_final


async def test_a_deployment_is_held_longer_if_the_environment_is_frozen_again(world: World) -> None:
    environment = await frozen(world)

    async def open_deployments(position: int) -> Collection[DeploymentId]:
        return []

    releases = FreezeEnds(world.handler, open_deployments)
    await world.request(environment)
    longer = EnvironmentPolicy(freezes=(FREEZE, Freeze(cron="0 13 * * *", duration=3600.0)))
    await world.handler.handle(pipelines.decider, environment, EditEnvironment(policy=longer), ANN)
    Clock.present += timedelta(minutes=30)
    running = asyncio.create_task(releases.run())
    async for _ in world.log.follow(0, queues.stream(environment)):
        if (await recorded(world, environment)).count("DeploymentFrozen") == 2:
            break
    Clock.present += timedelta(hours=1)
    running.cancel()
    await until_admitted(world, environment, releases)


async def test_a_deployment_whose_turn_comes_during_a_freeze_is_held(world: World) -> None:
    Clock.present -= timedelta(hours=1)
    environment = await frozen(world)
    first, second = await world.request(environment), await world.request(environment)
    Clock.present += timedelta(hours=1)
    assert (await world.runner().drive(first)).status.is_final
    assert (await recorded(world, environment))[-2:] == ["DeploymentClosed", "DeploymentFrozen"]
    assert (await world.recorded(second))[-1] == "WaitStarted"
