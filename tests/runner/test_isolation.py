"""
Steps of another user try to read each secret of the server and of others. The tests run as root, or not at all.

Each secret is first read by a step of the server's own user: the attempt itself works, and only the user is in its way.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from msgspec.structs import replace

from domain.spec import CommandCheck, Health
from runner.targets.contract import StepFailed
from runner.targets.process.account import AccountUnusable
from runner.targets.process.confinement import Confinements, Limits, find
from runner.targets.process.executor import ProcessExecutor
from store.sqlite import disk
from tests.runner.target import ENVIRONMENT, OTHER, Printed, deploy, job

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")

SECRET = "opensesame"
USER, OTHER_USER = "nobody", "games"
ELSEWHERE = UUID(int=77)

OWN: dict[str, str] = {
    "the environment of the server": "/proc/{server}/environ",
    "the log": "{data}/log.db",
    "the keys of secrets and names": "{data}/keys.db",
    "the signing key": "{data}/signing-key.pem",
    "the password of the database": "{home}/.pgpass",
    "the configuration of the server": "{home}/stageline.toml",
    "the start of another service": "{data}/processes/*/*{other:x}/*/start",
    "the output of another service": "{data}/processes/*/*{other:x}/*/log",
}
"""What only the server's user may read."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest, with the secrets of a server."""
    folder = Path(tempfile.mkdtemp(prefix="stageline-isolation-"))
    folder.chmod(0o755)
    for name in ("data/log.db", "data/keys.db", "data/signing-key.pem", "home/.pgpass", "home/stageline.toml"):
        path = folder / name
        if name.startswith("home"):
            path.parent.mkdir(exist_ok=True)
        disk.make_file(path)
        path.write_text(SECRET)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(place: Path) -> Iterator[int]:
    """The id of a process with a secret in its variables."""
    with subprocess.Popen(["sleep", "600"], env={"DATABASE_URL": SECRET}) as process:
        yield process.pid
        process.kill()


async def read(executor: ProcessExecutor, command: str, number: int = 1) -> str:
    output = Printed()
    await executor.deploy(job(f"{command} 2>&1 || true", number=number, directory="/"), output)
    return "\n".join(output.lines)


async def look(place: Path, server: int, number: int, confinements: Confinements) -> dict[str, str]:
    """What a step sees of each secret, beside another service of the same user."""
    executor = ProcessExecutor(place / "data", confinements)
    paths = {
        name: path.format(server=server, data=place / "data", home=place / "home", other=OTHER.int)
        for name, path in OWN.items()
    }
    command = "; ".join(f"echo '== {name}'; cat {path} | tr '\\0' '\\n'; echo" for name, path in paths.items())
    try:
        beside = deploy(f"echo {SECRET}; exec sleep 60 # {SECRET}", service=OTHER, number=number, directory="/")
        await executor.deploy(beside, Printed())
        seen = await read(executor, f"({command})", number)
    finally:
        await executor.sweep(())
    return dict(part.split("\n", 1) for part in seen.split("== ")[1:])


async def test_a_step_of_another_user_can_not_read_the_secrets_of_the_server_and_of_others(
    place: Path, server: int
) -> None:
    unconfined = await look(place, server, 1, Confinements())
    assert {name for name, seen in unconfined.items() if SECRET in seen} == OWN.keys(), "the attempts work"
    confined = await look(place, server, 2, find([USER], Limits()))
    assert {name for name, seen in confined.items() if SECRET in seen} == set()
    assert all("Permission denied" in seen or "No such file" in seen for seen in confined.values())


