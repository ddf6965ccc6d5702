"""Events of projects: of their names, variables and secrets, and of the names of their environments."""

import enum
from typing import get_args

import strawberry
from strawberry import ID

from domain import project as projects
from domain.errors import ProjectNotFound
from endpoint.execution.edge import edge
from gql.context import Info
from gql.contract import cursor as cursors
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.contract.enum import describe_values, value_name
from gql.contract.node import global_id
from gql.contract.scalar import LogPosition
from gql.types.event import Event, event_actor, event_id
from gql.types.project import find_ever
from gql.types.ref import ProjectArgument
from gql.types.stream import PROJECT
from gql.types.stream import page as event_page
from projections.engine.views import Page, PageEdge
from projections.event import EventView

EVENTS: dict[type[projects.ProjectEvent], str] = {
    projects.ProjectCreated: "The project was created.",
    projects.ProjectRenamed: "The project was renamed.",
    projects.ProjectVariableSet: "A variable of the project was set.",
    projects.ProjectVariableDeleted: "A variable of the project was deleted.",
    projects.ProjectSecretSet: "A secret of the project was set. No event has its value.",
    projects.ProjectSecretDeleted: "A secret of the project was deleted. Its value can't be read any more.",
    projects.ProjectKeyRotated: "The key of the project's secrets was rotated.",
    projects.ProjectDeleted: "The project was deleted. No event follows.",
    projects.EnvironmentNamed: "An environment was added to the project, or renamed.",
    projects.EnvironmentNameFreed: "An environment of the project was deleted.",
}
"""A description of each event of a project."""


@strawberry.enum(description="The kind of an event of a project.")
class ProjectEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(projects.ProjectEvent):
        vars()[value_name(event.__name__)] = event.__name__


describe_values(ProjectEventType, {value_name(event.__name__): text for event, text in EVENTS.items()})


@strawberry.type(description="An event of a project itself. Its environments have events of their own.")
class ProjectEvent(Event):
    version: int = strawberry.field(description="Number of the event in the project, from 1.")
    project_event_type: ProjectEventType = strawberry.field(description="The kind of event, for programs.")
    project_id: ID = strawberry.field(description="Id of the project.")


edge(ProjectEvent, "The actor, as it is named now.", name="actor")(event_actor)


def convert(view: EventView, epoch: str) -> ProjectEvent:
    recorded = view.recorded
    return ProjectEvent(
        id=event_id(recorded),
        cursor=cursors.of_position(epoch, recorded.position),
        log_position=LogPosition(recorded.position),
        version=recorded.version,
        project_event_type=ProjectEventType(type(recorded.event).__name__),
        project_id=global_id("project", recorded.stream),
        recorded_at=recorded.recorded_at,
        actor_id=recorded.by.actor,
        origin=recorded.by.origin,
        reason=recorded.by.reason,
        message=view.message,
    )


@strawberry.type
class Query:
    @strawberry.field(
        description="List the events of a project itself in order: of its name, variables and secrets, and of the names"
        " of its environments."
    )
    async def project_changes(
        self,
        info: Info,
        project: ProjectArgument,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[ProjectEvent] | None:
        stream = await find_ever(info.context, project)
        slice_ = part(first, after, last, before)
        found = await event_page(info.context, stream, PROJECT, slice_, ProjectNotFound(project=project))
        info.context.reads(stream)
        epoch = info.context.application.log.epoch
        edges = tuple(PageEdge(edge.cursor, convert(edge.node, epoch)) for edge in found.edges)
        converted = Page(edges=edges, has_previous=found.has_previous, has_next=found.has_next)
        return connection(converted, lambda node: node)
