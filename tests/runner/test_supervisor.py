"""Instances after their deployment, over real processes: they end, hang and are killed, and so is their supervisor."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from domain.instance import InstanceExit, InstanceStatus
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import Backoff, CommandCheck, Health, Restart, StopSignal
from runner.log import HIDDEN, ProcessLogs
from runner.targets import health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process import instance, supervisor
from runner.targets.process import start as starts
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.confinement import Confinement
from runner.targets.process.executor import ProcessExecutor
from runner.targets.process.instance import InstanceState, InstanceWatch
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, ask, deploy, fixed_port, job, server, until
from tests.runner.test_adoption import Doomed, doomed
from tests.runner.test_old_instance import instances
from tests.runner.test_process import BEGUN, DAEMON, attempt_of, is_alive
from tests.runner.test_stop import stop

__all__ = ["doomed"]

SOON = Backoff(initial=0.02, max=0.05)
RUN = "echo $$ > pid; echo begun >> begun; "


class Reports:
    """The states of one instance that the supervisor reported, each with the number of its run."""

    def __init__(self) -> None:
        self.states: list[InstanceState] = []

    def __call__(self, watch: InstanceWatch) -> None:
        self.states.append(watch.state)

    @property
    def last(self) -> InstanceState:
        return self.states[-1]

    async def status(self, status: InstanceStatus, exits: int = 0) -> InstanceState:
        await until(lambda: self.states and self.last.status is status and self.last.exits >= exits)
        return self.last


@asynccontextmanager
async def supervised(executor: ProcessExecutor) -> AsyncIterator[Reports]:
    reports = Reports()
    running = asyncio.create_task(executor.supervisor.run(reports))
    try:
        yield reports
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
async def reports(executor: ProcessExecutor) -> AsyncIterator[Reports]:
    async with supervised(executor) as reports:
        yield reports


def service(tmp_path: Path, then: str = "exec sleep 60", **spec: object) -> StepRequest:
    return deploy(RUN + then, **{"directory": str(tmp_path), "health": BEGUN, "restart_backoff": SOON, **spec})


def begun(tmp_path: Path) -> int:
    return len((tmp_path / "begun").read_text().split())


def runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def kill(tmp_path: Path, number: int = signal.SIGKILL) -> None:
    pid = int((tmp_path / "pid").read_text())
    (tmp_path / "pid").unlink()
    os.kill(pid, number)


async def test_an_instance_that_dies_is_started_again(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    await reports.status(InstanceStatus.RUNNING)
    kill(tmp_path)
    state = await reports.status(InstanceStatus.RUNNING, exits=1)
    assert [each.status for each in reports.states][:2] == [InstanceStatus.RUNNING, InstanceStatus.RESTARTING]
    assert state.last is not None
    assert (state.last.code, state.last.signal) == (None, "SIGKILL")
    assert begun(tmp_path) == 2
    assert is_alive(tmp_path / "pid")
    assert attempt_of(request, tmp_path).record.run == 1
    assert "begun" in (tmp_path / "begun").read_text()


@pytest.mark.parametrize(
    ("restart", "code", "status"),
    [
        (Restart.NO, 3, InstanceStatus.EXITED),
        (Restart.ON_FAILURE, 0, InstanceStatus.EXITED),
        (Restart.ON_FAILURE, 3, InstanceStatus.RUNNING),
        (Restart.ALWAYS, 0, InstanceStatus.RUNNING),
    ],
)
async def test_the_policy_says_which_ends_are_followed_by_a_start(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path, restart: Restart, code: int, status: InstanceStatus
) -> None:
    until_end = f"until [ -e end ]; do sleep 0.01; done; rm end; exit {code}"
    await executor.deploy(service(tmp_path, until_end, restart=restart), Printed())
    (tmp_path / "end").touch()
    state = await reports.status(status, exits=1)
    assert state.last is not None
    assert (state.last.code, state.last.signal) == (code, None)
    await until(lambda: begun(tmp_path) == (1 if status is InstanceStatus.EXITED else 2))


async def test_an_instance_that_ends_again_and_again_is_given_up(executor: ProcessExecutor, tmp_path: Path) -> None:
    async with supervised(executor) as reports:
        await executor.deploy(service(tmp_path, "sleep 0.2; exit 1", restart_limit=3), Printed())
        state = await reports.status(InstanceStatus.GIVEN_UP)
        assert (state.exits, begun(tmp_path)) == (4, 4)
    async with supervised(executor) as later:
        assert (await later.status(InstanceStatus.GIVEN_UP)).exits == 4
    assert begun(tmp_path) == 4


async def test_the_waits_between_restarts_grow(executor: ProcessExecutor, reports: Reports, tmp_path: Path) -> None:
    backoff = Backoff(initial=0.1, factor=3.0, max=0.3)
    run = "until [ -e end ]; do sleep 0.01; done; exit 1"
    moments: list[float] = []
    await executor.deploy(service(tmp_path, run, restart_backoff=backoff, restart_limit=3), Printed())
    (tmp_path / "end").touch()
    for number in range(2, 5):
        await until(lambda: begun(tmp_path) >= number)  # noqa: B023
        moments.append(time.monotonic())
    assert [after - before > 0.25 for before, after in pairwise(moments)] == [True, True]


async def test_restarts_outside_the_window_do_not_count(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    request = service(tmp_path, "sleep 0.1; exit 1", restart_limit=1, restart_window=0.05)
    await executor.deploy(request, Printed())
    assert (await reports.status(InstanceStatus.RESTARTING, exits=4)).recent


async def test_a_service_that_is_stopped_or_replaced_is_not_started_again(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    async with supervised(executor) as reports:
        await executor.deploy(service(tmp_path), Printed())
        old = int((tmp_path / "pid").read_text())
        (tmp_path / "pid").unlink()
        await executor.deploy(service(tmp_path, number=2), Printed())
        assert not runs(old)
    async with supervised(executor) as later:
        await later.status(InstanceStatus.RUNNING)
        await executor.delete(ENVIRONMENT, SERVICE)
        await executor.deploy(service(tmp_path, service=OTHER), Printed())
        await until(lambda: len(later.states) == 2)
    assert begun(tmp_path) == 3
    assert {state.status for state in reports.states + later.states} == {InstanceStatus.RUNNING}


async def test_neither_a_job_nor_a_service_that_never_was_healthy_is_watched(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    await executor.deploy(job("true"), Printed())
    never = Health(check=CommandCheck(command="false"), start_period=0.05)
    with pytest.raises(StepFailed, match="not healthy"):
        await executor.deploy(service(tmp_path, number=2, health=never), Printed())
    healthy = service(tmp_path, service=OTHER)
    await executor.deploy(healthy, Printed())
    async with supervised(executor) as reports:
        state = await reports.status(InstanceStatus.RUNNING)
    assert reports.states == [state]
    assert instance.read(attempt_of(healthy, tmp_path).folder) == state


async def test_an_instance_that_fails_its_checks_is_started_again(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    health = Health(check=CommandCheck(command="echo . >> tries; test -s pid -a ! -e sick"), watch=0.02, failures=3)
    await executor.deploy(service(tmp_path, "rm -f sick; exec sleep 60", health=health), Printed())
    (tmp_path / "sick").touch()
    await reports.status(InstanceStatus.RUNNING, exits=1)
    assert begun(tmp_path) == 2
    unhealthy = next(state for state in reports.states if state.status is InstanceStatus.UNHEALTHY)
    assert "ended with exit code 1" in (unhealthy.problem or "")


async def test_one_failed_check_is_not_enough_and_without_a_restart_it_recovers(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    check = "test -s pid && { [ ! -e sick ] || { echo >> failed; exit 1; }; }"
    health = Health(check=CommandCheck(command=check), watch=0.02, failures=3)
    await executor.deploy(service(tmp_path, health=health, restart=Restart.NO), Printed())
    (tmp_path / "sick").touch()
    await reports.status(InstanceStatus.UNHEALTHY)
    assert len((tmp_path / "failed").read_text()) >= 3
    (tmp_path / "sick").unlink()
    await reports.status(InstanceStatus.RUNNING)
    assert (begun(tmp_path), reports.last.exits) == (1, 0)


def test_checks_of_many_instances_begin_at_the_same_moments_and_stay_as_far_apart() -> None:
    moments = set[float]()
    for begun in (100.0, 100.26, 100.49):  # found one after another
        now = begun
        for _ in range(3):
            now += health.to_beat(30.0, now) + 0.003  # the time of a check
            moments.add(round(now - 0.003, 6))
    assert moments == {130.0, 160.0, 190.0}
    assert health.to_beat(9.99, 100.26) == 9.99


async def test_a_daemon_of_an_instance_that_ended_is_ended_before_the_next_start(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    """It may have the port of the service."""
    import_daemon = tmp_path / "daemon.py"
    import_daemon.write_text(DAEMON)
    run = f"rm -f daemon; python3 -IS {import_daemon} daemon; exec sleep 60"
    await executor.deploy(
        service(tmp_path, run, health=Health(check=CommandCheck(command="test -s daemon"))), Printed()
    )
    first = int((tmp_path / "daemon").read_text())
    kill(tmp_path)
    await reports.status(InstanceStatus.RUNNING, exits=1)
    await until(lambda: is_alive(tmp_path / "daemon") and int((tmp_path / "daemon").read_text()) != first)
    assert not runs(first)


async def test_an_instance_has_its_port_again(executor: ProcessExecutor, reports: Reports, tmp_path: Path) -> None:
    (port,) = await executor.deploy(
        deploy(f"cd {tmp_path}; {RUN}{server(tmp_path)}", ports=(0,), restart_backoff=SOON), Printed()
    )
    kill(tmp_path)
    await reports.status(InstanceStatus.RUNNING, exits=1)
    assert await ask(port) == "1"


async def test_a_port_that_another_process_has_is_waited_for_and_named(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    port = fixed_port()
    limits = {"restart_backoff": Backoff(initial=0.3, max=0.3), "restart_limit": 50}
    request = deploy(f"cd {tmp_path}; {RUN}{server(tmp_path)}", ports=(port,), **limits)
    await executor.deploy(request, Printed())
    kill(tmp_path)
    await reports.status(InstanceStatus.RESTARTING)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
        await until(lambda: reports.last.problem == f"port {port} is in use by another process")
    await reports.status(InstanceStatus.RUNNING, exits=1)
    assert reports.last.problem is None


async def test_a_service_that_ignores_its_signal_is_killed_after_its_grace(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    deaf = "trap '' TERM; touch ready; while :; do sleep 0.05; done"
    health = Health(check=CommandCheck(command="test -e ready -a ! -e sick"), watch=0.02, failures=1)
    await executor.deploy(service(tmp_path, deaf, health=health, stop_grace=0.2), Printed())
    (tmp_path / "sick").touch()
    await reports.status(InstanceStatus.RESTARTING, exits=1)
    (tmp_path / "sick").unlink()
    await reports.status(InstanceStatus.RUNNING, exits=1)
    assert begun(tmp_path) == 2


@pytest.mark.parametrize("number", list(StopSignal))
async def test_a_service_gets_the_signal_of_its_specification(
    executor: ProcessExecutor, tmp_path: Path, number: StopSignal
) -> None:
    trap = f"trap 'echo {number} > got; exit' {number}; : > ready; while :; do :; done"
    ready = Health(check=CommandCheck(command="test -e ready"))
    request = service(tmp_path, trap, stop_signal=number, health=ready)
    await executor.deploy(request, Printed())
    await executor.delete(ENVIRONMENT, SERVICE)
    assert (tmp_path / "got").read_text() == f"{number}\n"


async def test_a_service_gets_its_signal_although_the_server_was_started_to_ignore_it(tmp_path: Path) -> None:
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as below nohup
    try:
        executor = ProcessExecutor(tmp_path / "data")
        trap = "trap 'echo HUP > got; exit' HUP; : > ready; while :; do :; done"
        ready = Health(check=CommandCheck(command="test -e ready"))
        await executor.deploy(service(tmp_path, trap, stop_signal=StopSignal.HUP, health=ready), Printed())
        os.kill(os.getpid(), signal.SIGHUP)  # this process goes on to ignore it
        await executor.delete(ENVIRONMENT, SERVICE)
        assert (tmp_path / "got").read_text() == "HUP\n"
    finally:
        signal.signal(signal.SIGHUP, usual)


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
async def test_a_step_of_the_wall_clock_changes_no_wait_and_no_window(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Waits and windows are monotonic; only the times that people read are the wall clock's."""
    real = time.time
    async with supervised(executor) as reports:
        await executor.deploy(service(tmp_path, restart_limit=2), Printed())
        monkeypatch.setattr(time, "time", lambda: real() + step)
        for exits in (1, 2):
            kill(tmp_path)
            await reports.status(InstanceStatus.RUNNING, exits)
        kill(tmp_path)
        await reports.status(InstanceStatus.GIVEN_UP)


