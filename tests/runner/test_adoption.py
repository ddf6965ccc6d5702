"""Steps outlive the server that began them, and are taken up by the next one: none is done twice, none is lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import msgspec
import pytest

from domain.spec import CommandCheck, Health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process import table
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import SERVICE, Printed, ask, build, deploy, server, until


class Doomed:
    """Servers that are begun and killed."""

    def __init__(self, program: asyncio.subprocess.Process) -> None:
        assert program.stdin
        assert program.stdout
        self._stdin, self._stdout = program.stdin, program.stdout

    @asynccontextmanager
    async def carrying_out(self, request: StepRequest) -> AsyncIterator[None]:
        """A server carries *request* out meanwhile, and is killed then."""
        self._stdin.write(msgspec.json.encode(request) + b"\n")
        pid = int(await self._stdout.readline())
        gone = asyncio.create_task(self._stdout.readline())
        try:
            yield
        finally:
            with suppress(ProcessLookupError):  # it has come to its end
                os.kill(pid, signal.SIGKILL)
            await gone


@pytest.fixture
async def doomed(tmp_path: Path, executor: ProcessExecutor) -> AsyncIterator[Doomed]:
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.runner.doomed", str(tmp_path / "data"), stdin=pipe, stdout=pipe
    )
    yield Doomed(program)
    assert program.stdin
    program.stdin.close()
    await program.wait()


def attempts(tmp_path: Path) -> list[ProcessAttempt]:
    return [ProcessAttempt(folder) for folder in (tmp_path / "data/processes").glob("*/*/*")]


def moments(first: float, growth: float) -> Iterator[float]:
    """Seconds after which a server is killed: from before it has begun the step until well after."""
    return (first * growth**kill for kill in count())


async def test_a_step_is_done_once_whenever_its_server_is_killed(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    late = 0
    for kill, moment in enumerate(moments(first=0.0005, growth=1.15)):
        request = build("echo $STAGELINE_DEPLOYMENT_NUMBER >> marks; echo done", number=kill, directory=str(tmp_path))
        async with doomed.carrying_out(request):
            await asyncio.sleep(moment)
            late += str(kill) in marks.read_text().split()
        await executor.build(request, printed := Printed())
        assert printed.lines == ["done"]
        assert marks.read_text().split() == [str(done) for done in range(kill + 1)]
        if late == 3:
            break


async def test_a_timeout_counts_from_the_start_over_servers(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path
) -> None:
    request = build("touch begun; sleep 60", directory=str(tmp_path), build_timeout=60)
    async with doomed.carrying_out(request):
        await until((tmp_path / "begun").exists)
    record = attempts(tmp_path)[0].folder / "record"
    record.write_text(record.read_text().replace("began ", "began -"))
    with pytest.raises(StepFailed, match="timeout after 60 s"):
        await executor.build(request, Printed())


async def test_what_was_killed_together_with_its_shim_has_vanished(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = build("true", "touch begun; sleep 60", directory=str(tmp_path))
    watching = asyncio.create_task(executor.build(request, Printed()))
    await until((tmp_path / "begun").exists)
    os.killpg(attempts(tmp_path)[0].record.pid or 0, signal.SIGKILL)
    with pytest.raises(StepFailed, match=r"^build command 2 \(touch begun; sleep 60\) vanished without an exit code"):
        await watching
    with pytest.raises(StepFailed, match="vanished"):
        await executor.build(request, Printed())


async def test_what_has_lost_only_its_shim_is_stopped(executor: ProcessExecutor, tmp_path: Path) -> None:
    request = deploy(
        "touch begun; exec sleep 60", directory=str(tmp_path), health=Health(check=CommandCheck(command="false"))
    )
    watching = asyncio.create_task(executor.deploy(request, Printed()))
    await until((tmp_path / "begun").exists)
    (attempt,) = attempts(tmp_path)
    os.kill(attempt.record.pid or 0, signal.SIGKILL)
    with pytest.raises(StepFailed, match=r"^the process vanished"):
        await watching
    assert not attempt.is_alive_in(table.read())


async def test_a_second_server_starts_nothing_that_the_first_has_started(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    request = build("echo once; until test -e go; do sleep 0.01; done", directory=str(tmp_path))
    second = ProcessExecutor(tmp_path / "data")
    outputs = [Printed(), Printed()]
    both = asyncio.gather(executor.build(request, outputs[0]), second.build(request, outputs[1]))
    (tmp_path / "go").touch()
    await both
    assert [printed.lines for printed in outputs] == [["once"], ["once"]]


async def test_an_attempt_that_has_ended_does_not_begin_again(tmp_path: Path) -> None:
    attempt = ProcessAttempt(tmp_path / "attempt")
    for _ in range(2):
        attempt.begin(["echo once"], tmp_path, {})
        await attempt.wait()
    assert attempt.log.read_text() == "once\n"


async def test_an_instance_that_the_killed_server_started_is_replaced(
    doomed: Doomed, executor: ProcessExecutor, tmp_path: Path
) -> None:
    command = server(tmp_path)
    async with doomed.carrying_out(deploy(command, ports=(0,))):
        await until(lambda: [attempt for attempt in attempts(tmp_path) if attempt.record.pid])
    (port,) = await executor.deploy(deploy(command, ports=(0,), number=2), Printed())
    assert await ask(port) == "2"
    assert [attempt.record.ports for attempt in attempts(tmp_path) if attempt.is_alive_in(table.read())] == [(port,)]
    await executor.sweep(keep={SERVICE})
    assert await ask(port) == "2"
