"""The places that roles are for, of streams and their events."""

from uuid import UUID

from cache.lru import Cache
from domain.deployment.queue import DeploymentRequested
from domain.deployment.state import DeploymentPlanned
from domain.instance import InstanceEvent
from domain.pipeline.environment import EnvironmentCreated
from domain.project import EnvironmentId, ProjectCreated, ProjectId
from domain.role import Place
from store.log import EventLog, RecordedEvent

CACHED_PLACES = 2 * 1024 * 1024
"""Maximum size of the cached places, in bytes: about 5,000, which never change."""

PLACE = 100
"""Size of a cached place with its key, in bytes."""


class Places:
    """Finds places by the first event of a stream, which never changes."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._known: Cache[UUID, Place] = Cache(CACHED_PLACES)

    async def find(self, stream: UUID) -> Place | None:
        """Return the place of a stream, also of a deleted project or environment; None if it belongs to no project."""
        known = self._known.get(stream)
        if known is None:
            known = await self._read(stream)
            if known is not None:
                self._known.put(stream, known, PLACE)
        return known

    async def of_event(self, recorded: RecordedEvent) -> Place | None:
        """Return the place of an event; None if it belongs to no project."""
        return await self.find(recorded.stream)

    async def _read(self, stream: UUID) -> Place | None:
        for recorded in await self._log.read(stream, until=1):
            match recorded.event:
                case ProjectCreated():
                    return Place(project=ProjectId(stream))
                case EnvironmentCreated(project=project):
                    return Place(project=project, environment=EnvironmentId(stream))
                case DeploymentPlanned(environment=environment):
                    return await self.find(environment)
                case DeploymentRequested(deployment=deployment):  # the stream of a queue
                    return await self.find(deployment)
                case event if isinstance(event, InstanceEvent):
                    return await self.find(event.instance.deployment)
        return None