# Crashes


async def test_an_instance_that_ends_while_no_supervisor_runs_is_started_by_the_next_one(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    kill(tmp_path)
    await until(lambda: not attempt_of(request, tmp_path).is_running)
    async with supervised(executor) as reports:
        await reports.status(InstanceStatus.RUNNING, exits=1)
    assert begun(tmp_path) == 2


async def test_everything_is_started_again_after_a_restart_of_the_machine(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    """All processes vanish at once, shims included, and none leaves an exit code."""
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    group = attempt_of(request, tmp_path).record.pid
    assert group is not None
    (tmp_path / "pid").unlink()
    os.killpg(group, signal.SIGKILL)
    await until(lambda: not attempt_of(request, tmp_path).is_running)
    async with supervised(ProcessExecutor(tmp_path / "data")) as reports:
        state = await reports.status(InstanceStatus.RUNNING, exits=1)
    assert state.last is not None
    assert (state.last.code, state.last.signal, begun(tmp_path)) == (None, None, 2)


async def test_a_service_whose_shim_was_killed_is_started_again_and_runs_once(
    executor: ProcessExecutor, reports: Reports, tmp_path: Path
) -> None:
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    first = int((tmp_path / "pid").read_text())
    shim = attempt_of(request, tmp_path).record.pid
    assert shim is not None
    (tmp_path / "pid").unlink()
    os.kill(shim, signal.SIGKILL)
    await reports.status(InstanceStatus.RUNNING, exits=1)
    assert not runs(first)
    assert begun(tmp_path) == 2


async def test_a_service_that_was_stopped_stays_stopped_when_its_supervisor_is_killed_and_another_follows(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path
) -> None:
    """The other service ends later, so the stopped one would be started again earlier."""
    for name in ("stopped", "other"):
        (tmp_path / name).mkdir()
    await executor.deploy(service(tmp_path / "stopped"), Printed())
    async with doomed.carrying_out(stop(2)):
        await until(lambda: not instances(tmp_path))
    await executor.stop(stop(2))
    await executor.deploy(service(tmp_path / "other", service=OTHER), Printed())
    async with supervised(ProcessExecutor(tmp_path / "data")) as reports:
        await reports.status(InstanceStatus.RUNNING)
        kill(tmp_path / "other")
        await reports.status(InstanceStatus.RUNNING, exits=1)
    assert len({state.id for state in reports.states}) == 1
    assert (begun(tmp_path / "stopped"), begun(tmp_path / "other"), instances(tmp_path)) == (1, 2, ["1"])


class Crash(BaseException):
    """The end of a supervisor."""


@contextmanager
def crashing_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let each write of a state and each begin of a run fail from the one with the number *count* on."""
    done: list[str] = []
    write, begin = starts.write, starts.begin

    def limited(name: str, call: object) -> object:
        def wrapped(*arguments: object, **options: object) -> None:
            if len(done) >= count:
                raise Crash
            done.append(name)
            call(*arguments, **options)  # type: ignore[operator]

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(starts, "write", limited("write", write))
        patch.setattr(starts, "begin", limited("begin", begin))
        yield done


@pytest.mark.parametrize("count", range(5))
async def test_a_supervisor_that_ends_at_any_moment_is_followed_by_one_that_counts_once(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    attempt = attempt_of(request, tmp_path)
    start = starts.read(attempt.folder / starts.OWN)
    assert start is not None
    watch = InstanceWatch(attempt, start, Confinement(), lambda _: None)
    kill(tmp_path)
    await until(lambda: not attempt.is_running)
    with crashing_after(count, monkeypatch) as done:
        running = asyncio.create_task(watch.run())
        with suppress(asyncio.TimeoutError, Crash):
            async with asyncio.timeout(1):
                await running
    assert done == ["write", "write", "begin", "write"][:count]
    async with supervised(executor) as reports:
        state = await reports.status(InstanceStatus.RUNNING, exits=1)
        await until(lambda: begun(tmp_path) == 2)  # without a check it runs before its command has begun
    assert (state.exits, attempt.record.run) == (1, 1)


async def test_one_worker_of_a_machine_supervises_and_another_takes_over(
    tmp_path: Path, executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOCK_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LOOK", 0.01)
    await executor.deploy(service(tmp_path), Printed())
    async with supervised(ProcessExecutor(tmp_path / "data")) as second:
        async with supervised(executor):
            pass
        await second.status(InstanceStatus.RUNNING)
        async with supervised(executor) as third:
            await executor.deploy(service(tmp_path, number=2, service=ENVIRONMENT), Printed())
            await until(lambda: len(second.states) == 2)
            assert third.states == []
        kill(tmp_path)
        await second.status(InstanceStatus.RUNNING, exits=1)


async def test_a_running_instance_of_a_former_version_is_watched(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = service(tmp_path)
    await executor.deploy(request, Printed())
    (attempt_of(request, tmp_path).folder / instance.FILE).unlink()
    async with supervised(executor) as reports:
        await reports.status(InstanceStatus.RUNNING)
        kill(tmp_path)
        await reports.status(InstanceStatus.RUNNING, exits=1)


def test_an_exit_without_a_code_has_only_its_time() -> None:
    record = ProcessAttempt(Path("/nowhere")).record
    exit_ = instance._exit(record, ProcessAttempt(Path("/nowhere")))
    assert exit_ == InstanceExit(at=exit_.at)


async def test_a_restarted_instance_has_its_secrets_and_its_output_and_problems_show_none(tmp_path: Path) -> None:
    secret = "s3cret-value"

    async def opened(request: StepRequest) -> StepRequest:
        assert request.needs_secrets
        return replace(hidden, needs_secrets=True)

    async def here(_: object) -> None:
        return None

    run = f"{RUN}echo told {secret}; echo {secret} > got; exec sleep 60"
    plain = service(tmp_path, run)
    hidden = replace(plain, secrets=(secret,), shown=replace(plain.spec, run=run.replace(secret, "***")))
    executor = ProcessExecutor(tmp_path / "data", open_secrets=opened)
    try:
        async with supervised(executor) as reports:
            await executor.deploy(hidden, Printed())
            await until(lambda: (tmp_path / "got").exists())
            kill(tmp_path)
            (tmp_path / "got").unlink()
            await reports.status(InstanceStatus.RUNNING, exits=1)
            await until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_text() == f"{secret}\n")
        folder = attempt_of(hidden, tmp_path).folder
        assert [each.name for each in folder.iterdir() if secret in each.read_text()] == ["log"]
        logs = ProcessLogs(tmp_path / "data", here, opened)
        read = await logs.last(EnvironmentId(ENVIRONMENT), ServiceId(SERVICE), 9, None)
        assert [line for line in read.lines if line.startswith("told")] == ["told ***", "told ***"]
        later = await logs.after(EnvironmentId(ENVIRONMENT), ServiceId(SERVICE), f"{folder.name}@0")
        assert later.lines == read.lines
        assert later.cursor == read.cursor
    finally:
        await executor.sweep(())


async def test_output_whose_secrets_are_gone_is_hidden(executor: ProcessExecutor, tmp_path: Path) -> None:
    async def gone(_: StepRequest) -> StepRequest:
        raise StepFailed("it was deleted")

    async def here(_: object) -> None:
        return None

    plain = service(tmp_path, "echo told s3cret-value; exec sleep 60")
    await executor.deploy(replace(plain, secrets=("s3cret-value",)), Printed())
    logs = ProcessLogs(tmp_path / "data", here, gone)
    read = await logs.last(EnvironmentId(ENVIRONMENT), ServiceId(SERVICE), 9, None)
    assert read.lines == (HIDDEN,)
