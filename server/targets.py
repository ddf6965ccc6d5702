"""The targets of a server: their executors, their logs, and the watches over their instances."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from application.handler import Handler, States
from application.log import ServiceLogs
from application.worker import Roster
from domain import pipeline as pipelines
from domain.pipeline.environment import Target
from domain.project import EnvironmentId
from runner.cluster_log import ClusterContainers
from runner.container_log import ContainerLogs
from runner.deployed import DeployedInstances
from runner.engine import Engine
from runner.engine_log import EngineContainers
from runner.log import ProcessLogs
from runner.machine import machine
from runner.report import InstanceReporter
from runner.service_log import TargetLogs
from runner.targets.contract import Executor, OpenSecrets
from runner.targets.docker import address
from runner.targets.docker.engine import Engine as DockerEngine
from runner.targets.docker.engine import EngineError, EngineUnavailable
from runner.targets.docker.executor import DockerExecutor
from runner.targets.docker.observer import Observer
from runner.targets.kubernetes import access
from runner.targets.kubernetes.build import RegistryBuilder
from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.executor import KubernetesExecutor
from runner.targets.kubernetes.observer import ClusterObserver
from runner.targets.process import confinement
from runner.targets.process.executor import ROTATION, ProcessExecutor
from runner.targets.process.instance import InstanceWatch
from server.settings import Settings
from server.standing import StandingRows

MAX_NAMED = 20
"""Maximum number of running services that are named when the server stops."""

logger = logging.getLogger("stageline")


@dataclass(frozen=True)
class Targets:
    """The *executors* of the targets that the settings name.

    *containers* is None without a Docker engine, *workloads* without a Kubernetes cluster.
    """

    processes: ProcessExecutor
    containers: DockerExecutor | None
    workloads: KubernetesExecutor | None
    executors: Mapping[Target, Executor]


@asynccontextmanager
async def open_targets(settings: Settings, open_secrets: OpenSecrets) -> AsyncIterator[Targets]:
    """Yield the targets of a server or worker; raises `AddressInvalid`, `AccessInvalid` or `AccountUnusable`."""
    confinements = confinement.find(settings.run_as, settings.step_limits)
    processes = ProcessExecutor(settings.data, confinements, open_secrets)
    executors: dict[Target, Executor] = {Target.PROCESS: processes}
    containers: DockerExecutor | None = None
    workloads: KubernetesExecutor | None = None
    async with AsyncExitStack() as stack:
        if settings.docker is not None:
            target = docker_target(settings.docker, settings.data, open_secrets)
            executors[Target.DOCKER] = containers = await stack.enter_async_context(target)
        if settings.kubernetes is not None:
            cluster = kubernetes_target(settings, containers)
            executors[Target.KUBERNETES] = workloads = await stack.enter_async_context(cluster)
        yield Targets(processes, containers, workloads, executors)


@asynccontextmanager
async def docker_target(
    host: str, data: Path, open_secrets: OpenSecrets | None = None
) -> AsyncIterator[DockerExecutor]:
    """Yield the executor of the engine at *host*, with the folder *data*; raises `AddressInvalid`.

    The engine may be unavailable meanwhile.
    """
    engine = DockerEngine(address.parse(host))
    try:
        await engine.check()
    except (EngineUnavailable, EngineError) as error:
        logger.warning("The target DOCKER is unavailable until its engine answers: %(reason)s", {"reason": error})
    try:
        yield DockerExecutor(engine, machine(data).id, open_secrets)
    finally:
        await engine.close()


@asynccontextmanager
async def kubernetes_target(
    settings: Settings, containers: DockerExecutor | None = None
) -> AsyncIterator[KubernetesExecutor]:
    """Yield the executor of the cluster that *settings* name, whose images *containers* builds.

    Raises `AccessInvalid`. The cluster may be unavailable meanwhile.
    """
    assert settings.kubernetes is not None
    builder = None
    if containers is not None and settings.registry is not None:
        builder = RegistryBuilder(containers, settings.registry)
    cluster = Cluster(access.find(settings.kubernetes))
    try:
        await cluster.check()
    except (ClusterUnavailable, ClusterError) as error:
        logger.warning("The target KUBERNETES is unavailable until its cluster answers: %(reason)s", {"reason": error})
    try:
        yield KubernetesExecutor(cluster, machine(settings.data).id, namespace=settings.namespace, builder=builder)
    finally:
        await cluster.close()


def service_logs(
    settings: Settings, targets: Targets, states: States, roster: Roster, open_secrets: OpenSecrets
) -> TargetLogs:
    """Return the logs of the services of all targets."""
    logs: dict[Target, ServiceLogs] = {Target.PROCESS: ProcessLogs(settings.data, roster.elsewhere, open_secrets)}
    if targets.containers is not None:
        containers = EngineContainers(targets.containers.engine)
        logs[Target.DOCKER] = ContainerLogs(containers, roster.elsewhere, open_secrets)
    if targets.workloads is not None:
        pods = ClusterContainers(targets.workloads.cluster, settings.namespace)
        logs[Target.KUBERNETES] = ContainerLogs(pods, roster.elsewhere, open_secrets)

    async def target_of(environment: EnvironmentId) -> Target:
        return (await states.load(pipelines.decider, environment)).state.target

    return TargetLogs(target_of, logs)


def instance_watches(
    namespace: str | None,
    targets: Targets,
    engine: Engine,
    handler: Handler,
    rows: StandingRows,
    roster: Roster,
    open_secrets: OpenSecrets,
) -> Iterator[Coroutine[None, None, None]]:
    """Yield what watches the instances of *targets*, to be run until the server stops.

    Those in a cluster are all in *namespace*, if it is given.
    """
    processes, containers = targets.processes, targets.containers
    reporter = InstanceReporter(handler)
    yield reporter.run()
    yield _retried(processes.keep_logs_small, "Rotating the output of services")
    yield _retried(partial(_supervise, processes, engine, reporter), "Watching the instances")

    async def near() -> list[EnvironmentId]:
        standing = await rows.services(await handler.log.position())
        is_near = containers is None or not containers.is_local
        return [each for each in standing if is_near or await roster.elsewhere(each) is None]

    async def everywhere() -> list[EnvironmentId]:
        return list(await rows.services(await handler.log.position()))

    if containers is not None:
        deployed = DeployedInstances(handler.states, Target.DOCKER, near)
        observer = Observer(containers.instances, deployed, open_secrets)
        yield _retried(partial(_observe, observer, engine, reporter), "Observing the instances")
    if targets.workloads is not None:
        deployed = DeployedInstances(handler.states, Target.KUBERNETES, everywhere)
        cluster = ClusterObserver(targets.workloads.cluster, deployed, namespace)
        yield _retried(partial(_observe, cluster, engine, reporter), "Observing the instances in the cluster")


async def _supervise(processes: ProcessExecutor, engine: Engine, reporter: InstanceReporter) -> None:
    """Watch the instances on this machine, once those that nobody needs are stopped."""
    await engine.swept.wait()

    def report(watch: InstanceWatch) -> None:
        reporter.report(EnvironmentId(watch.start.request.environment), watch.report)

    await processes.supervisor.run(report)


async def _observe(observer: Observer | ClusterObserver, engine: Engine, reporter: InstanceReporter) -> None:
    """Observe the instances on a target, once those that nobody needs are stopped."""
    await engine.swept.wait()
    await observer.run(lambda environment, report: reporter.report(EnvironmentId(environment), report))


async def _retried(work: Callable[[], Coroutine[None, None, None]], failure: str) -> None:
    """Run endless *work*, and again after a failure, which is logged."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%(failure)s failed; retrying in %(pause)g s", {"failure": failure, "pause": ROTATION})
            await asyncio.sleep(ROTATION)


def report_services(processes: ProcessExecutor) -> None:
    """Log which services and steps keep running without this server, and how to stop them."""
    running = [each for each in processes.running() if each.pid is not None]
    if not running:
        return
    names = ", ".join(f"{each.name} (process group {each.pid})" for each in running[:MAX_NAMED])
    more = f" and {len(running) - MAX_NAMED} more" if len(running) > MAX_NAMED else ""
    groups = " ".join(f"-{each.pid}" for each in running[:MAX_NAMED])
    logger.info(
        "%(count)d of this server's services and steps keep running: %(names)s%(more)s. To stop them until the next "
        "start: kill -- %(groups)s",
        {"count": len(running), "names": names, "more": more, "groups": groups},
    )
