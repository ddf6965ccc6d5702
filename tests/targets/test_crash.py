"""A step on every target outlives the server that began it: none is done twice, none is lost."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from msgspec.structs import replace

from domain.deployment.step import OldInstance
from domain.spec import Health, TcpCheck
from runner.targets.contract import Executor, StepFailed, StepRequest
from tests.runner.target import ENVIRONMENT, SERVICE, Printed
from tests.targets.notary import Notary
from tests.targets.place import Place, deploy, job

SOON = Health(check=TcpCheck(), start_period=2.0)


def moments(growth: float) -> Iterator[float]:
    """Seconds after which a server is killed: from before it has begun the step until well after."""
    return (0.002 * growth**kill for kill in count())


async def carry_out(executor: Executor, step: StepRequest) -> str | OldInstance | None:
    """Do with a step as the runner does: the old instance follows its failure."""
    try:
        await executor.deploy(step, Printed())
    except StepFailed as failure:
        return await executor.restart_old(step) or failure.reason
    return None


@pytest.mark.long
async def test_a_job_is_done_once_whenever_its_server_is_killed(place: Place, told: Notary) -> None:
    late = 0
    for kill, moment in enumerate(moments(growth=1.4), 1):
        step = job(place, f"{place.tell('mark', str(kill))}; echo done", number=kill)
        async with place.carrying_out(step):
            await asyncio.sleep(moment)
            late += str(kill) in told.marks
        await place.executor.deploy(step, printed := Printed())
        assert printed.lines == ["done"]
        await told.has(*map(str, range(1, kill + 1)))
        if late == 2:
            break


@pytest.mark.long
async def test_a_service_is_started_once_whenever_its_server_is_killed(place: Place, told: Notary) -> None:
    late = 0
    for kill, moment in enumerate(moments(growth=1.6), 1):
        step = deploy(place, f"{place.tell('mark', str(kill))}; {place.server}", kill, ports=(0,))
        async with place.carrying_out(step):
            await asyncio.sleep(moment)
            late += str(kill) in told.marks
        ports = await place.executor.deploy(step, Printed())
        assert await place.ask(ports) == str(kill)
        assert await place.running() == [str(kill)]
        await told.has(*map(str, range(1, kill + 1)))
        if late == 3:
            break


async def test_what_runs_is_watched_on_from_the_line_behind_those_stored(place: Place, told: Notary) -> None:
    step = job(place, f"echo one; {place.tell('mark', 'begun')}; {place.tell('wait', 'go')}; echo two")
    async with place.carrying_out(step):
        await told.has("begun")
    watching = asyncio.create_task(place.executor.deploy(step, printed := Printed(kept=len("one\n"))))
    told.let("go")
    await watching
    assert (printed.lines, told.marks) == (["two"], ["begun"])


async def test_what_ended_meanwhile_has_ended_so(place: Place, told: Notary) -> None:
    step = job(place, f"{place.tell('mark', 'begun')}; {place.tell('wait', 'go')}; exit 4")
    async with place.carrying_out(step):
        await told.has("begun")
    told.let("go")
    while await place.running():
        await asyncio.sleep(0.05)
    with pytest.raises(StepFailed, match="the job ended with exit code 4"):
        await place.executor.deploy(step, Printed())


async def test_two_servers_begin_a_step_once(place: Place, told: Notary) -> None:
    step = job(place, f"echo once; {place.tell('mark', 'begun')}; {place.tell('wait', 'go')}")
    outputs = [Printed(), Printed()]
    servers = (place.executor, place.another())
    both = asyncio.gather(*(each.deploy(step, output) for each, output in zip(servers, outputs, strict=True)))
    await told.has("begun")
    told.let("go")
    await both
    assert ([printed.lines for printed in outputs], told.marks) == ([["once"], ["once"]], ["begun"])


async def test_the_old_instance_runs_again_after_each_failed_attempt(place: Place) -> None:
    ports = await place.executor.deploy(deploy(place, place.server, is_fixed=True), Printed())
    for attempt in (1, 2):
        step = replace(deploy(place, "exit 1", 2, is_fixed=True), attempt=attempt)
        for executor in (place.executor, place.another()):
            assert await carry_out(executor, step) == OldInstance(number=1, ports=ports)
            assert await place.ask(ports) == "1"
    await place.executor.deploy(deploy(place, place.server, 3, is_fixed=True), Printed())
    assert await place.running() == ["3"]


async def test_the_old_instance_runs_again_after_a_forced_cancellation(place: Place, told: Notary) -> None:
    ports = await place.executor.deploy(deploy(place, place.server, is_fixed=True), Printed())
    endless = deploy(place, f"{place.tell('mark', 'begun')}; exec sleep 60", 2, is_fixed=True)
    running = asyncio.create_task(carry_out(place.executor, endless))
    await told.has("begun")
    await place.executor.abort(endless)
    assert await running == OldInstance(number=1, ports=ports)
    assert await place.ask(ports) == "1"


@pytest.mark.long
@pytest.mark.parametrize("is_good", [True, False], ids=["good", "bad"])
async def test_the_outcome_with_a_fixed_port_is_the_same_whenever_the_server_is_killed(
    place: Place, told: Notary, is_good: bool
) -> None:
    def step_of(number: int, command: str, health: Health | None = None) -> StepRequest:
        marked = f"{place.tell('mark', str(number))}; {command}"
        return deploy(place, marked, number, is_fixed=True, health=health)

    old, late = 1, 0
    ports = await place.executor.deploy(step_of(1, place.server), Printed())
    for new, moment in enumerate(moments(growth=1.6), 2):
        before = len(told.marks)
        step = step_of(new, place.server) if is_good else step_of(new, "exec sleep 60", SOON)
        async with place.carrying_out(step):
            await asyncio.sleep(moment)
            late += len(told.marks) - before == (1 if is_good else 2)
        outcome = await carry_out(place.executor, step)
        assert outcome == (None if is_good else OldInstance(number=old, ports=ports))
        assert told.marks[before:] == ([str(new)] if is_good else [str(new), str(old)])
        old = new if is_good else old
        assert await place.ask(ports) == str(old)
        assert await place.running() == [str(old)]
        if late == 2:
            break
    await place.executor.delete(ENVIRONMENT, SERVICE)
    assert await place.left() == []
