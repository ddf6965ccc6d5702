"""A service is stopped or deleted on the target PROCESS, also by a server that is killed meanwhile."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.deployment.effect import Effect
from domain.deployment.step import OldInstance, Phase
from domain.spec import CommandCheck, Health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process.executor import ProcessExecutor
from runner.targets.process.table import ProcessRow, tables
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, ask, deploy, fixed_port, request, server
from tests.runner.test_adoption import Doomed, attempts, doomed, moments
from tests.runner.test_old_instance import bad, carry_out, good, instances, marks

__all__ = ["doomed"]

UP = Health(check=CommandCheck(command="test -e up.$STAGELINE_DEPLOYMENT_NUMBER"))


def stop(number: int = 9, effect: Effect = Effect.STOP) -> StepRequest:
    return replace(request(Phase.STOP, number=number), effect=effect)


def up(folder: Path, command: str = "exec sleep 300", number: int = 1, service: UUID = SERVICE) -> StepRequest:
    """The deploy of a service that is healthy as soon as its *command* begins."""
    begun = f"touch up.$STAGELINE_DEPLOYMENT_NUMBER; {command}"
    return deploy(begun, number=number, service=service, directory=str(folder), health=UP)


TIDY = (
    "sleep 300 & trap 'sleep 0.1; echo $STAGELINE_DEPLOYMENT_NUMBER >> ended; exit' TERM; "
    "touch up.$STAGELINE_DEPLOYMENT_NUMBER; wait"
)
"""A service that leaves a line for each time that it ended in order, after some time."""


async def test_a_stopped_service_is_gone_with_its_daemons_and_starts_again_as_before(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    command = f"setsid sleep 300 & {server(tmp_path)}"
    first = deploy(command, ports=(fixed_port(),))
    (port,) = await executor.deploy(first, Printed())
    await executor.deploy(up(tmp_path, service=OTHER), Printed())
    await executor.stop(stop(number=2))
    assert instances(tmp_path) == ["1"]  # the other service's
    with pytest.raises(OSError, match="Connect call failed"):
        await ask(port)
    await executor.stop(stop(number=2))  # once more, after a crash
    again = replace(deploy(command, number=3, ports=first.spec.ports), effect=Effect.START)
    assert await executor.deploy(again, printed := Printed()) == (port,)
    assert (await ask(port), printed.notes) == ("3", [])


async def test_a_restarted_service_is_replaced_by_a_healthy_one(executor: ProcessExecutor, tmp_path: Path) -> None:
    (before,) = await executor.deploy(deploy(server(tmp_path), ports=(0,)), Printed())
    again = replace(deploy(server(tmp_path), number=2, ports=(0,)), effect=Effect.RESTART)
    (after,) = await executor.deploy(again, Printed())
    assert (before != after, await ask(after), instances(tmp_path)) == (True, "2", ["2"])


async def test_an_old_instance_that_was_brought_back_is_stopped(executor: ProcessExecutor, tmp_path: Path) -> None:
    port = fixed_port()
    await executor.deploy(good(tmp_path, port, 1), Printed())
    assert await carry_out(executor, bad(tmp_path, port)) == OldInstance(number=1, ports=(port,))
    assert instances(tmp_path) == ["1"]
    await executor.stop(stop())
    assert instances(tmp_path) == []
    await executor.deploy(good(tmp_path, port, 3), Printed())
    assert (instances(tmp_path), marks(tmp_path)) == (["3"], ["1", "2", "1", "3"])


async def test_a_service_without_an_instance_is_stopped_at_once(executor: ProcessExecutor) -> None:
    await executor.stop(stop())
    await executor.delete(ENVIRONMENT, SERVICE)


@pytest.mark.parametrize("effect", [Effect.STOP, Effect.DELETE])
async def test_a_service_that_can_not_be_ended_is_not_said_to_be(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    """As a process in an uninterruptible sleep: the system shows it still after KILL."""
    await executor.deploy(up(tmp_path), Printed())
    [attempt] = attempts(tmp_path)
    await attempt.end()
    immortal = ProcessRow(2**22 + 1, 1, 2**22 + 1, 1, str(attempt.folder))

    async def read() -> list[ProcessRow]:
        return [immortal]

    monkeypatch.setattr(tables, "read", read)
    monkeypatch.setattr("runner.targets.process.attempt.KILL_TIME", 0.1)
    monkeypatch.setattr("runner.targets.process.attempt.os.kill", lambda *_: None)
    record = attempt.folder / "record"
    record.write_text(record.read_text() + "grace 0.05\n")
    with pytest.raises(StepFailed, match="processes of the service still run"):
        await (executor.stop(stop()) if effect is Effect.STOP else executor.delete(ENVIRONMENT, SERVICE))
    assert attempt.folder.exists()  # the next attempt finds it


@pytest.mark.long
@pytest.mark.parametrize("effect", [Effect.STOP, Effect.DELETE])
async def test_a_service_ends_once_and_wholly_whenever_its_server_is_killed(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path, effect: Effect
) -> None:
    ended, late = tmp_path / "ended", 0
    ended.touch()
    for number, moment in enumerate(moments(first=0.002, growth=1.5), 1):
        await executor.deploy(deploy(TIDY, number=number, directory=str(tmp_path), health=UP), Printed())
        wanted = stop(number, effect)
        async with doomed.carrying_out(wanted):
            await asyncio.sleep(moment)
            late += str(number) in ended.read_text().split()
        await (executor.stop(wanted) if effect is Effect.STOP else executor.delete(ENVIRONMENT, SERVICE))
        assert instances(tmp_path) == []
        assert ended.read_text().split() == [str(each) for each in range(1, number + 1)]
        if effect is Effect.DELETE:
            assert attempts(tmp_path) == []
        if late == 2:
            break


@pytest.mark.long
@pytest.mark.parametrize("effect", [Effect.RESTART, Effect.START])
async def test_a_service_is_started_once_whenever_its_server_is_killed(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path, effect: Effect
) -> None:
    starts, late = tmp_path / "marks", 0
    starts.touch()
    port = fixed_port()
    await executor.deploy(good(tmp_path, port, 1), Printed())
    for number, moment in enumerate(moments(first=0.002, growth=1.6), 2):
        if effect is Effect.START:
            await executor.stop(stop(100 + number))
        wanted = replace(good(tmp_path, port, number), effect=effect)
        async with doomed.carrying_out(wanted):
            await asyncio.sleep(moment)
            late += str(number) in marks(tmp_path)
        await executor.deploy(wanted, Printed())
        assert instances(tmp_path) == [str(number)]
        assert marks(tmp_path) == [str(each) for each in range(1, number + 1)]
        if late == 2:
            break
