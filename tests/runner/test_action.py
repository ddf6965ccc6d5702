"""Restarts, starts, stops and deletes, carried out by a runner."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from application import request as requests
from application.handler import Transaction
from domain import deployment as deployments
from domain.container import Container, Volume
from domain.deployment.effect import Effect
from domain.deployment.queue import DeploymentId
from domain.deployment.selection import WHOLE, Selection
from domain.deployment.step import Status
from domain.pipeline.environment import Target
from domain.project import EnvironmentId
from domain.spec import ServiceSpec
from store.ids import new
from store.memory import MemoryLog
from store.sqlite.output import MemoryOutput
from tests.runner.test_runner import interrupted
from tests.runner.world import ANN, Gate, World, failing


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(MemoryLog(), MemoryOutput()).standing() as world:
        yield world


async def act(
    world: World,
    environment: EnvironmentId,
    effect: Effect,
    selection: Selection = WHOLE,
    with_volumes: bool = False,
) -> DeploymentId:
    id_ = DeploymentId(new())

    async def work(transaction: Transaction) -> DeploymentId:
        return await requests.act(
            transaction, environment, id_, "ann", effect, selection=selection, with_volumes=with_volumes
        )

    return DeploymentId((await world.handler.transact(work, deployments.decider, ANN)).subject.stream)


async def deployed(world: World, *stages: list[str]) -> EnvironmentId:
    """An environment that was deployed; the marks begin anew."""
    environment = await world.environment(*stages)
    await world.runner().drive(await world.request(environment))
    world.target.marks.clear()
    return environment


async def test_what_runs_is_stopped_from_the_last_stage_on_and_started_from_the_first_without_a_build(
    world: World,
) -> None:
    environment = await deployed(world, ["db"], ["api"])
    stop = await act(world, environment, Effect.STOP)
    assert (await world.runner().drive(stop)).status is Status.SUCCEEDED
    assert (world.target.marks, world.target.up) == (
        ["begin stop api 1", "end stop api 1", "begin stop db 1", "end stop db 1"],
        set(),
    )
    world.target.marks.clear()
    assert (await world.runner().drive(await act(world, environment, Effect.START))).status is Status.SUCCEEDED
    assert world.target.marks == ["begin deploy db 1", "end deploy db 1", "begin deploy api 1", "end deploy api 1"]
    world.target.marks.clear()
    await world.runner().drive(await act(world, environment, Effect.START))
    assert world.target.marks[0] == "check deploy db 1"  # it runs, but is not healthy
    assert world.target.marks[1:3] == ["begin deploy db 1", "end deploy db 1"]


async def test_deleted_services_are_deleted_on_their_target(world: World) -> None:
    environment = await deployed(world, ["db"], ["api"])
    delete = await act(world, environment, Effect.DELETE, Selection(services=("api",)))
    assert (await world.runner().drive(delete)).status is Status.SUCCEEDED
    assert world.target.stopped == [await world.service(environment, "api")]
    assert world.target.up == {await world.service(environment, "db")}


async def test_volumes_are_deleted_after_their_services(world: World) -> None:
    mounted = Container(volumes=(Volume(name="data", path="/data"),))
    spec = ServiceSpec(image="postgres:17", container=mounted)
    environment = await world.environment(["db"], spec=spec, target=Target.DOCKER)
    runner = world.runner(Target.DOCKER)
    for with_volumes, expected in ((False, []), (True, ["data"])):
        await runner.drive(await world.request(environment))
        delete = await act(world, environment, Effect.DELETE, with_volumes=with_volumes)
        assert (await runner.drive(delete)).status is Status.SUCCEEDED
        assert world.target.volumes == expected


async def test_a_forced_cancellation_lets_a_stop_come_to_its_end(world: World) -> None:
    environment, gate = await deployed(world, ["db"], ["api"]), Gate()
    world.target.on("stop api", gate)
    stop = await act(world, environment, Effect.STOP)
    driving = asyncio.create_task(world.runner().drive(stop))
    await gate.reached.wait()
    await world.cancel(stop, forced=True)
    gate.opened.set()
    over = await driving
    assert (over.status, world.target.marks) == (Status.CANCELLED, ["begin stop api 1", "end stop api 1"])
    assert "ServiceStopped" in await world.recorded(stop)


async def test_the_next_runner_finishes_a_stop_that_the_last_one_began(world: World) -> None:
    environment, gate = await deployed(world, ["db"], ["api"]), Gate()
    world.target.on("stop api", gate)
    stop = await act(world, environment, Effect.STOP)
    await interrupted(world, stop, gate)
    gate.opened.set()
    assert (await world.runner().drive(stop)).status is Status.SUCCEEDED
    assert world.target.marks == ["begin stop api 1", "end stop api 1", "begin stop db 1", "end stop db 1"]


async def test_a_service_that_can_not_be_stopped_fails_the_deployment_and_is_not_aborted(world: World) -> None:
    environment = await deployed(world, ["db"], ["api"])
    world.target.on("stop api", failing("it still runs"))
    over = await world.runner().drive(await act(world, environment, Effect.STOP))
    assert over.failure is not None
    assert (over.status, over.failure.reason) == (Status.FAILED, "it still runs")
    assert world.target.marks == ["begin stop api 1"]


async def test_an_instance_is_started_as_the_deployment_before_it_brought_it(world: World) -> None:
    """The restart is requested while that deployment runs, so its plan can not know the specification."""
    environment, gate = await deployed(world, ["api"]), Gate()
    world.target.on("deploy api", gate)
    second = await world.request(environment)
    driving = asyncio.create_task(world.runner().drive(second))
    await gate.reached.wait()
    third = await act(world, environment, Effect.RESTART)
    gate.opened.set()
    await driving
    over = await world.runner().drive(third)
    run = over.stages[-1].services[0]
    assert (over.status, run.last is not None, run.build.status) == (Status.SUCCEEDED, True, Status.SKIPPED)
    assert over.inherited[run.service.id.int].deployment == second
