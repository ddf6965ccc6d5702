"""Promises of the Kubernetes target beyond the contract, on a real cluster: failures, volumes, secrets and drift."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.container import Container, Volume
from domain.deployment.step import Phase
from domain.spec import Health, HttpCheck, ServiceSpec, ServiceType, Variable
from runner.targets.contract import RegistryLogin, StepFailed, StepRequest
from runner.targets.docker.executor import DockerExecutor
from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.build import RegistryBuilder
from runner.targets.kubernetes.cluster import ClusterError
from runner.targets.kubernetes.executor import KubernetesExecutor
from runner.targets.kubernetes.model import Named, Workload
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, fixed_port, request
from tests.targets.cluster import CONTEXT, image
from tests.targets.engine import HOST, IMAGE
from tests.targets.notary import Notary
from tests.targets.place import COLLECTING, KubernetesPlace, deploy, job
from tests.targets.registry import PASSWORD, USER, push, registry
from tests.targets.shared import OWNERS, shared_engine

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CONTEXT not in os.environ, reason=f"{CONTEXT} names no cluster; see tests.targets.cluster"),
]

NAMESPACE = label.namespace(ENVIRONMENT)
DATA = Volume(name="data", path="/data")


@pytest.fixture
async def cluster(tmp_path: Path, told: Notary) -> AsyncIterator[KubernetesPlace]:
    known = KubernetesPlace(tmp_path, told, fixed_port())
    await known.allow()
    yield known
    await known.executor.sweep(keep=())
    left = await known.left()
    await known.close()
    assert left == []


async def reason(cluster: KubernetesPlace, step: StepRequest) -> tuple[str, Printed]:
    with pytest.raises(StepFailed) as failed:
        await cluster.executor.deploy(step, printed := Printed())
    return failed.value.reason, printed


async def test_an_image_that_is_not_there_is_named_with_the_registrys_words(cluster: KubernetesPlace) -> None:
    said, _ = await reason(cluster, deploy(cluster, "true", image="127.0.0.1:15000/nothing:1"))
    assert said.startswith("image 127.0.0.1:15000/nothing:1 can't be pulled: ")
    assert "not found" in said or "manifest unknown" in said


async def test_a_crash_is_told_with_its_last_line(cluster: KubernetesPlace) -> None:
    said, printed = await reason(cluster, deploy(cluster, "echo begun; echo no database >&2; exit 3"))
    assert said == "the container ended with exit code 3 before it was healthy; it last printed: no database"
    assert printed.lines == ["begun", "no database"]


async def test_a_program_that_is_not_there_is_named(cluster: KubernetesPlace) -> None:
    said, _ = await reason(cluster, deploy(cluster, "", container=Container(entrypoint=("/nothing",))))
    assert "the container can't be started: " in said
    assert "/nothing" in said


async def test_a_pod_that_no_node_takes_waits_and_then_says_why(cluster: KubernetesPlace) -> None:
    big = Container(command=("sleep", "60"), cpus_request=64)
    said, printed = await reason(cluster, deploy(cluster, "", container=big, deploy_timeout=4))
    assert said == "timeout after 4 s: no node takes it: 0/1 nodes are available: 1 Insufficient cpu."
    assert printed.notes == ["no node takes it yet: 0/1 nodes are available: 1 Insufficient cpu."]


async def test_a_check_that_fails_is_told_as_elsewhere(cluster: KubernetesPlace) -> None:
    health = Health(check=HttpCheck(path="/nothing"), start_period=2)
    said, _ = await reason(cluster, deploy(cluster, cluster.server, ports=(0,), health=health))
    assert said == "not healthy within 2 s: GET /nothing on port 8080 returned 404"


@pytest.mark.parametrize("type", [ServiceType.APPLICATION, ServiceType.DATABASE, ServiceType.JOB])
async def test_a_quota_is_told_with_its_words(cluster: KubernetesPlace, type: ServiceType) -> None:
    await cluster.executor.deploy(deploy(cluster, "exec sleep 60", service=UUID(int=7)), Printed())
    path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/few"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await cluster.cluster.apply(path, quota)
    try:
        said, _ = await reason(cluster, deploy(cluster, "exec sleep 60", 2, type=type))
    finally:
        await cluster.cluster.delete(path)
    assert said.startswith("Pods can't be created: ")
    assert "exceeded quota: few" in said


async def test_a_broken_database_does_not_block_the_next_specification(cluster: KubernetesPlace) -> None:
    def step(number: int, command: str) -> StepRequest:
        container = Container(command=("sh", "-c", command), volumes=(DATA,))
        return deploy(cluster, "", number, type=ServiceType.DATABASE, ports=(0,), container=container)

    await cluster.executor.deploy(step(1, f"echo kept > /data/file; {cluster.server}"), Printed())
    said, _ = await reason(cluster, step(2, "exit 1"))
    assert said.startswith("the container ended with exit code 1")
    old = await cluster.executor.restart_old(step(2, "exit 1"))
    assert old is not None
    assert (old.number, old.problem) == (1, None)
    serve = "cp /data/file /www/index.html; exec httpd -f -p $PORT -h /www"
    ports = await cluster.executor.deploy(step(3, serve), Printed())
    assert await cluster.ask(ports) == "kept"
    await cluster.executor.stop(replace(step(4, ""), phase=Phase.STOP))
    assert (await cluster.executor.delete_volume(ENVIRONMENT, "data") or "").endswith(" still uses it")
    await cluster.executor.delete(ENVIRONMENT, SERVICE)
    claims = workload.CLAIMS.format(NAMESPACE)
    found, _ = await cluster.cluster.list(claims, Named)
    assert [each.metadata.name for each in found] == ["data"]
    assert await cluster.executor.delete_volume(UUID(int=77), "data") is None  # another environment has none
    for _ in range(2):  # as after a crash
        assert await cluster.executor.delete_volume(ENVIRONMENT, "data") is None
    for each in (await cluster.cluster.list(claims, Named))[0]:
        assert each.metadata.deletion_timestamp is not None


async def test_a_claim_that_somebody_else_created_is_not_deleted(cluster: KubernetesPlace) -> None:
    await cluster.executor.deploy(deploy(cluster, cluster.server, ports=(0,)), Printed())  # creates the namespace
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "theirs"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    claims = workload.CLAIMS.format(NAMESPACE)
    await cluster.cluster.create(claims, claim)
    why = "claim theirs was not created for this environment by Stageline"
    assert await cluster.executor.delete_volume(ENVIRONMENT, "theirs") == why
    await cluster.cluster.delete(f"{claims}/theirs")


async def test_a_secret_is_in_a_secret_and_masked_in_output_and_reason(cluster: KubernetesPlace) -> None:
    step = deploy(cluster, "echo key $KEY; exit 1", env=(Variable(name="KEY", value="s3cret-value"),))
    shown = ServiceSpec(image=image(), container=step.spec.container, env=(Variable(name="KEY", value="***"),))
    said, printed = await reason(cluster, replace(step, shown=shown, secrets=("s3cret-value",)))
    assert said.endswith("it last printed: key ***")
    assert printed.lines == ["key ***"]


async def test_the_secret_of_a_job_goes_when_it_has_ended(cluster: KubernetesPlace) -> None:
    for number, command in ((1, "true"), (2, "exit 1")):
        step = job(cluster, command, number, env=(Variable(name="KEY", value="s3cret-value"),))
        shown = replace(step.spec, env=(Variable(name="KEY", value="***"),))
        with suppress(StepFailed):
            await cluster.executor.deploy(replace(step, shown=shown, secrets=("s3cret-value",)), Printed())
        assert await secrets(cluster) == []


async def secrets(cluster: KubernetesPlace) -> list[str]:
    found, _ = await cluster.cluster.list(workload.SECRETS.format(NAMESPACE), Named, labelSelector=label.SERVICE)
    return [each.metadata.name for each in found]


@pytest.mark.skipif(HOST not in os.environ, reason=f"{HOST} names no engine that could push the image")
async def test_an_image_is_pulled_with_the_credentials_of_its_registry(
    cluster: KubernetesPlace, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder, has_login=True) as host:
        name = f"{host}/private:1"
        async with shared_engine() as engine:
            await push(engine, IMAGE, name)
        said, _ = await reason(cluster, deploy(cluster, cluster.server, image=name))
        assert said.startswith(f"image {name} can't be pulled: ")
        logins = (RegistryLogin(host=host, user=USER, password=PASSWORD),)
        await cluster.executor.deploy(
            replace(deploy(cluster, cluster.server, 2, image=name, ports=(0,)), logins=logins), printed := Printed()
        )
    assert printed.image is not None
    assert printed.image.digest.startswith(f"{host}/private@sha256:")
    await cluster.executor.deploy(deploy(cluster, cluster.server, 3, ports=(0,)), Printed())
    assert await secrets(cluster) == []


async def test_a_namespace_that_somebody_has_deleted_is_created_again(cluster: KubernetesPlace) -> None:
    await cluster.executor.abort(deploy(cluster, cluster.server))  # creates the namespace, and nothing that runs
    path = f"/api/v1/namespaces/{NAMESPACE}"
    await cluster.cluster.delete(path)
    async with asyncio.timeout(COLLECTING):
        while await cluster.cluster.find(path, Named) is not None:
            await asyncio.sleep(0.1)
    await cluster.executor.deploy(deploy(cluster, cluster.server, 2, ports=(0,)), Printed())
    assert await cluster.running() == ["2"]


@pytest.mark.skipif(HOST not in os.environ, reason=f"{HOST} names no engine that could build the image")
async def test_an_image_is_pushed_with_the_credentials_of_its_registry(
    cluster: KubernetesPlace, tmp_path: Path
) -> None:
    folder, context = tmp_path / "registry", tmp_path / "context"
    folder.mkdir()
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /built\n")
    with registry(folder, has_login=True) as host:
        async with shared_engine() as engine:
            builder = RegistryBuilder(DockerExecutor(engine, OWNERS[0]), f"{host}/shop")
            executor = KubernetesExecutor(cluster.restricted, UUID(int=1000), builder=builder)
            logins = (RegistryLogin(host=host, user=USER, password=PASSWORD),)
            built = replace(request(Phase.BUILD, context=str(context)), logins=logins)
            with pytest.raises(StepFailed, match="can't be pushed: "):
                await executor.build(replace(built, logins=()), Printed())
            await executor.build(built, Printed())
            step = deploy(cluster, "", image=None, context=str(context), container=Container(command=("cat", "/built")))
            step = replace(step, type=ServiceType.JOB, logins=logins)
            await executor.deploy(step, printed := Printed())
    assert printed.lines == ["built"]


async def test_what_somebody_has_changed_is_set_back_and_said(cluster: KubernetesPlace) -> None:
    await cluster.executor.deploy(deploy(cluster, cluster.server, ports=(0,)), Printed())
    path = f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api"
    await cluster.scale(path, 2)
    printed = Printed()
    await cluster.executor.deploy(deploy(cluster, cluster.server, 2, ports=(0,)), printed)
    assert any("somebody has changed it" in note and ".spec.replicas" in note for note in printed.notes)
    assert (await cluster.cluster.get(path, Workload)).spec.replicas == 1


async def test_a_service_that_somebody_has_changed_is_not_left_as_it_is(cluster: KubernetesPlace) -> None:
    container = Container(
        command=("sh", "-c", cluster.server),
        cpus=1.0,
        cpus_request=0.01,
        memory=1024,
        memory_request=8,
        shared_memory=8,
    )
    env = (Variable(name="EMPTY", value=""), Variable(name="KEY", value="$(value)"))
    health = Health(check=HttpCheck(path="/"))
    step = deploy(cluster, "", ports=(0,), container=container, env=env, health=health)
    await cluster.executor.deploy(step, Printed())
    known = replace(deploy(cluster, "", 2, ports=(0,), container=container, health=health), known=step.deployment)
    assert await cluster.executor.is_healthy(known)
    await cluster.scale(f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api", 2)
    assert not await cluster.executor.is_healthy(known)
    await cluster.scale(f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api", 1)
    await up(cluster, known)
    await cluster.cluster.delete(f"{workload.SERVICES.format(NAMESPACE)}/api")
    assert not await cluster.executor.is_healthy(known)


async def up(cluster: KubernetesPlace, known: StepRequest) -> None:
    async with asyncio.timeout(60):
        while not await cluster.executor.is_healthy(known):
            await asyncio.sleep(0.1)


async def test_a_check_and_a_secret_that_are_removed_leave_nothing(cluster: KubernetesPlace) -> None:
    health, env = Health(check=HttpCheck(path="/")), (Variable(name="KEY", value="s3cret-value"),)
    checked = deploy(cluster, cluster.server, ports=(0,), health=health, env=env)
    shown = replace(checked.spec, env=(Variable(name="KEY", value="***"),))
    await cluster.executor.deploy(replace(checked, shown=shown, secrets=("s3cret-value",)), Printed())
    plain = (Variable(name="KEY", value="plain"),)
    await cluster.executor.deploy(deploy(cluster, "exec sleep 60", 2, env=plain), Printed())
    assert await cluster.running() == ["2"]


async def test_a_name_that_another_service_still_has_is_refused(cluster: KubernetesPlace) -> None:
    ports = await cluster.executor.deploy(deploy(cluster, cluster.server, ports=(0,)), Printed())
    other = replace(deploy(cluster, cluster.server, 2, ports=(0,), service=OTHER), name="api")
    said, _ = await reason(cluster, other)
    assert said.startswith(f"another service still runs as api in namespace {NAMESPACE}: ")
    assert await cluster.ask(ports) == "1"


async def test_a_service_has_all_its_replicas(cluster: KubernetesPlace) -> None:
    container = Container(command=("sh", "-c", cluster.server), replicas=3)
    await cluster.executor.deploy(deploy(cluster, "", ports=(0,), container=container), Printed())
    assert await cluster.running() == ["1", "1", "1"]


async def test_a_service_that_becomes_a_stateful_set_leaves_no_deployment(cluster: KubernetesPlace) -> None:
    await cluster.executor.deploy(deploy(cluster, cluster.server, ports=(0,)), Printed())
    container = Container(command=("sh", "-c", cluster.server), volumes=(DATA,))
    ports = await cluster.executor.deploy(deploy(cluster, "", 2, ports=(0,), container=container), Printed())
    assert (await cluster.ask(ports), await cluster.running()) == ("2", ["2"])
    with pytest.raises(ClusterError):
        await cluster.cluster.get(f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api", Workload)
    await cluster.executor.delete(ENVIRONMENT, SERVICE)
    await cluster.cluster.delete(f"{workload.CLAIMS.format(NAMESPACE)}/data")


async def test_outputs_that_a_cluster_would_cut_off_are_refused(cluster: KubernetesPlace) -> None:
    step = job(cluster, "printf 'KEY=%05000d' 1 > $STAGELINE_OUTPUT")
    await cluster.executor.deploy(step, Printed())
    with pytest.raises(StepFailed, match="4,096 bytes or more of outputs"):
        await cluster.executor.outputs(step)


async def test_services_reach_each_other_by_name(cluster: KubernetesPlace) -> None:
    """Without a DNS server in the tests' cluster, its Service is asked for by its address."""
    await cluster.executor.deploy(deploy(cluster, cluster.server, ports=(0,)), Printed())
    found = await cluster.cluster.get(f"{workload.SERVICES.format(NAMESPACE)}/api", dict[str, Any])
    assert found["spec"]["selector"] == {label.SERVICE: str(SERVICE)}
    assert [port["port"] for port in found["spec"]["ports"]] == [8080]


async def test_a_watched_environment_costs_few_requests(cluster: KubernetesPlace) -> None:
    before = cluster.requests
    steps = [deploy(cluster, cluster.server, 2, ports=(0,), service=UUID(int=20 + each)) for each in range(6)]
    steps = [replace(step, name=f"api-{each}") for each, step in enumerate(steps)]
    await asyncio.gather(*(cluster.executor.deploy(step, Printed()) for step in steps))
    assert cluster.requests - before <= 10 + 1 + 6 * 3 + 2
