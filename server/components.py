"""The composition root: it creates every component once, and connects them."""

import asyncio
import logging
import shlex
import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from application.actor import Profiles
from application.handler import Handler
from application.log import ServiceLogs
from application.place import Places
from application.secret import Vault
from application.worker import Roster
from cache.lru import BUDGET, shared
from domain import pipeline as pipelines
from domain.deployment.queue import DeploymentId
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from endpoint import trace
from endpoint.execution.answers import AnswerCache
from endpoint.execution.aside import Aside, on_current_loop
from endpoint.http.backend import Backend
from endpoint.identity import Identity
from gql.context import Application, Context
from gql.types.webhook import type_name
from projections import deployment, environment, standing
from projections.audit import RunningHash
from projections.deployment import DeploymentPages, Deployments
from projections.engine.views import ViewsDamaged
from projections.environment import EnvironmentPages, Environments
from projections.history import History
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.queue import Queues
from projections.service import Services
from projections.standing import RowList
from runner.cluster_log import ClusterLogs
from runner.container_log import ContainerLogs
from runner.deployed import DeployedInstances
from runner.engine import Engine, LocalEngine, OpenDeployments, StandingServices
from runner.freeze import FreezeEnds
from runner.log import ProcessLogs
from runner.machine import machine
from runner.report import InstanceReporter
from runner.roster import LocalRoster, SharedRoster
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.service_log import TargetLogs
from runner.targets.contract import Executor, OpenSecrets, StepRequest
from runner.targets.docker import address
from runner.targets.docker.engine import Engine as DockerEngine
from runner.targets.docker.engine import EngineError, EngineUnavailable
from runner.targets.docker.executor import DockerExecutor
from runner.targets.docker.observer import Observer
from runner.targets.kubernetes import access
from runner.targets.kubernetes.build import RegistryBuilder
from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.executor import KubernetesExecutor
from runner.targets.process import account
from runner.targets.process.executor import ROTATION, ProcessExecutor
from runner.targets.process.instance import InstanceWatch
from runner.targets.process.supervisor import Supervisor
from runner.wait import WaitRecorder
from runner.webhook.allow_list import AllowList
from runner.webhook.courier import Courier, CursorDeliveries
from runner.webhook.message import Narrator
from runner.webhook.sender import Sender
from runner.worker import WorkerEngine
from server import retention, signing
from server.auth import Tokens
from server.feed import LogFeed
from server.revocation import Revocations
from server.sessions import Sessions
from server.settings import Settings
from server.stores import Stores, on_postgres, on_sqlite
from store import ids
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.sqlite import disk
from store.sqlite.output import SqliteOutput

CATCHING_UP = 3600.0
"""Maximum time for a rebuild of all read models at a start, in seconds."""

MAX_NAMED = 20
"""Maximum number of running services that are named when the server stops."""

Row = TypeVar("Row", bound=Struct)

logger = logging.getLogger("stageline")


