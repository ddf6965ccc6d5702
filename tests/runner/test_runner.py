"""Whole deployments, carried out on a target whose steps are asyncio functions."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from application import deployment as writing
from application.handler import Transaction
from domain import deployment as deployments
from domain.deployment import converge
from domain.deployment.queue import DeploymentId
from domain.deployment.step import (
    BuildStarted,
    BuildSucceeded,
    FailStep,
    OldInstance,
    OldInstanceLost,
    OldInstanceRestarted,
    Phase,
    StartStep,
    Status,
    StepRetried,
)
from domain.errors import DeploymentNotAdmitted, DeploymentOver, Fenced
from domain.pipeline.environment import EnvironmentPolicy, Target
from domain.spec import Backoff
from runner.targets.contract import StepOutput, StepRequest
from store.log import Author, Event, IdempotencyKey, Receipt, RecordedEvent, StreamChange
from store.memory import MemoryLog
from store.output import LineKind, OutputSelection
from store.sqlite.log import SqliteLog
from store.sqlite.output import MemoryOutput, SqliteOutput
from tests.runner.world import ANN, BUILT, HANGING, UNBUILT, Faltering, Gate, World, failing


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        world = World(MemoryLog(), MemoryOutput())
    else:
        world = World(await SqliteLog.open(tmp_path / "log.db"), await SqliteOutput.open(tmp_path / "output.db"))
    async with world.standing():
        yield world


async def test_the_stages_run_one_after_another(world: World) -> None:
    environment = await world.environment(["db"], ["api"], ["web"])
    over = await world.runner().drive(await world.request(environment))
    assert over.status == Status.SUCCEEDED
    assert [
        f"{mark} {phase} {name} 1"
        for name in ("db", "api", "web")
        for phase in ("build", "deploy")
        for mark in ("begin", "end")
    ] == world.target.marks


async def test_the_services_of_a_stage_run_at_once(world: World) -> None:
    all_there = asyncio.Barrier(3)

    async def meet(request: StepRequest, output: StepOutput) -> None:
        await all_there.wait()

    names = ["api", "web", "worker"]
    for name in names:
        world.target.on(f"build {name}", meet)
        world.target.on(f"deploy {name}", meet)
    over = await world.runner().drive(await world.request(await world.environment(names)))
    assert over.status == Status.SUCCEEDED


async def test_a_failed_step_and_its_deployment_leave_a_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.target.on("build broken", failing("no compiler"))
    id_ = await world.request(await world.environment(["broken"]))
    await world.runner().drive(id_)
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in lines] == ["A step failed: no compiler", "A deployment failed"]
    assert all(isinstance(record.args, dict) and record.args["deployment"] == id_ for record in lines)


async def test_a_deployment_and_its_steps_are_counted_by_outcome(world: World) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"stageline_{name}", labels) or 0

    def counts() -> list[float]:
        outcomes = ("succeeded", "failed")
        ended = [count("deployment_duration_seconds_count", outcome=each) for each in outcomes]
        return [*ended, *(count("steps_total", phase="build", outcome=each) for each in outcomes)]

    before = counts()
    world.target.on("build broken", failing("no compiler"))
    for name in ("api", "broken"):
        await world.runner().drive(await world.request(await world.environment([name])))
    while [after - was for after, was in zip(counts(), before, strict=True)] != [1, 1, 1, 1]:
        await asyncio.sleep(0.01)
    assert count("deployments_running") == 0


async def test_no_more_services_are_worked_on_at_once_than_the_environment_allows(world: World) -> None:
    names = [f"s{number}" for number in range(7)]

    async def take_turns(request: StepRequest, output: StepOutput) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    for name in names:
        world.target.on(f"build {name}", take_turns)
        world.target.on(f"deploy {name}", take_turns)
    over = await world.runner().drive(await world.request(await world.environment(names, concurrency=3)))
    assert over.status == Status.SUCCEEDED
    assert world.target.most == 3


async def test_a_service_is_deployed_as_soon_as_its_own_build_has_ended(world: World) -> None:
    slow, deployed = Gate(), Gate()
    deployed.opened.set()
    world.target.on("build slow", slow)
    world.target.on("deploy quick", deployed)
    driving = asyncio.create_task(world.runner().drive(await world.request(await world.environment(["slow", "quick"]))))
    await deployed.reached.wait()
    assert "end build slow 1" not in world.target.marks
    slow.opened.set()
    assert (await driving).status == Status.SUCCEEDED


async def test_a_service_with_nothing_to_build_is_only_deployed(world: World) -> None:
    await world.runner().drive(await world.request(await world.environment(["db"], spec=UNBUILT)))
    assert world.target.marks == ["begin deploy db 1", "end deploy db 1"]


async def test_after_a_failure_what_runs_is_let_end_and_nothing_new_starts(world: World) -> None:
    slow = Gate()
    world.target.on("build slow", slow)
    world.target.on("build broken", failing("no compiler"))
    id_ = await world.request(await world.environment(["slow", "broken"], ["later"]))
    driving = asyncio.create_task(world.runner().drive(id_))
    async for batch in world.log.follow(0, id_):
        if any(recorded.name == "deployment.BuildFailed" for recorded in batch):
            break
    slow.opened.set()
    over = await driving
    assert over.status == Status.FAILED
    assert over.failure is not None
    assert (over.failure.phase, over.failure.reason) == (Phase.BUILD, "no compiler")
    assert world.target.marks == ["begin build slow 1", "begin build broken 1", "end build slow 1"]


async def test_a_failed_step_is_tried_again_and_the_output_says_so(world: World) -> None:
    spec = replace(BUILT, retries=2, backoff=Backoff(initial=0.01))
    environment = await world.environment(["api"], spec=spec)
    world.target.on("build api 1", failing("no network"))
    world.target.on("build api 2", failing("still none"))
    id_ = await world.request(environment)
    assert (await world.runner().drive(id_)).status == Status.SUCCEEDED
    service = await world.service(environment, "api")
    assert [line.text for line in await world.outputs.read(id_, OutputSelection(service=service))] == [
        "attempt 1 of 3 failed: no network",
        "attempt 2 of 3 failed: still none",
    ]


async def test_a_failed_step_waits_longer_each_time_before_it_is_tried_again(world: World) -> None:
    world.target.on("build api", failing("no network"))
    spec = replace(BUILT, retries=3, backoff=Backoff(initial=0.2, max=0.4))
    id_ = await world.request(await world.environment(["api"], spec=spec))
    await world.runner().drive(id_)
    recorded = await world.log.read(id_)
    starts = [each.recorded_at for each in recorded if each.name == "deployment.BuildStarted"]
    ends = [each.recorded_at for each in recorded if each.name == "deployment.StepRetried"]
    pauses = [(start - end).total_seconds() for end, start in zip(ends, starts[1:], strict=True)]
    assert [pause >= least for pause, least in zip(pauses, (0.19, 0.39, 0.39), strict=True)] == [True] * 3


async def test_a_runner_goes_on_with_the_wait_that_another_one_began(world: World) -> None:
    world.target.on("build api 1", failing("no network"))
    spec = replace(BUILT, retries=1, backoff=Backoff(initial=0.5))
    id_ = await world.request(await world.environment(["api"], spec=spec))
    first = asyncio.create_task(world.runner().drive(id_))
    await world.reaches(id_, "StepRetried")
    first.cancel()
    assert (await world.runner().drive(id_)).status == Status.SUCCEEDED
    recorded = await world.log.read(id_)
    retried = next(each.event for each in recorded if isinstance(each.event, StepRetried))
    started = [each.recorded_at for each in recorded if isinstance(each.event, BuildStarted)]
    assert retried.retry_at is not None
    assert started[1] > retried.retry_at
    assert (await world.recorded(id_)).count("DeploymentTakenUp") == 2


async def test_no_wait_is_longer_than_its_maximum_after_the_clock_was_set_back(world: World) -> None:
    id_ = await world.request(
        await world.environment(["api"], spec=replace(BUILT, retries=1, backoff=Backoff(initial=0.05, max=0.05)))
    )

    async def work(transaction: Transaction) -> DeploymentId:
        await writing.take_up(transaction, id_, "worker-0")
        step = (await transaction.load(deployments.decider, id_)).state.startable[0]
        await writing.report(transaction, id_, StartStep(worker="worker-0", step=step))
        later = datetime.now(UTC) + timedelta(hours=2)
        return await writing.report(
            transaction, id_, FailStep(worker="worker-0", step=step, reason="no network", at=later)
        )

    await world.handler.transact(work, deployments.decider, ANN)
    assert (await world.runner().drive(id_)).status == Status.SUCCEEDED


async def test_a_service_that_is_cancelled_by_force_is_stopped_and_the_others_go_on(world: World) -> None:
    stuck, gate = Gate(), Gate()
    world.target.on("build api", stuck)
    world.target.on("build web", gate)
    id_ = await world.request(await world.environment(["api", "web"], ["orders"]))
    driving = asyncio.create_task(world.runner().drive(id_))
    await stuck.reached.wait()
    await gate.reached.wait()
    await world.cancel(id_, forced=True, services=("api",))
    gate.opened.set()
    over = await driving
    assert over.status is Status.SUCCEEDED
    assert [run.status for stage in over.stages for run in stage.services] == [
        Status.CANCELLED,
        Status.SUCCEEDED,
        Status.SUCCEEDED,
    ]
    assert "abort build api 1" in world.target.marks
    assert "abort build web 1" not in world.target.marks


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts may be shorter than a second."""
    monkeypatch.setattr("domain.pipeline.environment.MIN_TIMEOUT", 0.01)


