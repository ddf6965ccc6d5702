"""The output of services in a Kubernetes cluster, read while they run, from the nodes' own logs."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.log import ServiceOutput
from domain.container import Container
from domain.deployment.step import Phase
from domain.errors import InvalidArgument, OutputUnavailable
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import Variable
from runner.cluster_log import ClusterContainers
from runner.container_log import ContainerLogs
from runner.targets.contract import StepRequest
from runner.targets.kubernetes.access import Access
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.credential import NoToken
from tests.runner.target import ENVIRONMENT, SERVICE, Printed, fixed_port, request
from tests.targets.cluster import CONTEXT, image
from tests.targets.notary import Notary
from tests.targets.place import KubernetesPlace

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CONTEXT not in os.environ, reason=f"{CONTEXT} names no cluster; see tests.targets.cluster"),
]

OWN = EnvironmentId(ENVIRONMENT), ServiceId(SERVICE)


async def here(environment: EnvironmentId) -> None:
    return None


@pytest.fixture
async def cluster(tmp_path: Path, told: Notary) -> AsyncIterator[KubernetesPlace]:
    known = KubernetesPlace(tmp_path, told, fixed_port())
    await known.allow()
    yield known
    await known.executor.sweep(keep=())
    left = await known.left()
    await known.close()
    assert left == []


@pytest.fixture
def logs(cluster: KubernetesPlace) -> ContainerLogs:
    return ContainerLogs(ClusterContainers(cluster.restricted), here)


def step(command: str, number: int = 1, **spec: Any) -> StepRequest:
    container = Container(command=("sh", "-c", command))
    return request(Phase.DEPLOY, number=number, image=image(), container=container, **spec)


async def read(logs: ContainerLogs, cursor: str, upto: str) -> tuple[list[str], ServiceOutput]:
    """Return all lines after *cursor* up to the line *upto*, as a follower reads them."""
    lines: list[str] = []
    async with asyncio.timeout(60):
        while True:
            output = await logs.after(*OWN, cursor)
            lines += output.lines
            cursor = output.cursor
            if upto in output.lines:
                return lines, output
            await asyncio.sleep(0.02)


async def test_the_last_lines_are_read_and_the_next_ones_follow_once(
    cluster: KubernetesPlace, told: Notary, logs: ContainerLogs
) -> None:
    more = f"seq 5; {cluster.tell('wait', 'more')}; seq 6 2500; exec sleep 60"
    await cluster.executor.deploy(step(more), Printed())
    newest = await logs.last(*OWN, 2, None)
    assert newest.lines == ("4", "5")
    assert (await logs.after(*OWN, newest.cursor)).lines == ()
    told.let("more")
    lines, output = await read(logs, newest.cursor, "2500")
    assert lines == [str(number) for number in range(6, 2501)]
    assert not output.has_gap
    assert (await logs.last(*OWN, 0, None)).cursor == output.cursor


async def test_the_output_of_the_container_before_a_restart_comes_first(
    cluster: KubernetesPlace, told: Notary, logs: ContainerLogs
) -> None:
    command = f"echo begun; {cluster.tell('wait', 'end')}; echo ends; sleep 1; exit 3"
    await cluster.executor.deploy(step(command), Printed())
    newest = await logs.last(*OWN, 10, None)
    assert newest.lines == ("begun",)
    told.let("end")
    lines, output = await read(logs, newest.cursor, "begun")
    assert (lines[:2], output.has_gap) == (["ends", "begun"], False)


async def test_the_last_lines_of_an_instance_come_before_those_of_the_next_one(
    cluster: KubernetesPlace, logs: ContainerLogs
) -> None:
    await cluster.executor.deploy(step("echo one; trap 'echo bye; exit' TERM; while :; do sleep 0.1; done"), Printed())
    newest = await logs.last(*OWN, 10, None)
    assert newest.lines == ("one",)
    following = asyncio.create_task(read(logs, newest.cursor, "two"))
    await cluster.executor.deploy(step("echo two; exec sleep 60", 2), Printed())
    lines, _ = await following
    assert lines[-1] == "two"
    assert set(lines) <= {"bye", "two"}


async def test_a_long_line_comes_in_parts(cluster: KubernetesPlace, logs: ContainerLogs) -> None:
    await cluster.executor.deploy(step("printf '%040000d\\n' 0; echo end; exec sleep 60"), Printed())
    newest = await logs.last(*OWN, 1, None)
    lines, _ = await read(logs, f"{newest.cursor.partition('@')[0]}@0.0", "end")
    assert "".join(lines[:-1]) == "0" * 40000
    cursors = [(await logs.last(*OWN, tail, None)).cursor for tail in (0, 1)]
    assert cursors == [newest.cursor] * 2


async def test_secrets_are_masked_and_hidden_if_they_are_gone(cluster: KubernetesPlace, logs: ContainerLogs) -> None:
    plain = step("echo $TOKEN; exec sleep 60")
    env = (Variable(name="TOKEN", value="hidden-value"),)
    shown = replace(plain.spec, env=(Variable(name="TOKEN", value="***"),))
    secret = replace(plain, secrets=("hidden-value",), shown=shown, spec=replace(plain.spec, env=env))
    await cluster.executor.deploy(secret, Printed())

    async def open_secrets(request: StepRequest) -> StepRequest:
        return replace(request, secrets=("hidden-value",))

    own = ContainerLogs(ClusterContainers(cluster.restricted), here, open_secrets)
    assert (await own.last(*OWN, 10, None)).lines == ("***",)


async def test_only_a_cluster_that_can_be_reached_is_read(cluster: KubernetesPlace, logs: ContainerLogs) -> None:
    absent = ContainerLogs(
        ClusterContainers(
            Cluster(
                Access(
                    name="absent", server="http://127.0.0.1:1", tls=ssl.create_default_context(), credential=NoToken()
                )
            )
        ),
        here,
    )
    with pytest.raises(OutputUnavailable, match="can't be reached"):
        await absent.last(*OWN, 10, None)
    assert (await absent.after(*OWN, "kept")).cursor == "kept"
    with pytest.raises(InvalidArgument, match="cursor"):
        await logs.after(*OWN, "damaged")
    assert (await logs.last(EnvironmentId(UUID(int=9)), OWN[1], 10, None)).lines == ()
