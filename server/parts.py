"""The composition root: every part, made once and put together here."""

import asyncio
import logging
import shlex
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.environment import Target
from domain.project import EnvironmentId
from domain.queue import DeploymentId
from domain.service import ServiceId
from gql.answer import Answers
from gql.aside import Aside
from gql.context import Application
from gql.revocation import Revocations
from projections import standing
from projections.audit import RunningHash
from projections.deployment import Deployments
from projections.environment import Environments
from projections.history import History
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.standing import Everything
from runner.engine import Engine, LocalEngine, OpenDeployments, StandingServices
from runner.executor import Executor
from runner.machine import machine
from runner.process import ProcessExecutor
from runner.runner import Runner
from runner.worker import WorkerEngine
from server import signing
from server.auth import Tokens
from server.sessions import Sessions
from server.settings import Settings
from server.stores import Stores, on_postgres, on_sqlite
from store import disk, ids
from store.handle import Handler
from store.output import SqliteOutput
from store.people import People
from store.postgres import PostgresLog
from store.postgres_output import PostgresOutput

CATCHING_UP = 3600.0
"""Seconds that the read models may take at a start, if all of them are made anew from a long log."""

logger = logging.getLogger("stageline")


@dataclass(frozen=True)
class Parts:
    """What runs while the server does; it is to end when it is *lost*."""

    application: Application
    tokens: Tokens
    sessions: Sessions
    lost: asyncio.Event


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what *settings* name, runs the projections and the engine, and closes everything in reverse."""
    disk.folder(settings.data)
    if disk.is_open_to_others(settings.data):
        logger.warning(
            "Other users of this machine have access to the data folder %s: take it away with chmod -R go= %s",
            settings.data,
            shlex.quote(str(settings.data)),
        )
    signing_key = signing.key(settings)
    opened = on_postgres(settings.database) if settings.database is not None else on_sqlite(settings.data)
    async with opened as stores, AsyncExitStack() as stack:
        views, output, projector = stores.views, stores.output, stores.projector
        executors: Mapping[Target, Executor] = {Target.PROCESS: ProcessExecutor(settings.data)}
        there = _application(stores.elsewhere(), frozenset(executors), signing_key, Revocations(stores.log))
        aside = Aside(there)
        stack.push_async_callback(aside.stop)
        answers = Answers(stores.log, settings.kept_answers * 1024 * 1024) if settings.kept_answers else None
        application = replace(
            _application(stores, there.targets, signing_key, there.revocations), answers=answers, aside=aside
        )
        await application.people.forget_all()
        await projector.start()
        stack.push_async_callback(projector.stop)

        async def open_deployments(position: int) -> Collection[DeploymentId]:
            await projector.wait_for(position, CATCHING_UP)
            return [row.deployment for row in await Everything(views, standing.unfinished).list()]

        async def standing_services(position: int) -> Mapping[EnvironmentId, Collection[ServiceId]]:
            await projector.wait_for(position, CATCHING_UP)
            if any(parked.kind == standing.standing.name for parked in await views.parked()):
                raise RuntimeError("An event of the standing services is parked: nobody can say what is left over.")
            return {row.environment: row.services for row in await Everything(views, standing.standing).list()}

        engine = _engine(settings, application.handler, executors, output, open_deployments, standing_services)
        if engine is not None:
            await engine.start()
            stack.push_async_callback(engine.stop)
        tokens = Tokens(application.handler)
        yield Parts(application, tokens, Sessions(application.handler, tokens, signing_key), stores.lost)


def _application(
    stores: Stores, targets: frozenset[Target], signing_key: Ed25519PrivateKey, revocations: Revocations
) -> Application:
    log, views = stores.log, stores.views
    handler = Handler(log)
    return Application(
        log=log,
        handler=handler,
        projector=stores.projector,
        projects=Projects(views),
        environments=Environments(views),
        pipelines=Pipelines(log, views),
        deployments=Deployments(views, log),
        history=History(views, log),
        output=stores.output,
        targets=targets,
        running=RunningHash(views),
        signing_key=signing_key,
        people=People(handler.states, stores.keys),
        revocations=revocations,
    )


def _engine(
    settings: Settings,
    handler: Handler,
    executors: Mapping[Target, Executor],
    output: SqliteOutput | PostgresOutput,
    open_deployments: OpenDeployments,
    services: StandingServices,
) -> Engine | None:
    """None where others drive what is admitted here."""
    if settings.database is None:
        runner = Runner(handler, executors, output, worker=f"local-{ids.new().hex}")
        return LocalEngine(runner, open_deployments, services)
    if not settings.works:
        return None
    assert isinstance(output, PostgresOutput)
    assert isinstance(handler.log, PostgresLog)
    here = machine(settings.data)
    runner = Runner(handler, executors, output, worker=f"{here.name}-{ids.new().hex}")
    check = handler.log.witness.check
    return WorkerEngine(settings.database, here, settings.gone, runner, output, open_deployments, services, check)
