"""The subscriptions of the projects, and of one: for pages that list environments."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from domain import project as projects
from domain.deployment import queue as queues
from domain.project import EnvironmentId, ProjectId
from endpoint.execution.selection import names
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE, Connection, part
from gql.contract.newest import RATE, Reading, newest
from gql.types.project import Project, find, page, project_of
from gql.types.ref import ProjectArgument
from store.log import RecordedEvent


class ProjectActivity:
    """A project, and the events that change it, its environments, their pipelines, queues and deployments."""

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
        environments = [EnvironmentId(entry.id) for entry in state.environments]
        running = await application.queues.open(environments)
        self._streams = {
            self._project,
            *environments,
            *(queues.stream(each) for each in environments),
            *(deployment for some in running for deployment in some),
        }
        return Reading(value=await project_of(self._context, self._project), position=position, is_final=False)

    def concerns(self, recorded: RecordedEvent) -> bool:
        """Whether an event changes the project or a part of it.

        A new environment is an event of its project, too, and a new deployment one of its queue.
        """
        return recorded.stream in self._streams


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
