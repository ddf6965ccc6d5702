"""The composition root: it creates every component once, and connects them."""

import asyncio
import logging
import shlex
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from application.actor import Profiles
from application.handler import Handler
from application.log import ServiceLogs
from application.place import Places
from application.refusal import Refusals
from application.secret import Vault
from application.token_use import TokenUses
from application.worker import Roster
from cache.lru import BUDGET, shared
from domain.pipeline.environment import Target
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
from projections.environment import EnvironmentPages, Environments
from projections.history import History
from projections.insight import Insights
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.queue import Queues
from projections.service import Services
from projections.standing import RowList
from runner.engine import Engine, LocalEngine
from runner.freeze import FreezeEnds
from runner.machine import machine
from runner.roster import LocalRoster, SharedRoster
from runner.runner import Runner
from runner.secret import SecretOpener
from runner.targets.process.supervisor import Supervisor
from runner.wait import WaitRecorder
from runner.webhook.courier import Courier, CursorDeliveries
from runner.webhook.message import Narrator
from runner.webhook.sender import Sender
from runner.worker import WorkerEngine
from server import certificate, restored, retention, signing
from server.auth import Tokens
from server.feed import LogFeed
from server.oidc.federation import Federation
from server.oidc.sign_in import SignIns
from server.revocation import Revocations
from server.sessions import Sessions
from server.settings import Settings
from server.standing import StandingRows
from server.stores import Stores, on_postgres, on_sqlite
from server.targets import instance_watches, open_targets, report_services, service_logs
from store import ids
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.sqlite import disk
from store.sqlite.output import SqliteOutput
from tracing.exporter import exporting

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
    federation: Federation
    sign_ins: SignIns
    lost: asyncio.Event
    engine: Engine | None
    supervisor: Supervisor | None


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Components]:
    """Open the stores, run the projections and the engine, and close everything in reverse order."""
    _make_folder(settings.data)
    signing_key, tls = signing.key(settings), certificate.trusted()
    database = settings.database
    opened = on_sqlite(settings.data) if database is None else on_postgres(database, settings.archive)
    async with exporting(settings.traces, settings.trace_ratio), opened as stores, AsyncExitStack() as stack:
        handler = Handler(stores.log)
        secrets = SecretOpener(handler.states, Vault(handler.states, stores.keys))
        targets = await stack.enter_async_context(open_targets(settings, secrets.again))
        worker = f"{'local' if settings.database is None else socket.gethostname()}-{ids.new().hex}"
        roster = await stack.enter_async_context(_roster(settings, stores, worker))
        pages, kinds = _recent_pages(stores), settings.offers.union(targets.executors)
        logs = service_logs(settings, targets, handler.states, roster, secrets.again)
        elsewhere, refusals = stores.elsewhere(), Refusals(stores.cursors, worker)
        threaded = _application(
            elsewhere,
            Handler(elsewhere.log),
            on_current_loop(roster),
            kinds,
            signing_key,
            pages,
            on_current_loop(logs),
            on_current_loop(refusals),
        )
        aside = Aside[Context](lambda context: replace(context, application=threaded))
        stack.push_async_callback(aside.stop)
        application = _application(stores, handler, roster, kinds, signing_key, pages, logs, refusals)
        await application.profiles.forget_all()
        await application.vault.forget_all()
        await stores.projector.start()
        stack.push_async_callback(stores.projector.stop)
        rows = StandingRows(stores.projector, stores.views)
        runner = Runner(handler, targets.executors, stores.output, worker, secrets)
        engine = _engine(settings, runner, stores.output, rows)

        async def begin() -> None:
            """Go on with deployments, and send webhooks."""
            if engine is not None:
                stack.callback(report_services, targets.processes)
                await engine.start()
                stack.push_async_callback(engine.stop)
                for watch in instance_watches(
                    settings.namespace, targets, engine, handler, rows, roster, secrets.again
                ):
                    _run(stack, watch)
            _run(stack, FreezeEnds(handler, rows.open_deployments).run())
            if settings.webhooks is not None:
                sender = Sender(settings.webhooks, tls)
                _run(stack, _courier(sender, application, stores, worker).run())

        if restored.is_held(settings.data):
            _run(stack, restored.when_taken_over(settings.data, begin))
        else:
            await begin()
        if settings.database is not None:  # the engine of a server on SQLite is its one worker
            _run(stack, WaitRecorder(handler, roster, rows.open_deployments).run())
        if settings.retention is not None:
            _run(stack, retention.run(stores.output, stores.log, settings.retention))
        _run(stack, application.refusals.run())
        _run(stack, application.uses.run())
        tokens = Tokens(handler, application.refusals, application.uses)
        backend = _backend(settings, application, aside)
        federation = Federation(
            settings.providers, tls, handler, application.profiles, tokens.throttle, application.refusals
        )
        sessions = Sessions(handler, tokens, federation, signing_key)
        sign_ins = SignIns(federation, tokens.throttle, application.refusals, signing_key, settings.public_url)
        supervisor = None if engine is None else targets.processes.supervisor
        yield Components(application, backend, tokens, sessions, federation, sign_ins, stores.lost, engine, supervisor)


def _make_folder(data: Path) -> None:
    """Create the data folder if it is missing, and warn if others can enter it."""
    with disk.translate_errors(data):
        disk.make_folder(data)
        is_open = disk.is_open_to_others(data)
    if is_open:
        logger.warning(
            "Other users of this machine have access to the data folder %(data)s; deny it with chmod -R go= %(quoted)s",
            {"data": data, "quoted": shlex.quote(str(data))},
        )


def _run(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """Run *work* in the background until *stack* is closed."""
    stack.push_async_callback(_cancel, asyncio.create_task(work))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _backend(settings: Settings, application: Application, aside: Aside[Context]) -> Backend:
    def context(headers: Mapping[str, str], identity: Identity | None) -> Context:
        claimed = headers.get("stageline-origin", "")
        return Context(
            application=application,
            identity=identity,
            claimed_origin=claimed,
            aside=aside,
            request_id=trace.request.get().decode(),
            client=trace.client.get(),
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
    handler: Handler,
    roster: Roster,
    targets: frozenset[Target],
    signing_key: Ed25519PrivateKey,
    pages: RecentlyRead,
    logs: ServiceLogs,
    refusals: Refusals,
) -> Application:
    log, views = stores.log, stores.views
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
        insights=Insights(views, Environments(views)),
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
        refusals=refusals,
        uses=TokenUses(stores.cursors),
    )


def _courier(sender: Sender, application: Application, stores: Stores, worker: str) -> Courier:
    handler = application.handler
    narrator = Narrator(stores.log, handler.states, application.places, type_name)
    return Courier(handler, application.vault, stores.cursors, sender, narrator, worker)


def _engine(
    settings: Settings,
    runner: Runner,
    output: SqliteOutput | PostgresOutput,
    rows: StandingRows,
) -> Engine | None:
    """Return the engine, or None if only other workers run deployments."""
    if settings.database is None:
        return LocalEngine(runner, rows.open_deployments, rows.services)
    if not settings.works:
        return None
    assert isinstance(output, PostgresOutput)
    log = runner.handler.log
    assert isinstance(log, PostgresLog)
    here = machine(settings.data)
    return WorkerEngine(
        settings.database,
        here,
        settings.gone,
        runner,
        output,
        rows.open_deployments,
        rows.services,
        log.witness.check,
    )
