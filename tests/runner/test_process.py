"""Services as processes of this machine: built, deployed, replaced, stopped."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from uuid import UUID

import psutil
import pytest
from msgspec.structs import replace

from domain.spec import CommandCheck, Health, TcpCheck, Variable
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process import attempt, file, table
from runner.targets.process import executor as executors
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, ask, build, deploy, fixed_port, job, server, until

DAEMON = """
import os, sys, time
if os.fork():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open("writing", "w") as file:
    file.write(str(os.getpid()))
os.rename("writing", sys.argv[1])
time.sleep(60)
"""
"""A program that leaves a daemon, and writes its number into the file in the argument."""

PARENT = """
import os, signal, socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", int(sys.argv[1])))
ready, begin = os.pipe()
child = os.fork()
if child:
    server.close()
    with open("child", "w") as file:
        file.write(str(child))
    signal.signal(signal.SIGTERM, lambda *_: (os.kill(child, signal.SIGTERM), os._exit(0)))
    os.write(begin, b"1")
    time.sleep(60)
os.setsid()
def end(*_):
    time.sleep(1)
    with open("ended", "a") as file:
        file.write("child\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.read(ready, 1)
server.listen()
time.sleep(60)
"""
"""A server whose child listens in a session of its own, and takes a second to end."""

BEGUN = Health(check=CommandCheck(command="test -s pid"))


def attempt_of(request: StepRequest, tmp_path: Path) -> ProcessAttempt:
    service = tmp_path / "data" / "processes" / str(request.environment) / str(request.service)
    return ProcessAttempt(service / f"{request.deployment}.{request.phase.lower()}.{request.attempt}")


def is_alive(file: Path) -> bool:
    """Whether the process is whose number is, or is going to be, in *file*."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        return psutil.Process(int(file.read_text())).status() != psutil.STATUS_ZOMBIE
    return False


async def failure(asked: object) -> str:
    with pytest.raises(StepFailed) as failed:
        await asked  # type: ignore[misc]
    return failed.value.reason


# Builds


async def test_a_build_runs_its_commands_in_order_in_the_directory(executor: ProcessExecutor, tmp_path: Path) -> None:
    printed = Printed()
    await executor.build(build("pwd", "echo two; echo three >&2", directory=str(tmp_path)), printed)
    assert printed.lines == [str(tmp_path), "two", "three"]


async def test_a_build_that_fails_says_which_command_did(executor: ProcessExecutor) -> None:
    printed = Printed()
    reason = await failure(executor.build(build("echo one", "echo two; exit 7", "echo three"), printed))
    assert reason == "build command 2 (echo two; exit 7) ended with exit code 7"
    assert printed.lines == ["one", "two"]


async def test_a_build_that_takes_too_long_is_stopped(executor: ProcessExecutor, tmp_path: Path) -> None:
    commands = "true", "echo $$ > pid; echo begun; sleep 60"
    printed = Printed()
    begun = asyncio.create_task(executor.build(build(*commands, directory=str(tmp_path)), printed))
    await until(lambda: "begun" in printed.lines)
    begun.cancel()  # does not stop it
    await asyncio.wait([begun])
    reason = await failure(executor.build(build(*commands, directory=str(tmp_path), build_timeout=0.01), printed))
    assert re.fullmatch(r"timeout after 0.01 s: build command 2 \(echo \$\$ .* sleep 60\) was stopped", reason)
    assert printed.lines[0] == "begun"
    assert not is_alive(tmp_path / "pid")


async def test_all_that_a_step_prints_is_handed_over_in_order(executor: ProcessExecutor) -> None:
    printed = Printed()
    await executor.build(build("seq 20000", "printf 'no end of line'"), printed)
    assert printed.lines == [*map(str, range(1, 20_001)), "no end of line"]


async def test_what_a_build_leaves_running_is_stopped(executor: ProcessExecutor, tmp_path: Path) -> None:
    await executor.build(build("sleep 60 & echo $! > pid", directory=str(tmp_path)), Printed())
    assert not is_alive(tmp_path / "pid")


async def test_a_directory_that_is_not_there_is_named(executor: ProcessExecutor, tmp_path: Path) -> None:
    reason = await failure(executor.build(build("true", directory=str(tmp_path / "gone")), Printed()))
    assert reason == f"directory {tmp_path / 'gone'} does not exist"


async def test_a_step_knows_what_it_is_of_and_none_of_our_secrets(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAGELINE_TOKEN", "STAGELINE_TOKEN_FILE", "STAGELINE_DATABASE", "PGPASSWORD", "PGPASSFILE"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ours")  # a service would take it for its own
    monkeypatch.setenv("PORT", "8000")
    monkeypatch.setenv("LANGUAGE", "en")
    printed = Printed()
    await executor.build(build("env", number=4, env=(Variable(name="LANGUAGE", value="fr"),)), printed)
    own = {line for line in printed.lines if line.startswith(("STAGELINE_", "PORT", "LANGUAGE=", "DATABASE_URL", "PG"))}
    assert {line for line in own if not line.startswith("STAGELINE_STEP=")} == {
        "LANGUAGE=fr",
        f"STAGELINE_ENVIRONMENT={ENVIRONMENT}",
        f"STAGELINE_DEPLOYMENT={UUID(int=104)}",
        "STAGELINE_DEPLOYMENT_NUMBER=4",
        "STAGELINE_SERVICE=api",
        f"STAGELINE_SERVICE_ID={SERVICE}",
        "STAGELINE_ATTEMPT=1",
    }


async def test_a_step_has_the_limit_of_open_files_that_the_server_was_started_with(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "OPEN_FILES", 200)
    printed = Printed()
    await executor.build(build("ulimit -S -n"), printed)
    assert printed.lines == ["200"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_what_is_kept_of_an_attempt_is_its_owners_alone_and_its_processes_have_the_users_umask(
    executor: ProcessExecutor, tmp_path: Path, umask: int
) -> None:
    request = build("umask; touch made", directory=str(tmp_path))
    service = attempt_of(request, tmp_path).folder.parent
    service.mkdir(parents=True, mode=0o755)
    kept = os.umask(umask)
    try:
        await executor.build(request, printed := Printed())
    finally:
        os.umask(kept)
    modes = {path.name: S_IMODE(path.stat().st_mode) for path in service.rglob("*")}
    assert modes == {attempt_of(request, tmp_path).folder.name: 0o700, "record": 0o600, "log": 0o600}
    assert printed.lines == [f"{umask:04o}"]
    assert S_IMODE((tmp_path / "made").stat().st_mode) == 0o666 & ~umask


async def test_the_folders_above_an_attempt_are_their_owners_alone(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = build("true")
    kept = os.umask(0)
    try:
        await executor.abort(request)  # it leaves why
        await executor.build(replace(request, attempt=2), Printed())
    finally:
        os.umask(kept)
    made = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert {path.is_dir(): S_IMODE(path.stat().st_mode) for path in made} == {True: 0o700, False: 0o600}


async def test_a_step_has_no_file_of_ours_open(executor: ProcessExecutor, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    with secret.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        request = build("ls -l /proc/$$/fd; true", directory=str(tmp_path))
        await executor.build(request, printed := Printed())
    opened = {line.partition(" -> ")[2] for line in printed.lines if " -> " in line}
    assert opened == {"/dev/null", str(attempt_of(request, tmp_path).log)}


# Jobs


async def test_a_job_has_succeeded_when_it_ends_with_0(executor: ProcessExecutor) -> None:
    printed = Printed()
    assert await executor.deploy(job("echo done"), printed) == ()
    assert printed.lines == ["done"]


@pytest.mark.parametrize(
    ("command", "timeout", "reason"),
    [
        ("exit 3", 60, "the job ended with exit code 3"),
        ("kill -KILL $$", 60, "the job ended with exit code 137 (SIGKILL)"),
        ("sleep 60", 0.2, "timeout after 0.2 s: the job was stopped"),
    ],
)
async def test_a_job_that_fails_says_how(executor: ProcessExecutor, command: str, timeout: float, reason: str) -> None:
    assert await failure(executor.deploy(job(command, deploy_timeout=timeout), Printed())) == reason


async def test_nothing_that_has_ended_stays_a_zombie(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = job("true")
    await executor.deploy(request, Printed())
    shim = attempt_of(request, tmp_path).record.pid or 0
    await until(lambda: not psutil.pid_exists(shim))


# Services


async def test_a_new_instance_takes_over_without_a_gap(executor: ProcessExecutor, tmp_path: Path) -> None:
    command = server(tmp_path)
    (old,) = await executor.deploy(deploy(command, ports=(0,)), Printed())
    started = asyncio.create_task(executor.deploy(deploy(command, ports=(0,), number=2), Printed()))
    seen = attempt_of(deploy("", number=2), tmp_path)
    answers = set()
    while not started.done():
        ports = [old, *seen.record.ports]
        found = [await answer(port) for port in ports]
        assert set(found) - {None}, "nobody answers"
        answers |= {tuple(found)}
    (new,) = await started
    assert await answer(new) == "2"
    assert await answer(old) is None
    assert ("1",) in answers


async def answer(port: int) -> str | None:
    with suppress(OSError):
        return await ask(port)
    return None


async def test_one_that_does_not_come_up_is_stopped_and_the_old_one_serves_on(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    (old,) = await executor.deploy(deploy(server(tmp_path), ports=(0,)), Printed())
    never = deploy(
        "exec sleep 60",
        number=2,
        directory=str(tmp_path),
        ports=(0,),
        health=Health(check=TcpCheck(), start_period=0.3),
    )
    reason = await failure(executor.deploy(never, Printed()))
    port = attempt_of(never, tmp_path).record.ports[0]
    assert reason == f"not healthy within 0.3 s: connection refused on port {port}"
    assert not attempt_of(never, tmp_path).is_alive_in(table.read())
    assert await ask(old) == "1"
    assert await failure(executor.deploy(never, Printed())) == reason


async def test_an_instance_that_has_lost_its_shim_makes_way_too(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = deploy(server(tmp_path), ports=(0,))
    (port,) = await executor.deploy(request, Printed())
    os.kill(attempt_of(request, tmp_path).record.pid or 0, signal.SIGKILL)
    await until(lambda: not attempt_of(request, tmp_path).is_running)
    assert await ask(port) == "1"
    await executor.deploy(deploy(server(tmp_path), ports=(port,), number=2), Printed())
    assert await ask(port) == "2"


async def test_a_port_that_is_somebody_elses_is_not_fought_for(executor: ProcessExecutor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        request = deploy("touch begun", directory=str(tmp_path), ports=(port,))
        assert await failure(executor.deploy(request, Printed())) == f"port {port} is in use by another process"
    assert not (tmp_path / "begun").exists()


async def test_what_is_long_over_is_forgotten(executor: ProcessExecutor, tmp_path: Path) -> None:
    works = [build("true"), job("true"), build("true", number=2), build("true", number=3)]
    await executor.build(works[0], Printed())
    await executor.deploy(works[1], Printed())
    assert [attempt_of(each, tmp_path).folder.exists() for each in works] == [True, True, False, False]
    await executor.build(works[2], Printed())
    assert [attempt_of(each, tmp_path).folder.exists() for each in works] == [False, False, True, False]


# Unchanged


async def test_the_known_instance_is_checked_once(executor: ProcessExecutor, tmp_path: Path) -> None:
    up = Health(check=CommandCheck(command="test -e up"))
    (tmp_path / "up").touch()
    first = deploy("exec sleep 60", directory=str(tmp_path), health=up)
    again = replace(first, deployment=UUID(int=7), known=first.deployment)
    await executor.deploy(first, Printed())
    assert await executor.is_healthy(again)
    (tmp_path / "up").unlink()
    assert not await executor.is_healthy(again)


async def test_the_known_instance_does_not_count_once_its_successor_has_begun(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    first = deploy("exec sleep 60")
    again = replace(first, deployment=UUID(int=7), known=first.deployment)
    await executor.deploy(first, Printed())
    await executor.abort(again)
    assert not await executor.is_healthy(again)


async def test_a_server_after_a_crash_copies_the_rest_of_a_healthy_services_output(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    """The crash was between the record that the service is healthy and the copy of its last lines."""
    request = deploy("echo begun; echo $$ > pid; sleep 60", directory=str(tmp_path), health=BEGUN)
    await executor.deploy(request, Printed())
    assert attempt_of(request, tmp_path).record.is_settled
    printed = Printed()
    await ProcessExecutor(tmp_path / "data").deploy(request, printed)
    assert printed.lines == ["begun"]


async def test_an_old_instance_that_was_started_again_is_known(executor: ProcessExecutor, tmp_path: Path) -> None:
    first = deploy(server(tmp_path), ports=(fixed_port(),))
    await executor.deploy(first, Printed())
    broken = replace(deploy("exit 1", number=2), spec=replace(first.spec, run="exit 1"))
    await failure(executor.deploy(broken, Printed()))
    await executor.restart_old(broken)
    third = deploy(server(tmp_path), ports=first.spec.ports, number=3)
    assert await executor.is_healthy(replace(third, known=first.deployment))


# Stopping


async def test_an_aborted_step_is_stopped_after_its_last_words(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = build("trap 'echo bye; exit' TERM; echo $$ > pid; while :; do :; done", directory=str(tmp_path))
    watching = asyncio.create_task(executor.build(request, printed := Printed()))
    await until(lambda: is_alive(tmp_path / "pid"))
    await executor.abort(request)
    assert await failure(watching) == "it was cancelled"
    assert printed.lines[-1] == "bye"
    assert not is_alive(tmp_path / "pid")


async def test_to_stop_watching_stops_nothing(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = build("echo $$ > pid; until test -e go; do sleep 0.01; done; echo done", directory=str(tmp_path))
    watching = asyncio.create_task(executor.build(request, Printed()))
    await until(lambda: is_alive(tmp_path / "pid"))
    watching.cancel()
    await asyncio.wait([watching])
    assert is_alive(tmp_path / "pid")
    (tmp_path / "go").touch()
    await executor.build(request, printed := Printed())
    assert printed.lines == ["done"]


async def test_what_does_not_listen_is_killed(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = "trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done"
    await executor.deploy(deploy(stubborn, directory=str(tmp_path), health=BEGUN, stop_grace=0.1), Printed())
    await executor.delete(ENVIRONMENT, SERVICE)
    assert not is_alive(tmp_path / "pid")


async def test_a_service_has_its_grace_to_stop(executor: ProcessExecutor, tmp_path: Path) -> None:
    tidy = "trap 'sleep 1; touch tidied; exit' TERM; echo $$ > pid; while :; do :; done"
    await executor.deploy(deploy(tidy, directory=str(tmp_path), health=BEGUN, stop_grace=30), Printed())
    await executor.delete(ENVIRONMENT, SERVICE)
    assert (tmp_path / "tidied").exists()
    assert not is_alive(tmp_path / "pid")


async def test_the_next_instance_waits_for_children_in_sessions_of_their_own_and_their_port(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    """As PostgreSQL's: the parent ends at once, a child has the port for a while longer and is named otherwise."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "parent.py").write_text(PARENT)
    command = f"exec {sys.executable} -IS {tmp_path / 'parent.py'} {port}"
    health = Health(check=TcpCheck(), start_period=20)
    for number in (1, 2):
        request = deploy(command, number=number, directory=str(tmp_path), ports=(port,), health=health)
        assert await executor.deploy(request, Printed()) == (port,)
    await executor.delete(ENVIRONMENT, SERVICE)
    assert (tmp_path / "ended").read_text() == "child\nchild\n"
    assert not is_alive(tmp_path / "child")


async def test_daemons_in_sessions_of_their_own_are_stopped_with_the_service(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    daemon = f"{sys.executable} -IS {tmp_path / 'daemon.py'} pid"
    await executor.deploy(deploy(f"{daemon}; exec sleep 60", directory=str(tmp_path), health=BEGUN), Printed())
    assert is_alive(tmp_path / "pid")
    await executor.delete(ENVIRONMENT, SERVICE)
    assert not is_alive(tmp_path / "pid")


async def test_daemons_that_a_build_or_a_failed_job_leaves_are_stopped(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    daemon = f"{sys.executable} -IS {tmp_path / 'daemon.py'}"
    await executor.build(build(f"{daemon} built", directory=str(tmp_path)), Printed())
    assert not is_alive(tmp_path / "built")
    await failure(executor.deploy(job(f"{daemon} failed; exit 3", directory=str(tmp_path)), Printed()))
    assert not is_alive(tmp_path / "failed")
    assert int((tmp_path / "failed").read_text()) > 0


async def test_a_service_whose_folder_was_deleted_is_stopped(executor: ProcessExecutor, tmp_path: Path) -> None:
    ending = "trap 'echo in order > end; exit' TERM"
    request = job(f"{ending}; echo $$ > pid; while :; do sleep 0.01; done", directory=str(tmp_path))
    running = asyncio.create_task(failure(executor.deploy(request, Printed())))
    await until(lambda: is_alive(tmp_path / "pid"))
    shutil.rmtree(attempt_of(request, tmp_path).folder)
    await executor.abort(request)
    assert await running == "it was cancelled"
    assert not is_alive(tmp_path / "pid")
    assert (tmp_path / "end").read_text() == "in order\n"


@pytest.mark.parametrize("is_swept", [True, False])
async def test_the_processes_of_a_service_are_found_by_their_mark_when_its_folder_is_gone(
    executor: ProcessExecutor, tmp_path: Path, is_swept: bool
) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    daemon = f"{sys.executable} -IS {tmp_path / 'daemon.py'} pid"
    request = deploy(f"{daemon}; echo $$ > shell; exec sleep 60", directory=str(tmp_path), health=BEGUN)
    await executor.deploy(request, Printed())
    shutil.rmtree(attempt_of(request, tmp_path).folder.parent)
    await executor.sweep([SERVICE])
    assert is_alive(tmp_path / "pid")
    await (executor.sweep([]) if is_swept else executor.delete(ENVIRONMENT, SERVICE))
    assert not is_alive(tmp_path / "pid")


async def test_a_daemon_that_a_health_check_leaves_is_stopped_with_the_service(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    check = Health(check=CommandCheck(command=f"{sys.executable} -IS {tmp_path / 'daemon.py'} pid"))
    await executor.deploy(deploy("exec sleep 60", directory=str(tmp_path), health=check), Printed())
    assert is_alive(tmp_path / "pid")
    await executor.delete(ENVIRONMENT, SERVICE)
    assert not is_alive(tmp_path / "pid")


async def test_a_log_that_was_deleted_during_a_job_does_no_harm(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = job("echo one; until test -e go; do sleep 0.01; done; echo two", directory=str(tmp_path))
    running = asyncio.create_task(executor.deploy(request, printed := Printed()))
    await until(lambda: printed.lines == ["one"])
    (attempt_of(request, tmp_path).log).unlink()
    (tmp_path / "go").touch()
    await running


@pytest.mark.long
async def test_the_log_of_a_service_is_rotated(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "MAX_LOG", 10_000)
    monkeypatch.setattr(executors, "ROTATION", 0.01)
    printing = "echo $$ > pid; n=0; while :; do n=$((n + 1)); echo line $n; sleep 0.001; done"
    request = deploy(printing, directory=str(tmp_path), health=BEGUN)
    await executor.deploy(request, Printed())
    log = attempt_of(request, tmp_path).log
    keeping = asyncio.create_task(executor.keep_logs_small())
    try:
        before = ""
        for _ in range(3):
            await until(lambda: (old := log.with_name("log.1")).exists() and old.read_text() != before)  # noqa: B023
            old = log.with_name("log.1")
            before = old.read_text()
            assert old.stat().st_size <= 20_000
            assert S_IMODE(old.stat().st_mode) == 0o600
        assert log.stat().st_size < 1_000_000
    finally:
        keeping.cancel()
    await executor.delete(ENVIRONMENT, SERVICE)


async def test_what_runs_is_told_with_its_name_and_group(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = deploy("echo $$ > pid; exec sleep 60", directory=str(tmp_path), health=BEGUN)
    await executor.deploy(request, Printed())
    [running] = executor.running()
    assert running.name == "api"
    assert os.getpgid(int((tmp_path / "pid").read_text())) == running.pid
    await executor.delete(ENVIRONMENT, SERVICE)
    assert executor.running() == []


async def test_what_outlives_its_shim_is_stopped_with_the_service(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = deploy("echo $$ > pid; exec sleep 60", directory=str(tmp_path), health=BEGUN)
    await executor.deploy(request, Printed())
    os.kill(attempt_of(request, tmp_path).record.pid or 0, signal.SIGKILL)
    await until(lambda: not attempt_of(request, tmp_path).is_running)
    assert is_alive(tmp_path / "pid")
    await executor.delete(ENVIRONMENT, SERVICE)
    assert not is_alive(tmp_path / "pid")


async def test_a_number_that_was_given_to_another_process_is_left_alone(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    request = job("true")
    await executor.deploy(request, Printed())
    foreign = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        (attempt_of(request, tmp_path).folder / "record").write_text(f"started 1.0\npid {foreign.pid}\n")
        assert "vanished" in await failure(executor.deploy(request, Printed()))
        await executor.delete(ENVIRONMENT, SERVICE)
        assert psutil.Process(foreign.pid).status() != psutil.STATUS_ZOMBIE
    finally:
        foreign.kill()
        await foreign.wait()


async def test_what_a_removed_service_wrote_is_freed_at_once(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = deploy("echo $$ > pid; seq 100000; exec sleep 60", directory=str(tmp_path))
    await executor.deploy(request, Printed())
    folder = tmp_path / "data" / "processes" / str(ENVIRONMENT)
    assert list(folder.rglob("*"))
    await executor.delete(ENVIRONMENT, SERVICE)
    assert not is_alive(tmp_path / "pid")
    assert not folder.exists()


async def test_a_sweep_stops_and_forgets_all_but_what_is_kept(executor: ProcessExecutor, tmp_path: Path) -> None:
    kept, left = deploy(server(tmp_path), ports=(0,)), deploy(server(tmp_path), ports=(0,), service=OTHER)
    (port,), (swept,) = await asyncio.gather(executor.deploy(kept, Printed()), executor.deploy(left, Printed()))
    await executor.sweep(keep={SERVICE})
    assert [await answer(port), await answer(swept)] == ["1", None]
    assert [attempt_of(each, tmp_path).folder.exists() for each in (kept, left)] == [True, False]
