"""The outputs of jobs: how their lines are read, and how they come out of real processes."""

import os
from pathlib import Path

import pytest

from domain.deployment.plan import Output
from runner.targets.contract import StepFailed
from runner.targets.outputs import parse
from runner.targets.process import confinement
from runner.targets.process.confinement import Limits
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import Printed, deploy, job

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")


def test_each_line_is_an_output_and_the_last_one_of_a_key_counts() -> None:
    assert parse(b"A=1\n\nB= x=y \r\nA=2\nC=") == (
        Output(key="A", value="2"),
        Output(key="B", value=" x=y "),
        Output(key="C", value=""),
    )
    assert parse(b"") == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"A=1\nB", "line 2 of its outputs is not KEY=value: 'B'"),
        (b"1A=1", "line 1 of its outputs is not KEY=value: '1A=1'"),
        (b"A=\xff", "its outputs are not UTF-8: byte 3"),
        (b"A=\0", "output A has 1 characters; at most 10,000, without NUL, are allowed"),
        (b"A=" + b"x" * 10_001, "output A has 10,001 characters; at most 10,000, without NUL, are allowed"),
        (b"".join(b"A%d=\n" % number for number in range(101)), "it wrote 101 outputs; at most 100 are allowed"),
        (b"x" * 100_001, "it wrote 100,001 bytes or more of outputs; at most 100,000 are allowed"),
    ],
)
def test_what_is_no_output_fails_the_job_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(StepFailed) as failed:
        parse(content)
    assert failed.value.reason == why


async def test_a_job_writes_to_the_file_that_its_variable_names(tmp_path: Path) -> None:
    executor = ProcessExecutor(tmp_path)
    request = job('echo A=1 >> "$STAGELINE_OUTPUT"; stat -c %a "$STAGELINE_OUTPUT"')
    output = Printed()
    await executor.deploy(request, output)
    assert output.lines == ["600"]
    assert await executor.outputs(request) == (Output(key="A", value="1"),)
    assert await ProcessExecutor(tmp_path).outputs(request) == (Output(key="A", value="1"),), "after a restart"


async def test_a_job_that_writes_nothing_or_removes_the_file_has_no_outputs(tmp_path: Path) -> None:
    executor = ProcessExecutor(tmp_path)
    for number, command in enumerate(("true", 'rm "$STAGELINE_OUTPUT"'), 1):
        await executor.deploy(request := job(command, number=number), Printed())
        assert await executor.outputs(request) == ()


async def test_a_link_or_a_pipe_in_place_of_the_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("A=secret")
    executor = ProcessExecutor(tmp_path)
    for number, make in enumerate((f"ln -s {secret}", "mkfifo"), 1):
        await executor.deploy(
            request := job(f'rm "$STAGELINE_OUTPUT"; {make} "$STAGELINE_OUTPUT"', number=number), Printed()
        )
        assert await executor.outputs(request) == ()


async def test_only_a_job_has_the_variable(tmp_path: Path) -> None:
    executor = ProcessExecutor(tmp_path)
    output = Printed()
    try:
        await executor.deploy(deploy("echo ${STAGELINE_OUTPUT-none}; exec sleep 60"), output)
    finally:
        await executor.sweep(())
    assert output.lines == ["none"]


@as_root
async def test_a_job_of_another_user_writes_outputs_too_and_leaves_nothing(tmp_path: Path) -> None:
    executor = ProcessExecutor(tmp_path, confinement.find(["nobody"], Limits()))
    request = job('echo "$STAGELINE_OUTPUT"; echo A=$(id -un) >> "$STAGELINE_OUTPUT"', directory="/")
    output = Printed()
    await executor.deploy(request, output)
    (path,) = map(Path, output.lines)
    assert path.exists()
    assert await executor.outputs(request) == (Output(key="A", value="nobody"),)
    assert not path.exists()
    assert await executor.outputs(request) == (Output(key="A", value="nobody"),), "the same after a crash"


@as_root
async def test_the_file_of_another_user_is_not_read_in_its_place(tmp_path: Path) -> None:
    executor = ProcessExecutor(tmp_path, confinement.find(["nobody"], Limits()))
    request = job('echo "$STAGELINE_OUTPUT"', directory="/")
    output = Printed()
    await executor.deploy(request, output)
    (path,) = map(Path, output.lines)
    path.unlink()
    path.write_text("A=root")
    assert await executor.outputs(request) == ()