@pytest.mark.usefixtures("shorter")
async def test_a_deployment_is_stopped_when_it_has_run_for_its_timeout(world: World) -> None:
    world.target.on("build api", Gate())
    environment = await world.environment(["api"], ["web"])
    await world.policy(environment, EnvironmentPolicy(deployment_timeout=0.05))
    id_ = await world.request(environment)
    over = await world.runner().drive(id_)
    assert (over.status, over.failure, over.has_timed_out) == (Status.FAILED, None, True)
    assert "abort build api 1" in world.target.marks
    assert (await world.recorded(id_))[-1] == "DeploymentTimedOut"


@pytest.mark.usefixtures("shorter")
async def test_a_wait_counts_as_time_that_a_deployment_runs(world: World) -> None:
    world.target.on("build api", failing("no network"))
    spec = replace(BUILT, retries=1, backoff=Backoff(initial=3600, max=3600))
    environment = await world.environment(["api"], spec=spec)
    await world.policy(environment, EnvironmentPolicy(deployment_timeout=0.05))
    assert (await world.runner().drive(await world.request(environment))).has_timed_out


async def test_a_runner_keeps_to_the_deadline_of_the_one_before_it(world: World) -> None:
    world.target.on("build api", Gate())
    environment = await world.environment(["api"])
    await world.policy(environment, EnvironmentPolicy(deployment_timeout=3600.0))
    id_ = await world.request(environment)
    await world.take_up(id_, datetime.now(UTC) - timedelta(seconds=3599.9))
    async with asyncio.timeout(HANGING):
        over = await world.runner().drive(id_)
    assert over.has_timed_out
    assert (await world.recorded(id_)).count("DeploymentTakenUp") == 2


