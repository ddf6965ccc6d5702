"""The composition root: every part, made once and put together here."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from domain.environment import Target
from domain.queue import DeploymentId
from domain.service import ServiceId
from gql.context import Application
from projections import deployment, environment, pipeline, project, standing
from projections.deployment import Deployments
from projections.environment import Environments
from projections.pipeline import Pipelines
from projections.project import Projects
from projections.projector import Projector
from projections.sqlite import SqliteViews
from projections.standing import Everything
from runner.engine import LocalEngine
from runner.process import ProcessExecutor
from runner.runner import Runner
from server.auth import Tokens
from server.settings import Settings
from store import ids
from store.handle import Handler
from store.output import SqliteOutput
from store.sqlite import SqliteLog

PROJECTIONS = (
    project.projection,
    environment.projection,
    pipeline.projection,
    deployment.projection,
    standing.unfinished,
    standing.standing,
)

CATCHING_UP = 3600.0
"""Seconds that the read models may take at a start, if all of them are made anew from a long log."""


@dataclass(frozen=True)
class Parts:
    """What runs while the server does."""

    application: Application
    tokens: Tokens


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what *settings* name, runs the projections and the engine, and closes everything in reverse."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        log = await SqliteLog.open(settings.data / "log.db")
        stack.push_async_callback(log.close)
        views = await SqliteViews.open(settings.data / "views.db")
        stack.push_async_callback(views.close)
        output = await SqliteOutput.open(settings.data / "output.db")
        stack.push_async_callback(output.close)
        handler = Handler(log)
        projector = Projector(log, views, PROJECTIONS)
        await projector.start()
        stack.push_async_callback(projector.stop)
        executors = {Target.PROCESS: ProcessExecutor(settings.data)}
        application = Application(
            log=log,
            handler=handler,
            projector=projector,
            projects=Projects(views),
            environments=Environments(views),
            pipelines=Pipelines(log),
            deployments=Deployments(views, log),
            output=output,
            targets=frozenset(executors),
        )

        async def open_deployments(position: int) -> Collection[DeploymentId]:
            await projector.wait_for(position, CATCHING_UP)
            return [row.deployment for row in await Everything(views, standing.unfinished).list()]

        async def standing_services(position: int) -> Collection[ServiceId]:
            await projector.wait_for(position, CATCHING_UP)
            return [service for row in await Everything(views, standing.standing).list() for service in row.services]

        engine = LocalEngine(
            Runner(handler, executors, output, worker=f"local-{ids.new().hex}"), open_deployments, standing_services
        )
        await engine.start()
        stack.push_async_callback(engine.stop)
        yield Parts(application, Tokens(handler))
