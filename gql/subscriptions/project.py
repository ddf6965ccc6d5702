"""Subscriptions of the projects and of one: for pages that list environments, and for all that happens in them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from domain import instance as instances
from domain import project as projects
from domain.deployment import queue as queues
from domain.project import EnvironmentId, ProjectId
from domain.role import Place, role_at
from endpoint.execution.selection import names
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE, Connection, part
from gql.contract.cursor import LOSSLESS, AfterEvent
from gql.contract.newest import RATE, Reading, newest
from gql.types.chronicle import Chronicle
from gql.types.event import Event
from gql.types.project import Project, find, find_ever, page, project_of
from gql.types.ref import ProjectArgument
from store.log import RecordedEvent


class ProjectActivity:
    """A project, and the events that change it or an environment of it: its pipeline, queue, instances, deployments."""

    def __init__(self, context: Context, project: ProjectId) -> None:
        self._context = context
        self._project = project
        self._streams: set[UUID] = set()

    async def read(self) -> Reading[Project]:
        """Return the project now, and note which streams are part of it."""
        application = self._context.application
        position = await application.log.position()
        await application.projector.wait_for(position)
        state = (await application.handler.states.load(projects.decider, self._project)).state
        environments = [each for each in (EnvironmentId(entry.id) for entry in state.environments) if self._sees(each)]
        running = await application.queues.open(environments)
        self._streams = {
            self._project,
            *environments,
            *(queues.stream(each) for each in environments),
            *(instances.stream(each) for each in environments),
            *(deployment for some in running for deployment in some),
        }
        return Reading(value=await project_of(self._context, self._project), position=position, is_final=False)

    def _sees(self, environment: EnvironmentId) -> bool:
        """Whether the token may see *environment*; else a payload would tell that something happens there."""
        return role_at(self._context.roles, Place(project=self._project, environment=environment)) is not None

    def concerns(self, recorded: RecordedEvent) -> bool:
        """Whether an event changes the project or a part of it that the token may see.

        A new environment is an event of its project, too, and a new deployment one of its queue.
        """
        return recorded.stream in self._streams


async def follow_project(context: Context, project: ProjectId, after: str | None) -> AsyncGenerator[Event, None]:
    """Yield all events of the environments of a project after a cursor, until the project is deleted."""
    log = context.application.log
    position = await cursors.reached(log, after)
    version = await log.version(project, position) if position else 0
    before = (await context.application.handler.states.load_at(projects.decider, project, version)).state
    if before.is_deleted:
        return
    chronicle = Chronicle(context, position, project)
    for entry in before.environments:
        await chronicle.open(EnvironmentId(entry.id))
    async with aclosing(chronicle.events()) as events:
        async for event in events:
            yield event


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The first projects by name, now and after each change of one: it is created, renamed or deleted."
        f" {RATE}.",
        metadata=NEWEST,
    )
    async def projects(
        self,
        info: Info,
        first: Annotated[
            int | None,
            strawberry.argument(description=f"Number of projects, 1 to {MAX_PAGE}; null for {DEFAULT_PAGE}."),
        ] = None,
    ) -> AsyncGenerator[Connection[Project], None]:
        context, slice_ = info.context, part(first, None, None, None)
        is_counted = "totalCount" in names(info)

        async def read() -> Reading[Connection[Project]]:
            position = await context.application.log.position()
            await context.application.projector.wait_for(position)
            return Reading(value=await page(context, slice_, is_counted=is_counted), position=position, is_final=False)

        async with aclosing(newest(context.application.log, read, stream=projects.CATALOG)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="A project, now and after each change of it, of its environments, of their pipelines, queues or"
        f" deployments: select what a page shows of them. {RATE}.",
        metadata=NEWEST,
    )
    async def project(self, info: Info, id: ProjectArgument) -> AsyncGenerator[Project, None]:
        activity = ProjectActivity(info.context, await find(info.context, id))
        async with aclosing(newest(info.context.application.log, activity.read, activity.concerns)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="All events of a project's environments after a cursor: of their pipelines, their deployments and"
        " their queues, in one order, also of environments that are created later; completes when the project is"
        " deleted. No event is left out.",
        metadata=LOSSLESS,
    )
    async def project_events(
        self, info: Info, project: ProjectArgument, after: AfterEvent = None
    ) -> AsyncGenerator[Event, None]:
        own = await find_ever(info.context, project)
        async with aclosing(follow_project(info.context, own, after)) as events:
            async for event in events:
                yield event