@pytest.mark.usefixtures("shorter")
async def test_no_deadline_is_farther_than_the_timeout_after_the_clock_was_set_back(world: World) -> None:
    world.target.on("build api", Gate())
    environment = await world.environment(["api"])
    await world.policy(environment, EnvironmentPolicy(deployment_timeout=0.05))
    id_ = await world.request(environment)
    await world.take_up(id_, datetime.now(UTC) + timedelta(hours=2))
    async with asyncio.timeout(HANGING):
        assert (await world.runner().drive(id_)).has_timed_out


async def test_others_start_and_a_cancellation_ends_while_a_step_waits_for_its_retry(world: World) -> None:
    gate = Gate()
    world.target.on("build api", failing("no network"))
    world.target.on("deploy web", gate)
    spec = replace(BUILT, retries=1, backoff=Backoff(initial=3600, max=3600))
    id_ = await world.request(await world.environment(["api", "web"], spec=spec))
    driving = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    await world.cancel(id_)
    gate.opened.set()
    assert (await driving).status == Status.CANCELLED
    assert "begin build api 2" not in world.target.marks


async def test_a_step_that_fails_every_time_fails_the_deployment(world: World) -> None:
    environment = await world.environment(["api"], spec=replace(BUILT, retries=1))
    world.target.on("deploy api", failing("port in use"))
    over = await world.runner().drive(await world.request(environment))
    assert over.status == Status.FAILED
    assert world.target.marks.count("begin deploy api 1") + world.target.marks.count("begin deploy api 2") == 2


