"""Each kind of failure on every target: its reason is said, and what ran before goes on."""

import pytest

from domain.spec import CommandCheck, Health, TcpCheck
from runner.targets.contract import StepFailed
from tests.runner.target import Printed
from tests.targets.place import Place, build, deploy, job

NEVER = Health(check=TcpCheck(), start_period=0.5)


async def test_a_failed_build_says_what_failed(place: Place) -> None:
    with pytest.raises(StepFailed, match=r"exit code:? 7"):
        await place.executor.build(build(place, "echo last words; exit 7"), printed := Printed())
    assert "last words" in printed.lines


async def test_a_build_that_takes_too_long_is_stopped(place: Place) -> None:
    with pytest.raises(StepFailed, match=r"timeout after 1.5 s: .* was stopped"):
        await place.executor.build(build(place, "sleep 60", build_timeout=1.5), Printed())


@pytest.mark.parametrize(
    ("command", "timeout", "reason"),
    [
        ("exit 3", 60.0, "the job ended with exit code 3"),
        ("kill -9 $$", 60.0, "the job ended with exit code 137"),
        ("sleep 60", 1.0, "timeout after 1 s: the job was stopped"),
    ],
    ids=["exit", "killed", "timeout"],
)
async def test_a_failed_job_says_how(place: Place, command: str, timeout: float, reason: str) -> None:
    step = job(place, f"echo last words; {command}", deploy_timeout=timeout)
    for executor in (place.executor, place.another()):  # the next server hears the same
        with pytest.raises(StepFailed) as failed:
            await executor.deploy(step, printed := Printed())
        assert failed.value.reason.startswith(reason)
        assert printed.lines[0] == "last words"
    assert await place.running() == []


@pytest.mark.parametrize(
    ("command", "health", "reason"),
    [
        ("exit 3", None, "ended with exit code 3 before it was healthy"),
        ("exec sleep 60", NEVER, "not healthy within 0.5 s: connection"),
        (
            "exec sleep 60",
            Health(check=CommandCheck(command="exit 4"), start_period=0.5),
            "the check (exit 4) ended with exit code 4",
        ),
    ],
    ids=["exit", "port", "check"],
)
async def test_one_that_does_not_come_up_is_stopped_and_the_old_one_serves_on(
    place: Place, command: str, health: Health | None, reason: str
) -> None:
    ports = await place.executor.deploy(deploy(place, place.server, ports=(0,)), Printed())
    step = deploy(place, f"echo last words; {command}", 2, ports=(0,), health=health)
    for executor in (place.executor, place.another()):
        with pytest.raises(StepFailed) as failed:
            await executor.deploy(step, printed := Printed())
        assert reason in failed.value.reason
        assert printed.lines[0] == "last words"
        assert await executor.restart_old(step) is None
    assert await place.running() == ["1"]
    assert await place.ask(ports) == "1"


async def test_a_program_that_ignores_the_signal_to_stop_is_killed(place: Place) -> None:
    stubborn = "trap '' TERM; while true; do sleep 1; done"
    await place.executor.deploy(deploy(place, stubborn, stop_grace=0.5), Printed())
    await place.executor.deploy(deploy(place, "exec sleep 60", 2), Printed())
    assert await place.running() == ["2"]
