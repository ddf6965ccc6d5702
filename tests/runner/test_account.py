"""Steps that run as another user of the machine. The tests run as root, or not at all."""

import os
import pwd
from pathlib import Path

import pytest

from domain.spec import CommandCheck, Health
from runner.targets.contract import StepFailed, StepRequest
from runner.targets.process import account, confinement
from runner.targets.process.account import AccountUnusable
from runner.targets.process.confinement import Limits
from runner.targets.process.executor import ProcessExecutor
from tests.runner.target import Printed, build, deploy, job

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def executor(tmp_path: Path) -> ProcessExecutor:
    return ProcessExecutor(tmp_path, confinement.find(["nobody"], Limits()))


def owners(data: Path, name: str) -> set[int]:
    """Of the files with that name in the folders of attempts."""
    return {file.stat().st_uid for file in data.glob(f"processes/*/*/*/{name}")}


@as_root
async def test_a_build_and_a_job_run_as_the_user_and_its_group_alone(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    os.setgroups([0, 4])
    try:
        for carry_out, request in ((executor.build, build), (executor.deploy, job)):
            output = Printed()
            command = "id -u; id -g; id -G; echo $HOME $USER ${XDG_RUNTIME_DIR-none}; echo more >> /dev/stderr"
            await carry_out(request(command, directory=str(tmp_path)), output)
            uid, gid = str(NOBODY.pw_uid), str(NOBODY.pw_gid)
            assert output.lines == [uid, gid, gid, f"{NOBODY.pw_dir} nobody none", "more"]
    finally:
        os.setgroups([0])
    assert owners(tmp_path, "log") == {NOBODY.pw_uid}
    assert owners(tmp_path, "record") == {0}, "the server believes it"


@as_root
async def test_a_health_command_runs_as_the_user_too(executor: ProcessExecutor, tmp_path: Path) -> None:
    def request(uid: int, number: int) -> StepRequest:
        return deploy(
            "exec sleep 60",
            number=number,
            directory=str(tmp_path),
            health=Health(check=CommandCheck(command=f"test $(id -u) = {uid}"), start_period=1.0),
        )

    try:
        with pytest.raises(StepFailed, match="not healthy"):
            await executor.deploy(request(0, 1), Printed())
        await executor.deploy(request(NOBODY.pw_uid, 2), Printed())
    finally:
        await executor.sweep(())


@as_root
def test_a_user_that_the_machine_has_not_is_refused() -> None:
    with pytest.raises(AccountUnusable, match="can't run as nobody-else: this machine has no such user"):
        account.find("nobody-else")


def test_a_server_that_is_not_root_runs_no_steps_as_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AccountUnusable, match=r"only root can .* this server runs as user 1000"):
        account.find("nobody")
