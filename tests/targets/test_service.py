"""The life of a service on every target: built, deployed, replaced, known, stopped."""

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.deployment.step import Phase
from domain.spec import CommandCheck, Health, HttpCheck, TcpCheck, Variable
from runner.targets.contract import StepFailed, StepRequest
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, until
from tests.targets.notary import Notary
from tests.targets.place import Place, build, deploy, job

CHECKS = [TcpCheck(), HttpCheck(), CommandCheck(command="true")]


async def test_a_build_hands_over_what_it_prints(place: Place) -> None:
    printed = Printed()
    await place.executor.build(build(place, "echo one; echo two; printf 'no end'"), printed)
    assert [line for line in printed.lines if line in ("one", "two", "no end")] == ["one", "two", "no end"]


async def test_a_service_gets_a_port_and_stays_up(place: Place) -> None:
    printed = Printed()
    ports = await place.executor.deploy(deploy(place, f"echo up; {place.server}", ports=(0,)), printed)
    assert await place.ask(ports) == "1"
    assert await place.running() == ["1"]
    assert printed.lines == ["up"]


@pytest.mark.parametrize("check", CHECKS, ids=["tcp", "http", "command"])
async def test_a_service_is_up_when_its_check_succeeds(place: Place, told: Notary, check: TcpCheck) -> None:
    command = f"{place.tell('wait', 'go')}; {place.server}"
    health = Health(check=check, interval=0.1)
    deploying = asyncio.create_task(place.executor.deploy(deploy(place, command, ports=(0,), health=health), Printed()))
    if not isinstance(check, CommandCheck):
        done, _ = await asyncio.wait([deploying], timeout=0.5)
        assert not done
    told.let("go")
    assert len(await deploying) == 1


async def test_a_service_without_port_and_check_is_up_when_it_stays(place: Place) -> None:
    assert await place.executor.deploy(deploy(place, "exec sleep 60"), Printed()) == ()
    assert await place.running() == ["1"]


async def test_a_step_knows_what_it_is_of(place: Place) -> None:
    printed = Printed()
    step = job(place, "env", number=4, env=(Variable(name="LANGUAGE", value="fr"),))
    await place.executor.deploy(step, printed)
    own = dict(line.split("=", 1) for line in printed.lines if line.startswith(("STAGELINE_", "LANGUAGE=")))
    assert (own["LANGUAGE"], own["STAGELINE_DEPLOYMENT_NUMBER"], own["STAGELINE_SERVICE"]) == ("fr", "4", "api")
    assert (own["STAGELINE_ENVIRONMENT"], own["STAGELINE_SERVICE_ID"]) == (str(ENVIRONMENT), str(SERVICE))


async def test_a_new_instance_replaces_the_old_one(place: Place) -> None:
    for number in (1, 2):
        ports = await place.executor.deploy(deploy(place, place.server, number, ports=(0,)), Printed())
        assert await place.ask(ports) == str(number)
        assert await place.running() == [str(number)]


async def test_the_old_one_is_stopped_first_where_both_need_the_same_port(place: Place) -> None:
    printed = Printed()
    for number in (1, 2):
        step = deploy(place, place.server, number, is_fixed=True)
        ports = await place.executor.deploy(step, printed)
        assert await place.ask(ports) == str(number)
        assert await place.running() == [str(number)]
    assert any(note.endswith("the old instance is stopped before the new one starts") for note in printed.notes)


async def test_a_job_runs_to_its_end_and_its_outputs_are_read(place: Place) -> None:
    step = job(place, f"seq 20000; {place.flush}; echo URL=http://here > $STAGELINE_OUTPUT")
    await place.executor.deploy(step, printed := Printed())
    assert printed.lines == [str(number) for number in range(1, 20_001)]
    for executor in (place.executor, place.another()):
        assert [(each.key, each.value) for each in await executor.outputs(step)] == [("URL", "http://here")]
    assert await place.running() == []


