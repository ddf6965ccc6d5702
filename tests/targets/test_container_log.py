"""The output of services in containers, read while they run, from a real engine's logs."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from application.log import MAX_TAIL, ServiceOutput
from domain.container import Container
from domain.deployment.step import Phase
from domain.errors import InvalidArgument, OutputElsewhere, OutputUnavailable
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import Variable
from runner.container_log import ContainerLogs
from runner.engine_log import EngineContainers
from runner.targets.contract import StepRequest
from runner.targets.docker import address, container
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from tests.runner.target import ENVIRONMENT, SERVICE, Printed, request
from tests.targets.engine import HOST, IMAGE

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.test_on_docker"),
]

OWN = EnvironmentId(ENVIRONMENT), ServiceId(SERVICE)


async def here(environment: EnvironmentId) -> None:
    return None


@pytest.fixture
def logs(engine: Engine) -> ContainerLogs:
    return ContainerLogs(EngineContainers(engine), here)


def step(command: str, number: int = 1, **spec: Any) -> StepRequest:
    return request(Phase.DEPLOY, number=number, image=IMAGE, container=Container(command=("sh", "-c", command)), **spec)


async def read(logs: ContainerLogs, cursor: str, upto: str) -> tuple[list[str], ServiceOutput]:
    """Return all lines after *cursor* up to the line *upto*, as a follower reads them."""
    lines: list[str] = []
    while True:
        output = await logs.after(*OWN, cursor)
        lines += output.lines
        cursor = output.cursor
        if upto in output.lines:
            return lines, output


async def test_the_last_lines_are_read_and_the_next_ones_follow_once(
    executor: DockerExecutor, engine: Engine, logs: ContainerLogs
) -> None:
    await executor.deploy(
        step("seq 5; until [ -e /tmp/go ]; do sleep 0.05; done; seq 6 2500; exec sleep 60"), Printed()
    )
    newest = await logs.last(*OWN, 2, None)
    assert newest.lines == ("4", "5")
    assert (await logs.after(*OWN, newest.cursor)).lines == ()
    await engine.run((await logs._list(*OWN))[0].id, ["touch", "/tmp/go"])
    lines, output = await read(logs, newest.cursor, "2500")
    assert lines == [str(number) for number in range(6, 2501)]
    assert not output.has_gap
    assert (await logs.last(*OWN, 0, None)).cursor == output.cursor
    assert len((await logs.last(*OWN, MAX_TAIL, None)).lines) == MAX_TAIL


async def test_lines_that_were_rotated_away_are_a_gap(
    executor: DockerExecutor, engine: Engine, logs: ContainerLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "LOG", {"max-size": "20k", "max-file": "2"})
    await executor.deploy(
        step("echo first; until [ -e /tmp/go ]; do sleep 0.05; done; seq 5000; exec sleep 60"), Printed()
    )
    newest = await logs.last(*OWN, 1, None)
    await engine.run((await logs._list(*OWN))[0].id, ["touch", "/tmp/go"])
    async with asyncio.timeout(60):
        while "5000" not in (await logs.last(*OWN, 1, None)).lines:
            await asyncio.sleep(0.05)
    output = await logs.after(*OWN, newest.cursor)
    assert output.has_gap
    assert "first" not in output.lines
    lines, output = await read(logs, output.cursor, "5000") if "5000" not in output.lines else ([], output)
    assert not output.has_gap or not lines


async def test_the_last_lines_of_an_instance_come_before_those_of_the_next_one(
    executor: DockerExecutor, logs: ContainerLogs
) -> None:
    await executor.deploy(step("echo one; trap 'echo bye; exit' TERM; while :; do sleep 0.1; done"), Printed())
    newest = await logs.last(*OWN, 10, None)
    await executor.deploy(step("echo two; exec sleep 60", 2), Printed())
    lines, output = await read(logs, newest.cursor, "two")
    assert (newest.lines, lines, output.has_gap) == (("one",), ["bye", "two"], False)
    await executor.deploy(step("echo three; exec sleep 60", 3), Printed())
    await executor.deploy(step("echo four; exec sleep 60", 4), Printed())
    lines, output = await read(logs, newest.cursor, "four")
    assert output.has_gap  # the first instance is gone, and so are lines


async def test_a_long_line_comes_in_parts_and_an_unprinted_one_not_at_all(
    executor: DockerExecutor, logs: ContainerLogs
) -> None:
    await executor.deploy(step("printf '%040000d\\n' 0; echo end; exec sleep 60"), Printed())
    newest = await logs.last(*OWN, 1, None)
    lines, _ = await read(logs, f"{newest.cursor.partition('@')[0]}@0.0", "end")
    assert "".join(lines[:-1]) == "0" * 40000
    cursors = [(await logs.last(*OWN, tail, None)).cursor for tail in (0, 1, 4)]
    assert cursors == [newest.cursor] * 3


async def test_secrets_are_masked_and_hidden_if_they_are_gone(executor: DockerExecutor, engine: Engine) -> None:
    plain = step("echo $TOKEN; printf '%s\\n' hidden- value; exec sleep 60")
    env = (Variable(name="TOKEN", value="hidden-value"),)
    secret = replace(plain, secrets=("hidden-value",), shown=plain.spec, spec=replace(plain.spec, env=env))
    await executor.deploy(secret, Printed())

    async def open_secrets(request: StepRequest) -> StepRequest:
        return replace(request, secrets=("hidden-value",))

    assert "hidden" not in str(await ContainerLogs(EngineContainers(engine), here, open_secrets).last(*OWN, 10, None))


async def test_only_an_engine_that_can_be_reached_is_read(tmp_path: Path, engine: Engine, logs: ContainerLogs) -> None:
    absent = ContainerLogs(EngineContainers(Engine(address.parse(f"unix://{tmp_path}/docker.sock"))), here)
    with pytest.raises(OutputUnavailable, match=r"docker\.sock can't be reached"):
        await absent.last(*OWN, 10, None)
    assert (await absent.after(*OWN, "kept")).cursor == "kept"

    async def elsewhere(environment: EnvironmentId) -> str:
        return "worker-2"

    with pytest.raises(OutputElsewhere, match="worker-2"):
        await ContainerLogs(EngineContainers(engine), elsewhere).last(*OWN, 10, None)
    with pytest.raises(InvalidArgument, match="cursor"):
        await logs.after(*OWN, "damaged")
