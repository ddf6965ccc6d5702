"""Projects."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from application.handler import Transaction
from domain import project as domain
from domain.errors import ProjectNotFound
from endpoint.execution.answers import WHOLE
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import Connection, connection, part
from gql.contract.errors import Refusal
from gql.contract.mutation import Write, mutation
from gql.contract.node import Node, global_id, uuid_of
from projections.project import ProjectView
from store import ids


@strawberry.type(description="A namespace of environments.")
class Project(Node):
    name: str
    created_at: datetime
    cursor: str = strawberry.field(description="A place in the log at which the project is as shown here.")


ProjectResult = Annotated[
    Project | Refusal,
    strawberry.union("ProjectResult", description="The project as the change left it, or why there is no change."),
]


def shown(context: Context, view: ProjectView) -> Project:
    return Project(
        id=global_id("project", view.id),
        name=view.name,
        created_at=view.created_at,
        cursor=cursors.of_position(context.application.log.epoch, view.position),
    )


async def find(context: Context, ref: str) -> domain.ProjectId:
    """The project that *ref*, an id or a name, names; raises `ProjectNotFound`."""
    catalog = (await context.application.handler.states.load(domain.catalog, domain.CATALOG)).state
    known = uuid_of("project", ref)
    if known is None:
        return catalog.find(ref)
    if all(entry.id != known for entry in catalog.projects):
        raise ProjectNotFound(project=ref)
    return domain.ProjectId(known)


@strawberry.type
class Query:
    @strawberry.field(description="Every project, by name.")
    async def projects(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Project]:
        application = info.context.application
        await info.context.settled()
        info.context.reads(WHOLE)
        page = await application.projects.list(part(first, after, last, before))
        return connection(page, lambda view: shown(info.context, view))

    @strawberry.field(description="A project by its id or its name.")
    async def project(self, info: Info, id: ID) -> Project | None:
        application = info.context.application
        await info.context.settled()
        info.context.reads(WHOLE)
        try:
            view = await application.projects.get(await find(info.context, id))
        except ProjectNotFound:
            return None
        return None if view is None else shown(info.context, view)


@mutation("Makes a project.")
async def create_project(write: Write, name: str) -> ProjectResult:
    project = domain.ProjectId(ids.new())

    async def work(transaction: Transaction) -> UUID:
        naming = domain.NameProject(project=project, name=name)
        await transaction.do(domain.catalog, domain.CATALOG, naming)
        await transaction.do(domain.decider, project, domain.CreateProject(name=name), write.expected_version)
        return project

    handled = await write.transact(work, domain.decider)
    application = write.context.application
    made = await application.log.read(handled.subject.stream, until=1)
    view = ProjectView(
        id=domain.ProjectId(handled.subject.stream),
        name=handled.state.name or "",
        created_at=made[0].recorded_at if made else datetime.now(UTC),
        position=handled.receipt.position,
    )
    return shown(write.context, view)