async def test_the_known_instance_is_healthy_while_it_answers(place: Place) -> None:
    step = deploy(place, place.server, ports=(0,))
    await place.executor.deploy(step, Printed())
    known = deploy(place, place.server, 2, ports=(0,))
    assert await place.executor.is_healthy(_knowing(known, step.deployment))
    assert not await place.executor.is_healthy(_knowing(known, known.deployment))
    await place.executor.delete(ENVIRONMENT, SERVICE)
    assert not await place.executor.is_healthy(_knowing(known, step.deployment))


async def test_a_removed_service_is_stopped_and_another_one_is_not(place: Place) -> None:
    await place.executor.deploy(deploy(place, place.server, ports=(0,)), Printed())
    await place.executor.deploy(deploy(place, place.server, ports=(0,), service=OTHER), Printed())
    await place.executor.delete(ENVIRONMENT, SERVICE)
    assert (await place.running(), await place.running(OTHER)) == ([], ["1"])
    await place.executor.delete(ENVIRONMENT, OTHER)
    assert await place.left() == []


async def test_a_stopped_service_stays_stopped_until_it_is_deployed(place: Place) -> None:
    step = deploy(place, place.server, ports=(0,))
    await place.executor.deploy(step, Printed())
    for executor in (place.executor, place.another()):
        await executor.stop(replace(step, phase=Phase.STOP, number=2))
        assert await place.running() == []
    assert not await place.executor.is_healthy(_knowing(deploy(place, place.server, 3, ports=(0,)), step.deployment))
    ports = await place.executor.deploy(deploy(place, place.server, 3, ports=(0,)), Printed())
    assert await place.ask(ports) == "3"


async def test_a_sweep_stops_all_but_what_is_kept(place: Place) -> None:
    await place.executor.deploy(deploy(place, place.server, ports=(0,)), Printed())
    await place.executor.deploy(deploy(place, place.server, ports=(0,), service=OTHER), Printed())
    await place.another().sweep(keep={OTHER})
    assert (await place.running(), await place.running(OTHER)) == ([], ["1"])


async def test_one_stageline_leaves_alone_what_another_one_runs(place: Place) -> None:
    await place.executor.deploy(deploy(place, place.server, ports=(0,)), Printed())
    await place.another(owner=1).sweep(keep=())
    assert await place.running() == ["1"]


async def test_a_running_service_is_aborted_after_its_last_words(place: Place, told: Notary) -> None:
    step = deploy(place, f"echo begun; {place.tell('mark', 'begun')}; exec sleep 60", ports=(0,))
    deploying = asyncio.create_task(place.executor.deploy(step, printed := Printed()))
    await told.has("begun")
    await place.executor.abort(step)
    with pytest.raises(StepFailed, match="it was cancelled"):
        await deploying
    assert (printed.lines[0], await place.running()) == ("begun", [])


async def test_a_step_that_was_aborted_before_it_began_never_does(place: Place, told: Notary) -> None:
    for step in (build(place, "true"), job(place, place.tell("mark", "begun"))):
        await place.executor.abort(step)
        for executor in (place.executor, place.another()):
            with pytest.raises(StepFailed, match="it was cancelled"):
                await (executor.build if step.phase == "BUILD" else executor.deploy)(step, Printed())
    assert told.marks == []


async def test_a_running_build_is_aborted(place: Place) -> None:
    step = build(place, "echo begun; sleep 60")
    building = asyncio.create_task(place.executor.build(step, printed := Printed()))
    await until(lambda: "begun" in printed.lines)
    await place.executor.abort(step)
    with pytest.raises(StepFailed, match="it was cancelled"):
        await building


async def test_a_healthy_service_is_not_aborted(place: Place) -> None:
    step = deploy(place, place.server, ports=(0,))
    ports = await place.executor.deploy(step, Printed())
    await place.executor.abort(step)
    assert await place.executor.deploy(step, Printed()) == ports
    assert await place.running() == ["1"]


def _knowing(step: StepRequest, deployment: UUID) -> StepRequest:
    return replace(step, known=deployment)