async def test_the_old_instance_that_runs_again_after_a_failure_is_recorded(world: World) -> None:
    environment = await world.environment(["api"], spec=replace(BUILT, retries=1, backoff=Backoff(initial=0.01)))
    world.target.on("deploy api", failing("no"))
    world.target.old = {
        "deploy api 1": OldInstance(number=4),
        "deploy api 2": OldInstance(number=4, problem="exit code 2"),
    }
    id_ = await world.request(environment)
    await world.runner().drive(id_)
    events = [
        event for event in await world.log.events(id_) if isinstance(event, OldInstanceRestarted | OldInstanceLost)
    ]
    api = await world.service(environment, "api")
    assert events == [
        OldInstanceRestarted(service=api, attempt=1, number=4),
        OldInstanceLost(service=api, attempt=2, number=4, reason="exit code 2"),
    ]
    assert [line.text for line in await world.outputs.read(id_) if line.kind is LineKind.FAILURE] == [
        "attempt 1 of 2 failed: no; the old instance, of deployment 4, runs again",
        "attempt 2 of 2 failed: no; the old instance, of deployment 4, did not become healthy again: exit code 2",
    ]


async def test_the_old_instance_that_runs_again_after_a_forced_cancellation_is_recorded(world: World) -> None:
    gate = Gate()
    world.target.on("deploy api", gate)
    world.target.old = {"deploy api 1": OldInstance(number=4)}
    id_ = await world.request(await world.environment(["api"]))
    driving = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    await world.cancel(id_, forced=True)
    await driving
    assert (await world.recorded(id_))[-3:] == ["ServiceCancelled", "OldInstanceRestarted", "DeploymentCancelled"]


async def test_a_service_that_is_unchanged_is_left_as_it_is_if_it_is_healthy(world: World) -> None:
    environment = await world.environment(["api", "web"], ["old"])
    runner = world.runner()
    first = await world.request(environment, revision="abc")
    await runner.drive(first)
    assert not [mark for mark in world.target.marks if "check" in mark]
    world.target.marks.clear()
    world.target.healthy = {first}
    second = await world.request(environment, revision="abc")
    assert (await runner.drive(second)).status is Status.SUCCEEDED
    assert sorted(world.target.marks) == ["check build api 1", "check build old 1", "check build web 1"]
    assert (await world.recorded(second)).count("ServiceUnchanged") == 3

    world.target.marks.clear()
    world.target.healthy = set()
    third = await world.request(environment, revision="abc")
    assert (await runner.drive(third)).status is Status.SUCCEEDED
    assert {"check build api 1", "begin build api 1", "end deploy api 1"} <= set(world.target.marks)
    assert (await world.recorded(third)).count("ServiceUnchanged") == 0
    assert {each.number for each in converge.instances(await world.deployment(third), third)} == {3}


