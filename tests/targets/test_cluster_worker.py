"""Workers on several machines, with one cluster: a deployment is bound to none of them."""

import os
from pathlib import Path
from signal import SIGKILL

import asyncpg
import pytest

from domain.container import Container
from domain.deployment.step import Status
from domain.pipeline.environment import Target
from domain.spec import ServiceSpec
from runner.targets.kubernetes import label
from tests.runner.target import fixed_port
from tests.runner.test_worker_crash import opened, worker
from tests.targets.cluster import CONTEXT, RESTRICTED, image
from tests.targets.notary import Notary
from tests.targets.place import KubernetesPlace

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CONTEXT not in os.environ, reason=f"{CONTEXT} names no cluster; see tests.targets.cluster"),
]


async def test_another_machine_carries_on_when_the_worker_of_a_deployment_is_killed(
    tmp_path: Path, told: Notary, database: str
) -> None:
    cluster = KubernetesPlace(tmp_path, told, fixed_port())
    await cluster.allow()
    options = "--kubernetes", os.environ.get(RESTRICTED, os.environ[CONTEXT])
    command = f"{cluster.tell('mark', 'begun')}; {cluster.tell('wait', 'go')}; {cluster.server}"
    spec = ServiceSpec(image=image(), ports=(0,), container=Container(command=("sh", "-c", command)))
    async with opened(database) as world, worker(database, tmp_path / "first", *options) as first:
        place = await world.environment(["api"], spec=spec, target=Target.KUBERNETES)
        try:
            interrupted = await world.request(place)
            await told.has("begun")
            await first.end(SIGKILL)
            async with worker(database, tmp_path / "second", *options):
                told.let("go")
                assert (await world.over(interrupted)).status is Status.SUCCEEDED
                assert told.marks == ["begun"]
                assert (await world.over(await world.request(place))).status is Status.SUCCEEDED
        finally:
            await cluster.cluster.delete(f"/api/v1/namespaces/{label.namespace(place)}")
            await cluster.close()
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM homes") == 0
    finally:
        await connection.close()