@dataclass(frozen=True)
class Components:
    """The components of a running server, which has to stop when *lost* is set.

    *engine* and *supervisor* are None if only other workers run deployments.
    """

    application: Application
    backend: Backend
    tokens: Tokens
    sessions: Sessions
    lost: asyncio.Event
    engine: Engine | None
    supervisor: Supervisor | None


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Components]:
    """Open the stores, run the projections and the engine, and close everything in reverse order."""
    with disk.translate_errors(settings.data):
        disk.make_folder(settings.data)
        is_open = disk.is_open_to_others(settings.data)
    if is_open:
        logger.warning(
            "Other users of this machine have access to the data folder %(data)s; deny it with chmod -R go= %(quoted)s",
            {"data": settings.data, "quoted": shlex.quote(str(settings.data))},
        )
    signing_key = signing.key(settings)
    opened = on_postgres(settings.database) if settings.database is not None else on_sqlite(settings.data)
    async with opened as stores, AsyncExitStack() as stack:
        views, output, projector = stores.views, stores.output, stores.projector

        async def open_secrets(request: StepRequest) -> StepRequest:
            return await secrets.again(request)

        user = None if settings.run_as is None else account.find(settings.run_as)
        processes = ProcessExecutor(settings.data, user, open_secrets)
        executors: dict[Target, Executor] = {Target.PROCESS: processes}
        containers: DockerExecutor | None = None
        if settings.docker is not None:
            target = docker_target(settings.docker, settings.data, open_secrets)
            executors[Target.DOCKER] = containers = await stack.enter_async_context(target)
        if settings.kubernetes is not None:
            workloads = kubernetes_target(settings, containers)
            executors[Target.KUBERNETES] = await stack.enter_async_context(workloads)
        worker = f"{'local' if settings.database is None else socket.gethostname()}-{ids.new().hex}"
        roster = await stack.enter_async_context(_roster(settings, stores, worker))
        pages = _recent_pages(stores)
        logs_of: dict[Target, ServiceLogs] = {
            Target.PROCESS: ProcessLogs(settings.data, roster.elsewhere, open_secrets)
        }
        if containers is not None:
            logs_of[Target.DOCKER] = ContainerLogs(containers.engine, roster.elsewhere, open_secrets)
        if settings.kubernetes is not None:
            logs_of[Target.KUBERNETES] = ClusterLogs(settings.namespace)

        async def target_of(environment: EnvironmentId) -> Target:
            return (await application.handler.states.load(pipelines.decider, environment)).state.target

        logs = TargetLogs(target_of, logs_of)
        threaded = _application(
            stores.elsewhere(), on_current_loop(roster), frozenset(executors), signing_key, pages, on_current_loop(logs)
        )
        aside = Aside[Context](lambda context: replace(context, application=threaded))
        stack.push_async_callback(aside.stop)
        application = _application(stores, roster, threaded.targets, signing_key, pages, logs)
        await application.profiles.forget_all()
        await application.vault.forget_all()
        secrets = SecretOpener(application.handler.states, application.vault)
        await projector.start()
        stack.push_async_callback(projector.stop)

        async def listed(rows: RowList[Row], position: int) -> Sequence[Row]:
            while True:
                await projector.wait_for(position, CATCHING_UP)
                try:
                    return await rows.list()
                except ViewsDamaged:
                    await projector.review()  # from here on, its position is that of the new store

        async def open_deployments(position: int) -> Collection[DeploymentId]:
            return [row.deployment for row in await listed(RowList(views, standing.unfinished), position)]

        async def standing_services(position: int) -> Mapping[EnvironmentId, Collection[ServiceId]]:
            rows = await listed(RowList(views, standing.standing), position)
            if any(parked.kind == standing.standing.name for parked in await views.parked()):
                raise RuntimeError("The leftovers are unknown, because an event of the standing services is parked.")
            return {row.environment: row.services for row in rows}

        runner = Runner(application.handler, executors, output, worker, secrets)
        engine = _engine(settings, runner, output, open_deployments, standing_services)
        if engine is not None:
            stack.callback(_report_services, processes)
            await engine.start()
            stack.push_async_callback(engine.stop)
            stack.push_async_callback(_cancel, asyncio.create_task(_keep_logs_small(processes)))
            reporter = InstanceReporter(application.handler)
            stack.push_async_callback(_cancel, asyncio.create_task(reporter.run()))
            stack.push_async_callback(_cancel, asyncio.create_task(_supervise(processes, engine, reporter)))
            if containers is not None:

                async def near() -> list[EnvironmentId]:
                    standing = await standing_services(await stores.log.position())
                    is_near = not containers.is_local
                    return [each for each in standing if is_near or await roster.elsewhere(each) is None]

                deployed = DeployedInstances(application.handler.states, Target.DOCKER, near)
                observer = Observer(containers.engine, containers, deployed, open_secrets)
                stack.push_async_callback(_cancel, asyncio.create_task(_observe(observer, engine, reporter)))
        releases = FreezeEnds(application.handler, open_deployments)
        stack.push_async_callback(_cancel, asyncio.create_task(releases.run()))
        if settings.database is not None:  # the engine of a server on SQLite is its one worker
            waits = WaitRecorder(application.handler, roster, open_deployments)
            stack.push_async_callback(_cancel, asyncio.create_task(waits.run()))
        if settings.retention is not None:
            pruning = retention.run(output, stores.log, settings.retention)
            stack.push_async_callback(_cancel, asyncio.create_task(pruning))
        if settings.webhooks is not None:
            courier = _courier(settings.webhooks, application, stores, worker)
            stack.push_async_callback(_cancel, asyncio.create_task(courier.run()))
        tokens = Tokens(application.handler)
        backend = _backend(settings, application, aside)
        sessions = Sessions(application.handler, tokens, signing_key)
        supervisor = None if engine is None else processes.supervisor
        yield Components(application, backend, tokens, sessions, stores.lost, engine, supervisor)


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


async def _keep_logs_small(processes: ProcessExecutor) -> None:
    while True:
        try:
            await processes.keep_logs_small()
        except Exception:
            logger.exception("Rotating the output of services failed; retrying in %(pause)g s", {"pause": ROTATION})
            await asyncio.sleep(ROTATION)