async def test_a_cancellation_lets_end_what_runs(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"], ["web"]))
    driving = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    await world.cancel(id_)
    gate.opened.set()
    assert (await driving).status == Status.CANCELLED
    assert world.target.marks == ["begin build api 1", "end build api 1"]


async def test_a_forced_cancellation_stops_what_runs(world: World) -> None:
    gates = {name: Gate() for name in ("api", "web")}
    for name, gate in gates.items():
        world.target.on(f"build {name}", gate)
    id_ = await world.request(await world.environment(["api", "web"]))
    driving = asyncio.create_task(world.runner().drive(id_))
    for gate in gates.values():
        await gate.reached.wait()
    await world.cancel(id_, forced=True)
    assert (await driving).status == Status.CANCELLED
    assert {"abort build api 1", "abort build web 1"} == {mark for mark in world.target.marks if "abort" in mark}
    assert all(task.done() for task in world.target.running.values())
    assert world.target.watched == {"build api 1": 1, "build web 1": 1}
    assert (await world.recorded(id_))[-3:] == ["ServiceCancelled", "ServiceCancelled", "DeploymentCancelled"]


async def test_a_forced_cancellation_that_came_while_nobody_drove_is_carried_out(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    await interrupted(world, id_, gate)
    await world.cancel(id_, forced=True)
    assert (await world.runner().drive(id_)).status == Status.CANCELLED
    assert world.target.marks == ["begin build api 1", "abort build api 1"]


async def test_a_step_recorded_but_never_begun_is_not_begun_after_a_forced_cancellation(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    await interrupted(world, id_, gate)
    world.target.running.clear()  # as if the server had been killed between the append and the beginning
    world.target.marks.clear()
    await world.cancel(id_, forced=True)
    assert (await world.runner().drive(id_)).status == Status.CANCELLED
    assert world.target.marks == ["abort build api 1"]


async def test_the_next_runner_takes_up_what_the_last_one_began(world: World) -> None:
    gate = Gate()
    world.target.on("deploy api", gate)
    id_ = await world.request(await world.environment(["api"], ["web"]))
    await interrupted(world, id_, gate)
    gate.opened.set()
    assert (await world.runner().drive(id_)).status == Status.SUCCEEDED
    assert 1 == world.target.marks.count("begin build api 1") == world.target.marks.count("begin deploy api 1")


async def test_a_runner_that_stops_driving_leaves_nobody_watching(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    before = asyncio.all_tasks()
    await interrupted(world, id_, gate)
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert set(world.target.running.values()) == left


async def interrupted(world: World, id_: DeploymentId, gate: Gate) -> None:
    """A runner that stops driving when *gate* is reached."""
    driving = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    driving.cancel()
    await asyncio.wait([driving])
    assert driving.cancelled()


async def test_who_loses_a_deployment_to_another_runner_reports_nothing_more(world: World) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    first = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    second = asyncio.create_task(world.runner().drive(id_))
    with pytest.raises(Fenced):
        await first
    gate.opened.set()
    assert (await second).status == Status.SUCCEEDED
    assert world.target.marks.count("begin build api 1") == 1


async def test_a_deployment_waits_for_its_turn_and_the_end_of_the_first_admits_it(world: World) -> None:
    environment = await world.environment(["api"])
    first, second = await world.request(environment, "ann"), await world.request(environment, "bob")
    with pytest.raises(DeploymentNotAdmitted):
        await world.runner().drive(second)
    await world.runner().drive(first)
    last = [(recorded.name, recorded.stream) for recorded in (await world.log.read_all(0, 10_000))[-3:]]
    assert [name for name, _ in last] == [
        "deployment.DeploymentSucceeded",
        "queue.DeploymentClosed",
        "queue.DeploymentAdmitted",
    ]
    assert (await world.runner().drive(second)).status == Status.SUCCEEDED
    with pytest.raises(DeploymentOver):
        await world.runner().drive(second)


async def test_the_same_request_by_the_same_actor_merges_into_the_one_that_waits(world: World) -> None:
    environment = await world.environment(["api"])
    first = await world.request(environment)
    second = await world.request(environment)
    assert first != second
    assert second == await world.request(environment)
    assert second != await world.request(environment, "bob")


async def test_a_deployment_that_is_cancelled_while_it_waits_leaves_the_queue(world: World) -> None:
    environment = await world.environment(["api"])
    first, second = await world.request(environment, "ann"), await world.request(environment, "bob")
    third = await world.request(environment, "carol")
    await world.cancel(second)
    await world.runner().drive(first)
    assert (await world.runner().drive(third)).status == Status.SUCCEEDED
    assert (await world.deployment(second)).status == Status.CANCELLED


async def test_a_fault_of_the_target_fails_the_step_with_a_masked_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def buggy(request: StepRequest, output: StepOutput) -> None:
        raise ValueError("the password is hunter2")

    world.target.on("build api", buggy)
    with caplog.at_level(logging.ERROR):
        over = await world.runner().drive(await world.request(await world.environment(["api"])))
    assert over.status == Status.FAILED
    assert over.failure is not None
    assert over.failure.reason.startswith("internal error ")
    assert "hunter2" not in over.failure.reason
    assert over.failure.reason.split()[2].rstrip(":") in caplog.text
    assert "hunter2" in caplog.text
    assert "abort build api 1" in world.target.marks


async def test_a_target_that_breaks_off_by_itself_fails_the_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_off(request: StepRequest, output: StepOutput) -> tuple[int, ...]:
        raise asyncio.CancelledError

    monkeypatch.setattr(world.target, "deploy", break_off)
    over = await world.runner().drive(await world.request(await world.environment(["api"])))
    assert over.status == Status.FAILED


async def test_output_that_can_not_be_kept_fails_the_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def print_(request: StepRequest, output: StepOutput) -> None:
        await output.write(["hello"], 6)

    async def append(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(world.outputs, "append", append)
    world.target.on("build api", print_)
    over = await world.runner().drive(await world.request(await world.environment(["api"])))
    assert over.status == Status.FAILED


async def test_a_step_that_can_not_be_stopped_does_not_hang_the_deployment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def abort(request: StepRequest) -> None:
        raise OSError("the engine is gone")

    monkeypatch.setattr(world.target, "abort", abort)
    monkeypatch.setattr("runner.retry.FIRST_PAUSE", 0.001)
    gate = Gate()
    world.target.on("build api", gate)
    environment = await world.environment(["api"])
    id_ = await world.request(environment)
    driving = asyncio.create_task(world.runner().drive(id_))
    await gate.reached.wait()
    await world.cancel(id_, forced=True)
    assert (await driving).status == Status.CANCELLED
    assert "BuildFailed" in await world.recorded(id_)


async def test_a_target_that_the_server_lacks_fails_the_steps(world: World) -> None:
    over = await world.runner(Target.DOCKER).drive(await world.request(await world.environment(["api"])))
    assert over.status == Status.FAILED
    assert over.failure is not None
    assert "target" in over.failure.reason


async def test_what_a_step_printed_is_kept_before_its_outcome_is_recorded(world: World) -> None:
    async def print_(request: StepRequest, output: StepOutput) -> None:
        position = await output.offset()
        for number in range(500):
            position += 1
            await output.write([f"line {number}"], position)

    world.target.on("build api", print_)
    environment = await world.environment(["api"])
    id_ = await world.request(environment)
    service = await world.service(environment, "api")
    driving = asyncio.create_task(world.runner().drive(id_))
    async for batch in world.log.follow(0, id_):
        if any(recorded.name == "deployment.BuildSucceeded" for recorded in batch):
            break
    kept = [line.text for line in await world.outputs.read(id_, OutputSelection(service=service), limit=1000)]
    assert [f"line {number}" for number in range(500)] == kept
    await driving


async def test_what_ends_and_starts_at_once_is_recorded_at_once() -> None:
    log = Faltering()
    async with World(log, MemoryOutput()).standing() as world:
        id_ = await world.request(await world.environment([f"s{number}" for number in range(7)], ["t"]))
        log.appends = 0
        await world.runner().drive(id_)
        assert log.appends <= 8


class Observed(MemoryLog):
    """A log that counts the times that a stream is read."""

    reads = 0

    async def read(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[RecordedEvent]:
        self.reads += 1
        return await super().read(stream, after, until)

    async def events(self, stream: UUID, after: int = 0, until: int | None = None) -> Sequence[Event]:
        self.reads += 1
        return await super().events(stream, after, until)


async def test_a_deployment_reads_its_request_and_no_stream_more() -> None:
    log = Observed()
    async with World(log, MemoryOutput()).standing() as world:
        environment = await world.environment(["api", "web"], ["front"])
        for _ in range(2):
            id_ = await world.request(environment)
            log.reads = 0
            await world.runner().drive(id_)
            await asyncio.sleep(0)  # it may have left something to a task
            assert log.reads == 1


class Late(MemoryLog):
    """A log whose answer to who records the end of a build comes only when something else was done *meanwhile*."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def append(self, changes: Sequence[StreamChange], by: Author, key: IdempotencyKey | None = None) -> Receipt:
        receipt = await super().append(changes, by, key)
        if self.meanwhile and any(isinstance(event, BuildSucceeded) for each in changes for event in each.events):
            await self.meanwhile()
        return receipt


async def test_a_cancellation_that_comes_behind_what_is_just_being_recorded_is_heard_of() -> None:
    log = Late()
    async with World(log, MemoryOutput()).standing() as world:
        world.target.on("deploy api", Gate())
        id_ = await world.request(await world.environment(["api"]))
        log.meanwhile = partial(world.cancel, id_, forced=True)
        assert (await world.runner().drive(id_)).status == Status.CANCELLED


async def test_a_log_that_is_away_for_a_while_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.retry.FIRST_PAUSE", 0.001)
    log = Faltering()
    async with World(log, MemoryOutput()).standing() as world:
        id_ = await world.request(await world.environment(["api", "web"], ["front"]))
        log.every = 2
        assert (await world.runner().drive(id_)).status == Status.SUCCEEDED
        assert sum(mark.startswith("begin") for mark in world.target.marks) == 6
