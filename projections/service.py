"""
Services by name: of an environment, of a project, or of all.

Each service has a row of its own as a part of its pipeline, at a place in each of the three lists. So a change of one
among a thousand services writes one row, and a move writes none.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never, cast, get_args
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from domain import name as names
from domain.pipeline.environment import EnvironmentDeleted
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceAdded, ServiceRemoved, ServiceRenamed
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, ProjectId
from projections.engine.views import FIRST, ListPlace, Page, PageEdge, Slice, SortRange, ViewRow, Views
from projections.history import KIND
from store.log import RecordedEvent

ListEvent = ServiceAdded | ServiceRenamed | ServiceRemoved | EnvironmentDeleted
"""An event that changes the lists of services."""

EVENTS = frozenset(get_args(ListEvent))
"""The events that change the lists of services."""


class ListedService(Struct, frozen=True, kw_only=True):
    """A service in a list, and its environment."""

    environment: EnvironmentId
    service: ServiceId


class ServiceQuery(Struct, frozen=True, kw_only=True):
    """A query of services: those whose name starts with *prefix*, without regard to case."""

    prefix: str = ""


ALL = ServiceQuery()
"""The query of all services."""


def rows(before: Pipeline, project: ProjectId, recorded: RecordedEvent) -> Mapping[UUID, ViewRow | None]:
    """Return the rows that an event of `EVENTS` changes, None for deleted ones; *before* is the pipeline before it."""
    event = cast("ListEvent", recorded.event)
    match event:
        case ServiceAdded(service=service, name=name) | ServiceRenamed(service=service, name=name):
            return {_key(service): _row(service, name, project, recorded)}
        case ServiceRemoved(service=service):
            return {_key(service): None}
        case EnvironmentDeleted():
            return {_key(service.id): None for service in before.services}
        case _:
            assert_never(event)


def _key(service: ServiceId) -> UUID:
    return uuid5(service, "service")


def _row(service: ServiceId, name: str, project: ProjectId, recorded: RecordedEvent) -> ViewRow:
    environment, sort = EnvironmentId(recorded.stream), names.key(name)
    return ViewRow(
        key=_key(service),
        place=None,
        position=recorded.position,
        document=_encoder.encode(ListedService(environment=environment, service=service)),
        places=tuple(ListPlace(_list(owner), sort) for owner in (None, project, environment)),
    )


def _list(owner: UUID | None) -> str:
    """Return the list of the services of a project or environment, or of all."""
    return f"services {owner or ''}"


class Services:
    """Reads lists of services, as new as the read models. Services of deleted environments are in none."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def list(
        self,
        owners: Sequence[ProjectId | EnvironmentId | None] = (None,),
        part: Slice = FIRST,
        query: ServiceQuery = ALL,
    ) -> Page[ListedService]:
        """Return the services of projects and environments, or of all for None, that match *query*, by name.

        No owner is a part of another. Raises `InvalidArgument` for an invalid cursor.
        """
        within = SortRange.starting_with(names.key(query.prefix))
        (page,) = await self._views.list_merged(KIND, [[_list(owner) for owner in owners]], part, within=within)
        edges = tuple(PageEdge(edge.cursor, _decoder.decode(edge.node)) for edge in page.edges)
        return Page(edges=edges, has_previous=page.has_previous, has_next=page.has_next)


_decoder = msgspec.json.Decoder(ListedService)
_encoder = msgspec.json.Encoder()
