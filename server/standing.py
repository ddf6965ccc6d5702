"""The open deployments and standing services that an engine starts from, once the read models have caught up."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from domain.deployment.queue import DeploymentId
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from projections import standing
from projections.engine.projector import Projector
from projections.engine.views import Views, ViewsDamaged
from projections.standing import RowList

CATCHING_UP = 3600.0
"""Maximum time for a rebuild of all read models at a start, in seconds."""

Row = TypeVar("Row", bound=Struct)


class StandingRows:
    """Reads the rows of *views* at a position of the log that *projector* has reached."""

    def __init__(self, projector: Projector, views: Views) -> None:
        self._projector = projector
        self._views = views

    async def open_deployments(self, position: int) -> Collection[DeploymentId]:
        """Return the deployments that were not over at *position*."""
        return [row.deployment for row in await self._list(RowList(self._views, standing.unfinished), position)]

    async def services(self, position: int) -> Mapping[EnvironmentId, Collection[ServiceId]]:
        """Return the services that stood at *position*; raises `RuntimeError` if some are unknown."""
        rows = await self._list(RowList(self._views, standing.standing), position)
        if any(parked.kind == standing.standing.name for parked in await self._views.parked()):
            raise RuntimeError("The leftovers are unknown, because an event of the standing services is parked.")
        return {row.environment: row.services for row in rows}

    async def _list(self, rows: RowList[Row], position: int) -> Sequence[Row]:
        while True:
            await self._projector.wait_for(position, CATCHING_UP)
            try:
                return await rows.list()
            except ViewsDamaged:
                await self._projector.review()  # from here on, its position is that of the new store
