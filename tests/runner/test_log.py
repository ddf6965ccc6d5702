"""The output of what runs, read from its files: rotated, replaced, and on another machine."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from application.log import MAX_TAIL, ServiceOutput
from domain.errors import InvalidArgument, OutputElsewhere
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.log import ProcessLogs
from runner.targets.contract import StepRequest
from runner.targets.process import file
from runner.targets.process.executor import ProcessExecutor
from runner.targets.process.file import LogFile
from tests.runner.target import ENVIRONMENT, SERVICE, Printed, deploy
from tests.runner.test_process import BEGUN, attempt_of

ENV, API = EnvironmentId(ENVIRONMENT), ServiceId(SERVICE)


async def nowhere(_: EnvironmentId) -> str | None:
    return None


class Output:
    """The output of a service, in the file of an attempt that a test writes."""

    def __init__(self, tmp_path: Path, number: int = 1) -> None:
        self.logs = ProcessLogs(tmp_path / "data", nowhere)
        self.folder = attempt_of(deploy("", number=number), tmp_path).folder
        self.folder.mkdir(parents=True)
        (self.folder / "start").touch()
        self.file = LogFile(self.folder)

    def print(self, *lines: str) -> None:
        with (self.folder / "log").open("a") as log:
            log.writelines(f"{line}\n" for line in lines)

    async def last(self, tail: int = 100, since: datetime | None = None) -> ServiceOutput:
        return await self.logs.last(ENV, API, tail, since)

    async def after(self, cursor: str) -> ServiceOutput:
        return await self.logs.after(ENV, API, cursor)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path)


async def until_printed(logs: ProcessLogs, cursor: str, count: int) -> list[str]:
    """The next lines, once there are that many."""
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            read = await logs.after(ENV, API, cursor)
            found += read.lines
            cursor = read.cursor
            await asyncio.sleep(0.005)
    return found


async def test_a_service_is_read_while_it_runs_and_its_next_instance_after_it(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    logs = ProcessLogs(tmp_path / "data", nowhere)
    run = (
        "echo $$ > pid; echo one $STAGELINE_DEPLOYMENT_NUMBER; until [ -e go ]; do sleep 0.01; done; echo two; sleep 60"
    )

    def of(number: int) -> StepRequest:
        return deploy(run, number=number, directory=str(tmp_path), health=BEGUN)

    await executor.deploy(of(1), Printed())
    first = await logs.last(ENV, API, 100, None)
    assert first.lines == ("one 1",)
    assert await logs.after(ENV, API, first.cursor) == ServiceOutput(cursor=first.cursor)
    (tmp_path / "go").touch()
    assert await until_printed(logs, first.cursor, 1) == ["two"]
    await executor.deploy(of(2), Printed())
    found = [line for line in await until_printed(logs, first.cursor, 4) if line != "Terminated"]  # of the shell
    assert found == ["two", "one 2", "two"]


async def test_the_last_lines_are_read(output: Output) -> None:
    output.print(*map(str, range(2000)))
    assert (await output.last(3)).lines == ("1997", "1998", "1999")
    assert (await output.last(0)).lines == ()
    cursor = (await output.last(0)).cursor
    assert (await output.after(cursor)).lines == ()
    output.print("more")
    assert (await output.after(cursor)).lines == ("more",)


async def test_an_unfinished_line_comes_when_it_is_finished(output: Output) -> None:
    with (output.folder / "log").open("a") as log:
        log.write("begun")
        log.flush()
        first = await output.last()
        assert first.lines == ()
        log.write(", ended\n")
    assert (await output.after(first.cursor)).lines == ("begun, ended",)


async def test_many_new_lines_come_in_parts(output: Output) -> None:
    cursor = (await output.last(0)).cursor
    output.print(*map(str, range(2 * MAX_TAIL + 1)))
    found: list[str] = []
    for count in (MAX_TAIL, MAX_TAIL, 1):
        read = await output.after(cursor)
        assert len(read.lines) == count
        found += read.lines
        cursor = read.cursor
    assert found == [str(number) for number in range(2 * MAX_TAIL + 1)]


async def test_a_rotation_between_two_reads_loses_no_line(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_LOG", 1000)
    cursor = (await output.last(0)).cursor
    lines = [f"line {number}" for number in range(500)]
    found: list[str] = []
    for start in range(0, 500, 50):
        output.print(*lines[start : start + 50])
        output.file.rotate()
        if start % 100:
            read = await output.after(cursor)
            assert not read.has_gap
            found += read.lines
            cursor = read.cursor
    assert found == lines
    assert (await output.last(2)).lines == ("line 498", "line 499")


async def test_lines_that_were_rotated_away_are_a_gap(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_LOG", 1000)
    cursor = (await output.last(0)).cursor
    for start in range(0, 1000, 200):
        output.print(*(f"line {number}" for number in range(start, start + 200)))
        output.file.rotate()
    read = await output.after(cursor)
    assert read.has_gap
    assert read.lines[-1] == "line 999"
    assert not (await output.after(read.cursor)).has_gap


async def test_lines_since_a_moment_are_those_after_the_last_mark_before_it(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.print("old")
    output.file.mark()
    moment = datetime.now(UTC)
    output.print("new")
    output.file.mark()
    assert (await output.last(since=moment)).lines == ("new",)
    assert (await output.last(since=moment - timedelta(hours=1))).lines == ("old", "new")
    assert (await output.last(since=moment + timedelta(hours=1))).lines == ()
    monkeypatch.setattr(file, "MAX_LOG", 2)
    output.file.rotate()
    output.print("newest")
    assert (await output.last(since=moment)).lines[-1] == "newest"


async def test_the_marks_stay_few(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_MARKS", 600)
    for number in range(200):
        output.print(str(number))
        output.file.mark()
        output.file.mark()  # nothing was printed meanwhile
    assert (output.folder / "marks").stat().st_size < 1000


async def test_a_service_that_never_ran_has_no_output_yet(tmp_path: Path) -> None:
    logs = ProcessLogs(tmp_path / "data", nowhere)
    assert await logs.last(ENV, API, 100, None) == ServiceOutput()
    assert await logs.after(ENV, API, "") == ServiceOutput()
    output = Output(tmp_path)
    output.print("first")
    assert (await logs.after(ENV, API, "")).lines == ("first",)


async def test_a_cursor_of_output_that_is_gone_begins_with_what_runs(output: Output) -> None:
    output.print("one")
    assert (await output.after(f"{'0' * 36}.deploy.1@0")).lines == ("one",)


@pytest.mark.parametrize("cursor", ["x", "../../../etc@0", "@", "a@-1"])
async def test_a_damaged_cursor_is_refused(output: Output, cursor: str) -> None:
    output.print("one")
    with pytest.raises(InvalidArgument, match="damaged"):
        await output.after(cursor)


async def test_output_on_another_machine_is_refused_with_its_name(tmp_path: Path) -> None:
    async def elsewhere(_: EnvironmentId) -> str | None:
        return "worker-2"

    logs = ProcessLogs(tmp_path / "data", elsewhere)
    for asked in (logs.last(ENV, API, 1, None), logs.after(ENV, API, "")):
        with pytest.raises(OutputElsewhere, match="on machine worker-2, which this server does not run on"):
            await asked
