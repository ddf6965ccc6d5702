"""Reports of the observer on Pods after their deployment, in a real cluster."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.container import Container
from domain.deployment.step import Phase
from domain.instance import (
    InstanceDrifted,
    InstanceExited,
    InstanceGivenUp,
    InstanceLost,
    InstanceRecovered,
    InstanceRestarted,
    InstanceStatus,
    InstanceUnhealthy,
)
from domain.spec import CommandCheck, Health
from runner.targets.contract import StepRequest
from runner.targets.instance import identity
from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.model import Pod
from runner.targets.kubernetes.observer import ClusterObserver
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, fixed_port, request
from tests.targets.cluster import CONTEXT, image
from tests.targets.ledger import Ledger, until
from tests.targets.notary import Notary
from tests.targets.place import KubernetesPlace

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CONTEXT not in os.environ, reason=f"{CONTEXT} names no cluster; see tests.targets.cluster"),
]

NAMESPACE = label.namespace(ENVIRONMENT)


@pytest.fixture
async def cluster(tmp_path: Path, told: Notary) -> AsyncIterator[KubernetesPlace]:
    known = KubernetesPlace(tmp_path, told, fixed_port())
    await known.allow()
    yield known
    await known.executor.sweep(keep=())
    left = await known.left()
    await known.close()
    assert left == []


def step(command: str, number: int = 1, phase: Phase = Phase.DEPLOY, **spec: Any) -> StepRequest:
    container = Container(command=("sh", "-c", command), memory=spec.pop("memory", None))
    return request(phase, number=number, image=image(), container=container, **spec)


@asynccontextmanager
async def observed(cluster: Cluster, ledger: Ledger) -> AsyncIterator[None]:
    """Observe the cluster during the block, as a server does."""
    task = asyncio.create_task(ClusterObserver(cluster, ledger).run(ledger.record))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def only(cluster: KubernetesPlace) -> Pod:
    path = workload.PODS.format(NAMESPACE)
    pods, _ = await cluster.cluster.list(path, Pod, labelSelector=label.selector(service=SERVICE))
    (found,) = [pod for pod in pods if not pod.is_going]
    return found


async def test_an_end_and_a_restart_by_the_cluster_are_events(cluster: KubernetesPlace, told: Notary) -> None:
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        once = f"{cluster.tell('wait', 'end')}; {cluster.tell('mark', 'ended')}"
        await cluster.executor.deploy(step(f"{once}; exit 3"), Printed())
        told.let("end")
        await until(lambda: InstanceExited in ledger.kinds())
    ended = ledger.events[0]
    assert isinstance(ended, InstanceExited)
    assert ended.last.code == 3


async def test_an_instance_that_ends_too_often_is_given_up_and_comes_back(
    cluster: KubernetesPlace, told: Notary
) -> None:
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        await cluster.executor.deploy(step(f"{cluster.tell('wait', 'end')}; exit 4"), Printed())
        told.let("end")
        await until(lambda: ledger.is_now(InstanceStatus.GIVEN_UP))
        given_up = len(ledger.events)
        told.hold("end")
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING))
    kinds = ledger.kinds()
    assert kinds[0] is InstanceExited
    assert InstanceGivenUp in kinds[:given_up]
    assert kinds[-1] is InstanceRestarted
    exits = sum(event.count for event in ledger.events if isinstance(event, InstanceExited))
    assert exits >= 2


async def test_what_happened_while_no_server_ran_is_reported_once_by_the_next_one(
    cluster: KubernetesPlace, told: Notary
) -> None:
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        command = f"{cluster.tell('mark', 'begun')}; {cluster.tell('wait', 'end')}; exit 3"
        await cluster.executor.deploy(step(command), Printed())
    told.let("end")
    await until(lambda: len(told.marks) == 2)
    told.hold("end")
    for _ in range(2):
        before = ledger.reports
        async with observed(cluster.restricted, ledger):
            await until(lambda: ledger.reports > before and InstanceExited in ledger.kinds())  # noqa: B023
    ends = [event for event in ledger.events if isinstance(event, InstanceExited)]
    assert sum(end.count for end in ends) == ends[-1].exits


async def test_an_unhealthy_instance_says_how_and_recovers(cluster: KubernetesPlace, told: Notary) -> None:
    check = Health(check=CommandCheck(command="! test -e /tmp/ill"), interval=1, watch=30, failures=1, start_period=30)
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        ill = f"{cluster.tell('wait', 'ill')}; touch /tmp/ill; {cluster.tell('wait', 'well')}; rm /tmp/ill; sleep 600"
        await cluster.executor.deploy(step(ill, health=check), Printed())
        told.let("ill")
        await until(lambda: ledger.is_now(InstanceStatus.UNHEALTHY))
        told.let("well")
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING))
    assert ledger.kinds() == [InstanceUnhealthy, InstanceRecovered]
    (said, _) = ledger.events
    assert isinstance(said, InstanceUnhealthy)
    assert said.problem == "the check (! test -e /tmp/ill) ended with exit code 1"


async def test_a_pod_that_somebody_deletes_has_ended_and_is_replaced(cluster: KubernetesPlace) -> None:
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        await cluster.executor.deploy(step("exec sleep 600"), Printed())
        await until(lambda: ledger.reports)
        pod = await only(cluster)
        await cluster.cluster.delete(f"{workload.PODS.format(NAMESPACE)}/{pod.metadata.name}")
        await until(lambda: ledger.is_now(InstanceStatus.RUNNING) and ledger.events)
    assert ledger.kinds() == [InstanceExited, InstanceRestarted]


async def test_a_workload_that_somebody_deletes_is_lost(cluster: KubernetesPlace) -> None:
    ledger, own = Ledger(), step("exec sleep 600")
    async with observed(cluster.restricted, ledger):
        await cluster.executor.deploy(own, Printed())
        ledger.deployed = {(ENVIRONMENT, SERVICE): identity(own)}
        await until(lambda: ledger.reports)
        await cluster.cluster.delete(f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api")
        await until(lambda: ledger.is_now(InstanceStatus.LOST))
    assert ledger.kinds() == [InstanceLost]


async def test_what_deployments_stop_and_replace_is_no_event(cluster: KubernetesPlace) -> None:
    ledger = Ledger()
    async with observed(cluster.restricted, ledger):
        for number in (1, 2):
            await cluster.executor.deploy(step("exec sleep 600", number), Printed())
        await cluster.executor.stop(step("exec sleep 600", 3, Phase.STOP))
        await cluster.executor.deploy(step("exec sleep 600", 4), Printed())
        await cluster.executor.delete(ENVIRONMENT, SERVICE)
        await cluster.executor.deploy(step("exec sleep 600", 5, service=OTHER), Printed())
        await until(lambda: ledger.last is not None and ledger.last.service == OTHER)
    assert ledger.events == []


async def test_what_somebody_changes_is_said_until_it_is_set_back(cluster: KubernetesPlace) -> None:
    ledger, path = Ledger(), f"{workload.DEPLOYMENTS.format(NAMESPACE)}/api"
    async with observed(cluster.restricted, ledger):
        await cluster.executor.deploy(step("exec sleep 600", ports=()), Printed())
        await until(lambda: ledger.reports)
        await cluster.scale(path, 2)
        await until(lambda: ledger.events)
        await cluster.scale(path, 1)
        await until(lambda: len(ledger.events) > 1)
    assert [(type(event), getattr(event, "drift", None)) for event in ledger.events] == [
        (InstanceDrifted, ("replicas 2, applied 1",)),
        (InstanceDrifted, ()),
    ]