async def _supervise(processes: ProcessExecutor, engine: Engine, reporter: InstanceReporter) -> None:
    """Watch the instances on this machine, once those that nobody needs are stopped."""
    await engine.swept.wait()

    def report(watch: InstanceWatch) -> None:
        reporter.report(EnvironmentId(watch.start.request.environment), watch.report)

    while True:
        try:
            await processes.supervisor.run(report)
        except Exception:
            logger.exception("Watching the instances failed; retrying in %(pause)g s", {"pause": ROTATION})
            await asyncio.sleep(ROTATION)


async def _observe(observer: Observer, engine: Engine, reporter: InstanceReporter) -> None:
    """Observe the instances on the Docker engine, once those that nobody needs are stopped."""
    await engine.swept.wait()
    while True:
        try:
            await observer.run(lambda environment, report: reporter.report(EnvironmentId(environment), report))
        except Exception:
            logger.exception("Observing the instances failed; retrying in %(pause)g s", {"pause": ROTATION})
            await asyncio.sleep(ROTATION)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _report_services(processes: ProcessExecutor) -> None:
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


def _backend(settings: Settings, application: Application, aside: Aside[Context]) -> Backend:
    def context(headers: Mapping[str, str], identity: Identity | None) -> Context:
        claimed = headers.get("stageline-origin", "")
        return Context(
            application=application,
            identity=identity,
            claimed_origin=claimed,
            aside=aside,
            request_id=trace.request.get().decode(),
        )

    feed = LogFeed(application.log)
    size = settings.kept_answers * 1024 * 1024
    shared.limit = BUDGET + size
    answers = AnswerCache(feed, size) if size else None
    return Backend(context, feed, Revocations(application.log), answers)


@asynccontextmanager
async def _roster(settings: Settings, stores: Stores, worker: str) -> AsyncIterator[Roster]:
    """Yield the roster of the database, or that of this server's own engine, called *worker*."""
    if settings.database is None:
        yield LocalRoster(worker)
        return
    assert isinstance(stores.log, PostgresLog)
    here = machine(settings.data).id if settings.works else None
    roster = SharedRoster(settings.database, here, stores.log.witness.check)
    try:
        yield roster
    finally:
        await roster.close()


class RecentlyRead(Struct, frozen=True):
    """The pages that were read last, which all threads share."""

    environments: EnvironmentPages
    deployments: DeploymentPages


def _recent_pages(stores: Stores) -> RecentlyRead:
    return RecentlyRead(
        environment.recent_pages(stores.log, stores.projector), deployment.recent_pages(stores.log, stores.projector)
    )


def _application(
    stores: Stores,
    roster: Roster,
    targets: frozenset[Target],
    signing_key: Ed25519PrivateKey,
    pages: RecentlyRead,
    logs: ServiceLogs,
) -> Application:
    log, views = stores.log, stores.views
    handler = Handler(log)
    return Application(
        log=log,
        handler=handler,
        projector=stores.projector,
        projects=Projects(views),
        environments=Environments(views, pages.environments),
        queues=Queues(views),
        pipelines=Pipelines(log, views),
        services=Services(views),
        deployments=Deployments(views, log, pages.deployments),
        history=History(views, log),
        output=stores.output,
        targets=targets,
        running=RunningHash(views),
        signing_key=signing_key,
        profiles=Profiles(handler.states, stores.keys),
        vault=Vault(handler.states, stores.keys),
        deliveries=CursorDeliveries(stores.cursors),
        roster=roster,
        unfinished=RowList(views, standing.unfinished),
        logs=logs,
        places=Places(log),
    )


def _courier(allowed: AllowList, application: Application, stores: Stores, worker: str) -> Courier:
    handler = application.handler
    narrator = Narrator(stores.log, handler.states, application.places, type_name)
    return Courier(handler, application.vault, stores.cursors, Sender(allowed), narrator, worker)


def _engine(
    settings: Settings,
    runner: Runner,
    output: SqliteOutput | PostgresOutput,
    open_deployments: OpenDeployments,
    services: StandingServices,
) -> Engine | None:
    """Return the engine, or None if only other workers run deployments."""
    if settings.database is None:
        return LocalEngine(runner, open_deployments, services)
    if not settings.works:
        return None
    assert isinstance(output, PostgresOutput)
    log = runner.handler.log
    assert isinstance(log, PostgresLog)
    here = machine(settings.data)
    check = log.witness.check
    return WorkerEngine(settings.database, here, settings.gone, runner, output, open_deployments, services, check)
