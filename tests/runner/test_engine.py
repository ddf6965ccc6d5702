"""The engine in the server's own process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import pytest

from domain import pipeline as pipelines
from domain.deployment.queue import DeploymentId, DeploymentRequested
from domain.deployment.state import DeploymentFailed, DeploymentSucceeded
from domain.deployment.step import Status
from domain.pipeline.environment import DeleteEnvironment, EnvironmentCreated
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.engine import LocalEngine, OpenDeployments, clean_up
from runner.targets.contract import StepFailed, StepOutput, StepRequest, TargetUnavailable
from store.memory import MemoryLog
from store.sqlite.output import MemoryOutput
from tests.runner.world import ANN, Gate, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(MemoryLog(), MemoryOutput()).standing() as world:
        yield world


@asynccontextmanager
async def engine(world: World, open_: OpenDeployments | None = None) -> AsyncIterator[None]:
    """An engine like that of a server that has just been started."""

    async def open_deployments(position: int) -> Collection[DeploymentId]:
        events = [recorded.event for recorded in await world.log.read_all(0, 100_000)]
        requested = [event.deployment for event in events if isinstance(event, DeploymentRequested)]
        return [id_ for id_ in requested if not (await world.deployment(id_)).status.is_final]

    async def services(position: int) -> Mapping[EnvironmentId, Collection[ServiceId]]:
        created = [
            EnvironmentId(recorded.stream)
            for recorded in await world.log.read_all(0, 100_000)
            if isinstance(recorded.event, EnvironmentCreated)
        ]
        states = {each: (await world.handler.states.load(pipelines.decider, each)).state for each in created}
        return {each: [service.id for service in of.services] for each, of in states.items() if of.exists}

    started = LocalEngine(world.runner(), open_ or open_deployments, services)
    await started.start()
    try:
        yield
    finally:
        await started.stop()


async def test_a_deployment_requested_while_it_runs_is_carried_out(world: World) -> None:
    environment = await world.environment(["api"])
    async with engine(world):
        assert (await world.over(await world.request(environment))).status == Status.SUCCEEDED


async def test_a_deployment_requested_before_it_started_is_carried_out(world: World) -> None:
    id_ = await world.request(await world.environment(["api"]))
    async with engine(world):
        assert (await world.over(id_)).status == Status.SUCCEEDED


async def test_deployments_of_an_environment_are_carried_out_one_after_another(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    environment = await world.environment(["api"])
    ids = [await world.request(environment, actor) for actor in ("ann", "bob", "carol")]
    with caplog.at_level(logging.INFO, "runner"):
        async with engine(world):
            overs = [await world.over(id_) for id_ in ids]
    # nothing was tried before its turn
    assert caplog.messages == 3 * ["A deployment runs here", "A step runs here", "A step runs here"]
    assert [over.status for over in overs] == [Status.SUCCEEDED] * 3
    assert world.target.marks == 3 * ["begin build api 1", "end build api 1", "begin deploy api 1", "end deploy api 1"]


async def test_a_deployment_requested_while_it_starts_is_carried_out_once(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    environment = await world.environment(["api"])
    ids: list[DeploymentId] = []

    async def requested_just_now(position: int) -> Collection[DeploymentId]:
        ids.append(await world.request(environment))
        return ids

    async with engine(world, requested_just_now):
        await gate.reached.wait()
        lone = await world.environment(["lone"])
        await world.over(await world.request(lone))  # so the engine has seen everything
        gate.opened.set()
        await world.over(ids[0])
    assert world.target.watched["build api 1"] == 1


async def test_a_failed_deployment_lets_the_next_one_have_its_turn(world: World) -> None:
    async def fail_first(request: StepRequest, output: StepOutput) -> None:
        if request.number == 1:
            raise RuntimeError

    world.target.on("build api", fail_first)
    environment = await world.environment(["api"])
    ids = [await world.request(environment, actor) for actor in ("ann", "bob")]
    async with engine(world):
        assert [(await world.over(id_)).status for id_ in ids] == [Status.FAILED, Status.SUCCEEDED]
    names = [
        recorded.name
        for recorded in await world.log.read_all(0, 10_000)
        if isinstance(recorded.event, DeploymentFailed | DeploymentSucceeded)
    ]
    assert names == ["deployment.DeploymentFailed", "deployment.DeploymentSucceeded"]


async def test_environments_are_deployed_side_by_side(world: World) -> None:
    all_there = asyncio.Barrier(3)

    async def meet(request: StepRequest, output: StepOutput) -> None:
        await all_there.wait()

    world.target.on("deploy api", meet)
    ids = [await world.request(await world.environment(["api"])) for _ in range(3)]
    async with engine(world):
        assert [(await world.over(id_)).status for id_ in ids] == [Status.SUCCEEDED] * 3


async def test_the_next_engine_takes_up_what_was_running_when_the_last_one_stopped(world: World) -> None:
    gates = [Gate(), Gate()]
    world.target.on("build api", gates[0])
    world.target.on("deploy web", gates[1])
    id_ = await world.request(await world.environment(["api"], ["web"]))
    for gate in gates:
        async with engine(world):
            await gate.reached.wait()
        assert not (await world.deployment(id_)).status.is_final
        gate.opened.set()
    async with engine(world):
        assert (await world.over(id_)).status == Status.SUCCEEDED
    begun = [mark for mark in world.target.marks if mark.startswith("begin")]
    assert begun == ["begin build api 1", "begin deploy api 1", "begin build web 1", "begin deploy web 1"]


async def test_a_cancellation_while_no_engine_ran_is_carried_out_by_the_next_one(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with engine(world):
        await gate.reached.wait()
    await world.cancel(id_, forced=True)
    async with engine(world):
        assert (await world.over(id_)).status == Status.CANCELLED


async def test_a_removed_service_is_stopped(world: World) -> None:
    environment = await world.environment(["api", "web"])
    service = await world.service(environment, "api")
    async with engine(world):
        await world.over(await world.request(environment))
        await world.remove(environment, "api")
        await world.target.has_stopped(service)
    assert {await world.service(environment, "web")} == world.target.up


async def test_a_service_removed_while_it_is_being_deployed_is_stopped_when_the_deployment_is_over(
    world: World,
) -> None:
    gate = Gate()
    world.target.on("deploy api", gate)
    environment = await world.environment(["api"], ["web"])
    service = await world.service(environment, "api")
    async with engine(world):
        id_ = await world.request(environment)
        await gate.reached.wait()
        await world.remove(environment, "api")
        other = await world.environment(["lone"])
        lone = await world.service(other, "lone")
        await world.remove(other, "lone")
        await world.target.has_stopped(lone)  # so the engine has seen both removals
        assert service not in world.target.stopped
        gate.opened.set()
        await world.over(id_)
        await world.target.has_stopped(service)
    assert {await world.service(environment, "web")} == world.target.up


async def test_a_removed_service_is_stopped_when_the_last_deployment_that_planned_it_is_cancelled_in_the_queue(
    world: World,
) -> None:
    gate = Gate()
    environment = await world.environment(["api"], ["web"])
    service = await world.service(environment, "api")
    async with engine(world):
        await world.over(await world.request(environment))
        world.target.on("build web", gate)
        running = await world.request(environment, "ann")
        await gate.reached.wait()
        waiting = await world.request(environment, "bob")
        await world.remove(environment, "api")
        gate.opened.set()
        await world.over(running)
        assert service not in world.target.stopped
        await world.cancel(waiting)
        await world.target.has_stopped(service)


async def test_the_services_of_a_deleted_environment_are_stopped(world: World) -> None:
    environment = await world.environment(["api"], ["web"])
    services = [await world.service(environment, name) for name in ("api", "web")]
    async with engine(world):
        await world.over(await world.request(environment))
    async with engine(world):
        await world.over(await world.request(await world.environment(["lone"])))  # so the engine has swept already
        await world.handler.handle(pipelines.decider, environment, DeleteEnvironment(), ANN)
        for service in services:
            await world.target.has_stopped(service)
    assert not set(services) & world.target.up


async def test_what_was_removed_while_no_engine_ran_is_stopped_by_the_next_one(world: World) -> None:
    environment = await world.environment(["api", "web"])
    service = await world.service(environment, "api")
    async with engine(world):
        await world.over(await world.request(environment))
    await world.remove(environment, "api")
    async with engine(world):
        await world.target.has_stopped(service)
    assert {await world.service(environment, "web")} == world.target.up


async def test_a_start_stops_nothing_that_an_open_deployment_is_deploying(world: World) -> None:
    gate = Gate()
    world.target.on("build web", gate)
    environment = await world.environment(["api"], ["web"])
    service = await world.service(environment, "api")
    async with engine(world):
        id_ = await world.request(environment)
        await gate.reached.wait()
    await world.remove(environment, "api")
    async with engine(world):
        other = await world.environment(["lone"])
        await world.over(await world.request(other))  # admitted after the sweep
        assert world.target.stopped == []
        gate.opened.set()
        await world.over(id_)
        await world.target.has_stopped(service)


@pytest.mark.parametrize("error", [TargetUnavailable("the engine can't be reached"), StepFailed("it still runs")])
async def test_a_service_that_cannot_be_stopped_now_is_logged_in_one_line(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def stop() -> None:
        raise error

    await clean_up(stop())
    (record,) = caplog.records
    message = f"Stopping unneeded services failed; the next start stops them: {error}"
    assert (record.getMessage(), record.exc_info) == (message, None)