@pytest.mark.long
async def test_steps_of_another_environments_user_can_not_read_each_other(place: Path) -> None:
    private = place / "private"
    command = f"umask 077; echo {SECRET} > {private}/file; exec sleep 60"
    for number, users in enumerate(([USER], [USER, f"environment_{ELSEWHERE.hex}={OTHER_USER}"]), 1):
        shutil.rmtree(private, ignore_errors=True)
        private.mkdir()
        private.chmod(0o777)
        executor = ProcessExecutor(place / "data", find(users, Limits()))
        request = deploy(command, number=number, directory="/", service=OTHER, env=())
        request = replace(request, environment=ELSEWHERE)
        try:
            await executor.deploy(request, Printed())
            pid = sleep_of(request.deployment)
            seen = await read(executor, f"cat {private}/file; cat /proc/{pid}/environ | tr '\\0' '\\n'; id -un", number)
            ended = await read(executor, f"kill -0 {pid} && echo it may be ended", number + 10)
        finally:
            await executor.sweep(())
        is_apart = len(users) == 2
        assert (SECRET not in seen, str(request.deployment) not in seen) == (is_apart, is_apart), seen
        assert ("it may be ended" not in ended) == is_apart
        assert seen.endswith(USER)


def sleep_of(deployment: UUID) -> int:
    """The id of the process `sleep` of a deployment."""
    (pid,) = [
        each.pid
        for each in psutil.process_iter()
        if each.name() == "sleep" and each.environ().get("STAGELINE_DEPLOYMENT") == str(deployment)
    ]
    return pid


async def test_a_step_of_another_user_gets_no_credentials_of_the_server_in_its_variables(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "DOCKER_HOST", "AWS_SECRET_ACCESS_KEY", "HARMLESS"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    assert SECRET in await read(ProcessExecutor(place / "data"), "env", 1)
    seen = await read(ProcessExecutor(place / "data", find([USER], Limits())), "env", 2)
    assert SECRET not in seen
    assert "LC_TIME=C.UTF-8" in seen
    assert f"USER={USER}" in seen


LIMITS = Limits(memory=64 * 2**20, processes=50, files=40)
HUNGRY = f"python3 -c 'x = bytearray({200 * 2**20})' && echo it has eaten"


@pytest.mark.long
async def test_a_step_has_the_limits_of_the_server(place: Path) -> None:
    with_limits = ProcessExecutor(place / "data", find([USER], LIMITS))
    shown = await read(with_limits, "cat /proc/self/limits", 1)
    rows = {line[:26].strip(): line[26:].split()[:2] for line in shown.splitlines()}
    assert rows["Max data size"] == [str(LIMITS.memory)] * 2
    assert rows["Max processes"] == ["50"] * 2
    assert rows["Max open files"] == ["40"] * 2
    assert rows["Max core file size"] == ["0"] * 2
    assert "MemoryError" in await read(with_limits, HUNGRY, 2)
    forks = "sh -c 'for each in $(seq 100); do sleep 1 & done; wait'"
    assert "fork" in (await read(with_limits, forks, 3)).lower()
    assert "it has eaten" in await read(ProcessExecutor(place / "data"), HUNGRY, 4)


@pytest.mark.long
async def test_a_health_command_has_the_limits_too(place: Path) -> None:
    executor = ProcessExecutor(place / "data", find([USER], LIMITS))
    check = CommandCheck(command='test "$(ulimit -H -n)" = 40')
    try:
        await executor.deploy(deploy("exec sleep 60", directory="/", health=Health(check=check)), Printed())
        wrong = Health(check=CommandCheck(command='test "$(ulimit -H -n)" != 40'), start_period=1.0)
        with pytest.raises(StepFailed, match="not healthy"):
            await executor.deploy(deploy("exec sleep 60", number=2, directory="/", health=wrong), Printed())
    finally:
        await executor.sweep(())


@pytest.mark.parametrize(
    ("run_as", "why"),
    [
        ([f"environment_{ENVIRONMENT.hex}={USER}"], "none for the others"),
        ([USER, f"Shop/production={OTHER_USER}"], "'Shop/production' is no id of an environment"),
        ([USER, OTHER_USER], "two users for all environments: nobody and games"),
        ([USER, f"environment_{ENVIRONMENT.hex}=nobody-else"], "has no such user"),
    ],
)
def test_users_that_can_not_be_meant_are_refused(run_as: list[str], why: str) -> None:
    with pytest.raises(AccountUnusable, match=why):
        find(run_as, Limits())


def test_limits_need_their_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", dict[str, str]().get)
    with pytest.raises(AccountUnusable, match="no program prlimit"):
        find([], LIMITS)
