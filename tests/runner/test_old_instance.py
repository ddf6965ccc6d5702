"""A fixed port: the old instance is stopped first, and runs again if the new one does not become healthy."""

import asyncio
import signal
import socket
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from domain.deployment.step import OldInstance
from domain.spec import CommandCheck, Health, TcpCheck
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process.executor import ProcessExecutor
from runner.targets.process.table import STAMP
from tests.runner.target import ENVIRONMENT, SERVICE, Printed, ask, deploy, fixed_port, server, until
from tests.runner.test_adoption import Doomed, doomed, moments
from tests.runner.test_process import attempt_of

__all__ = ["doomed"]

SOON = Health(check=TcpCheck(), start_period=0.3)


def mark(folder: Path) -> str:
    return f"echo $STAGELINE_DEPLOYMENT_NUMBER >> {folder}/marks; "


def good(folder: Path, port: int, number: int) -> StepRequest:
    return deploy(mark(folder) + server(folder), ports=(port,), number=number)


def bad(folder: Path, port: int, number: int = 2, command: str = "exec sleep 60") -> StepRequest:
    return deploy(mark(folder) + command, ports=(port,), number=number, health=SOON)


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().split()


def instances(folder: Path) -> list[str]:
    """The deployments of the processes that run, shims left aside."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if variables.get(STAMP, "").startswith(str(folder)) and "shim.sh" not in " ".join(process.cmdline()):
                found.append(variables["STAGELINE_DEPLOYMENT_NUMBER"])
    return found


@pytest.fixture
def port() -> int:
    return fixed_port()


async def carry_out(executor: ProcessExecutor, request: StepRequest) -> str | OldInstance | None:
    """Does with a step as the runner does: its failure is followed by the old instance."""
    try:
        await executor.deploy(request, Printed())
    except StepFailed as failure:
        return await executor.restart_old(request) or failure.reason
    return None


async def test_the_old_instance_runs_again_after_a_version_that_does_not_become_healthy(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    assert await carry_out(executor, bad(tmp_path, port)) == OldInstance(number=1, ports=(port,))
    assert await ask(port) == "1"
    assert instances(tmp_path) == ["1"]
    assert await carry_out(executor, bad(tmp_path, port)) == OldInstance(number=1, ports=(port,))
    assert marks(tmp_path) == ["1", "2", "1"]


async def test_the_old_instance_runs_again_after_each_attempt(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    for attempt in (1, 2):
        request = replace(bad(tmp_path, port, command="exit 1"), attempt=attempt)
        assert await carry_out(executor, request) == OldInstance(number=1, ports=(port,))
        assert await ask(port) == "1"
    await executor.deploy(good(tmp_path, port, 3), Printed())
    assert instances(tmp_path) == ["3"]


async def test_the_old_instance_runs_again_after_a_forced_cancellation(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    endless = replace(bad(tmp_path, port), spec=deploy(mark(tmp_path) + "exec sleep 60", ports=(port,)).spec)
    running = asyncio.create_task(carry_out(executor, endless))
    await until(lambda: marks(tmp_path) == ["1", "2"])
    await executor.abort(endless)
    assert await running == OldInstance(number=1, ports=(port,))
    assert await ask(port) == "1"


async def test_a_forced_cancellation_while_the_old_instance_is_stopped_starts_it_again(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    slow = f"trap 'until test -e {tmp_path}/go; do sleep 0.01; done; exit' TERM; {server(tmp_path)[5:]} & wait"
    await executor.deploy(deploy(mark(tmp_path) + slow, ports=(port,), number=1), Printed())
    running = asyncio.create_task(carry_out(executor, good(tmp_path, port, 2)))
    await until(lambda: list(tmp_path.rglob("replaced")))
    await executor.abort(good(tmp_path, port, 2))
    (tmp_path / "go").touch()
    assert await running == OldInstance(number=1, ports=(port,))
    assert marks(tmp_path) == ["1", "1"]


async def test_instances_that_share_files_do_not_run_side_by_side(executor: ProcessExecutor, tmp_path: Path) -> None:
    """As a database does: it refuses to start while another process has its directory."""
    locked = f"exec 9> {tmp_path}/lock; flock -n 9 || exit 3; {server(tmp_path)}"
    (before,) = await executor.deploy(deploy(locked, ports=(0,)), Printed())
    beside = deploy(locked, ports=(0,), number=2)
    assert await carry_out(executor, beside) == "the process ended with exit code 3 before it was healthy"

    request = deploy(locked, ports=(0,), number=3, stop_first=True)
    (after,) = await executor.deploy(request, printed := Printed())
    assert printed.notes == [
        "instances may not run side by side; the old instance is stopped before the new one starts"
    ]
    assert (after != before, await ask(after)) == (True, "3")
    old = await carry_out(executor, deploy("exit 1", ports=(0,), number=4, stop_first=True))
    assert old == OldInstance(number=3, ports=(after,))
    assert await ask(after) == "3"


@pytest.mark.parametrize("start", ["exec", ""], ids=["child", "grandchild"])
async def test_a_killed_instance_is_gone_when_the_next_one_starts(
    executor: ProcessExecutor, tmp_path: Path, start: str
) -> None:
    """As PostgreSQL does: it refuses to start while the process of its lock file is there, even as a zombie."""
    program = tmp_path / "database.sh"
    program.write_text(
        "[ -e pid ] && kill -0 $(cat pid) && echo 'lock file already exists' && exit 1\n"
        "trap '' TERM; echo $$ > pid; exec sleep 60\n"
    )
    up = Health(check=CommandCheck(command="kill -0 $(cat pid)"), start_period=5)
    for number in (1, 2, 3):
        request = deploy(
            f"{start} sh {program}", number=number, directory=str(tmp_path), health=up, stop_grace=0.05, stop_first=True
        )
        await executor.deploy(request, Printed())
    assert len(instances(tmp_path)) <= 2  # with a shell


async def test_an_old_instance_that_does_not_become_healthy_again_says_why(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    (tmp_path / "server.py").unlink()
    problem = "the process ended with exit code 2 before it was healthy"
    assert await carry_out(executor, bad(tmp_path, port)) == OldInstance(number=1, problem=problem)


async def test_an_old_instance_that_is_slow_is_left_running(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    health = Health(check=CommandCheck(command=f"test -e {tmp_path}/up"), start_period=0.2)
    (tmp_path / "up").touch()
    await executor.deploy(deploy("exec sleep 60", ports=(port,), number=1, health=health), Printed())
    (tmp_path / "up").unlink()
    # it does not listen, so that only the record says that it has the port
    old = await carry_out(executor, bad(tmp_path, port))
    reason = f"the check (test -e {tmp_path}/up) ended with exit code 1"
    assert old == OldInstance(number=1, problem=f"not healthy within 0.2 s: {reason}")
    assert instances(tmp_path) == ["1"]


async def test_the_old_instance_runs_again_if_another_port_is_taken(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        two = good(tmp_path, port, 2)
        two = replace(two, spec=replace(two.spec, ports=(port, foreign.getsockname()[1])))
        for _ in range(2):  # the next server hears the same
            assert await carry_out(executor, two) == OldInstance(number=1, ports=(port,))
            assert await ask(port) == "1"
    assert marks(tmp_path) == ["1", "1"]


async def test_an_old_instance_that_was_not_stopped_is_not_started(executor: ProcessExecutor, tmp_path: Path) -> None:
    await executor.deploy(deploy(server(tmp_path), ports=(0,)), Printed())
    reason = await carry_out(executor, deploy("exit 1", ports=(0,), number=2))
    assert reason == "the process ended with exit code 1 before it was healthy"
    assert instances(tmp_path) == ["1"]


async def test_a_new_instance_that_is_healthy_is_not_cancelled_while_the_old_one_ends(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    slow = f"trap 'until test -e {tmp_path}/go; do sleep 0.01; done; exit' TERM; echo > {tmp_path}/up; sleep 60 & wait"
    await executor.deploy(deploy(slow, health=Health(check=CommandCheck(command=f"test -e {tmp_path}/up"))), Printed())
    new = deploy(server(tmp_path), ports=(0,), number=2)
    running = asyncio.create_task(executor.deploy(new, Printed()))
    await until(lambda: ["settled" in record.read_text() for record in tmp_path.rglob("record")] == [True, True])
    await executor.abort(new)
    (tmp_path / "go").touch()
    (port,) = await running
    assert await ask(port) == "2"


async def test_an_instance_of_a_former_version_is_stopped_with_a_warning(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    attempt_of(good(tmp_path, port, 1), tmp_path).folder.joinpath("start").unlink()
    with pytest.raises(StepFailed):
        await executor.deploy(bad(tmp_path, port), printed := Printed())
    [note] = printed.notes
    assert note.endswith("before the new one starts, for good: a former version of Stageline started it")
    assert await executor.restart_old(bad(tmp_path, port)) is None


async def test_the_old_instance_is_started_once_more_after_the_machine_was_restarted(
    executor: ProcessExecutor, tmp_path: Path, port: int
) -> None:
    await executor.deploy(good(tmp_path, port, 1), Printed())
    await carry_out(executor, bad(tmp_path, port))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(STAMP, "").startswith(str(tmp_path)):
                process.send_signal(signal.SIGKILL)
    await until(lambda: not instances(tmp_path))
    assert await carry_out(executor, bad(tmp_path, port)) == OldInstance(number=1, ports=(port,))
    assert await ask(port) == "1"


@pytest.mark.parametrize("is_good", [True, False])
async def test_the_outcome_is_the_same_whenever_the_server_is_killed(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path, port: int, is_good: bool
) -> None:
    old, late = 1, 0
    await executor.deploy(good(tmp_path, port, 1), Printed())
    for new, moment in enumerate(moments(first=0.002, growth=1.35), 2):
        before = len(marks(tmp_path))
        request = good(tmp_path, port, new) if is_good else bad(tmp_path, port, new, "exec sleep 60")
        async with doomed.carrying_out(request):
            await asyncio.sleep(moment)
            late += len(marks(tmp_path)) - before == (1 if is_good else 2)
        outcome = await carry_out(executor, request)
        assert outcome == (None if is_good else OldInstance(number=old, ports=(port,)))
        assert marks(tmp_path)[before:] == ([str(new)] if is_good else [str(new), str(old)])
        old = new if is_good else old
        assert await ask(port) == str(old)
        assert instances(tmp_path) == [str(old)]
        if late == 2:
            break
    await executor.delete(ENVIRONMENT, SERVICE)
    assert instances(tmp_path) == []
