"""An environment's queue: the deployments in it now and at any version, requests that merged, and events in words."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import assert_never, cast, get_args
from uuid import UUID

from msgspec import Struct

from domain.deployment.queue import (
    DeploymentAdmitted,
    DeploymentClosed,
    DeploymentFrozen,
    DeploymentId,
    DeploymentMerged,
    DeploymentRequested,
    DeploymentThawed,
    FreezeIgnored,
    QueueEvent,
    stream,
)
from domain.project import EnvironmentId
from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Views
from projections.event import EventView
from projections.words.queue import queue_event_words
from store.log import EventLog, RecordedEvent

BATCH = 100
"""Events that are read at once."""

EVENTS = frozenset(get_args(QueueEvent))

MAX_MERGED = 100
"""Maximum number of merged requests that are kept for a deployment, the newest ones."""


class QueueView(Struct, frozen=True, kw_only=True):
    """The deployments of a queue that have not ended, in the order of their requests."""

    deployments: tuple[DeploymentId, ...] = ()
    position: int


class MergedRequest(Struct, frozen=True, kw_only=True):
    """A request that merged into a waiting deployment."""

    actor: str
    reason: str | None
    at: datetime


class MergedRequests(Struct, frozen=True, kw_only=True):
    """The requests that merged into a deployment, oldest first, at most `MAX_MERGED`."""

    requests: tuple[MergedRequest, ...]
    position: int


def _key(recorded: RecordedEvent) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def _fold(view: QueueView | None, recorded: RecordedEvent) -> QueueView | None:
    event = cast("QueueEvent", recorded.event)
    known = () if view is None else view.deployments
    match event:
        case DeploymentRequested(deployment=deployment, undoes=None):
            known = (*known, deployment)
        case DeploymentRequested(deployment=deployment):
            known = (*known[:1], deployment, *known[1:])
        case DeploymentClosed(deployment=deployment):
            known = tuple(each for each in known if each != deployment)
        case DeploymentMerged() | DeploymentAdmitted() | DeploymentFrozen() | DeploymentThawed() | FreezeIgnored():
            pass
        case _:
            assert_never(event)
    return QueueView(deployments=known, position=recorded.position)


def _merged_key(recorded: RecordedEvent) -> UUID | None:
    return recorded.event.deployment if isinstance(recorded.event, DeploymentMerged) else None


def _fold_merged(view: MergedRequests | None, recorded: RecordedEvent) -> MergedRequests:
    request = MergedRequest(actor=recorded.by.actor, reason=recorded.by.reason, at=recorded.recorded_at)
    known = () if view is None else view.requests
    return MergedRequests(requests=(*known, request)[-MAX_MERGED:], position=recorded.position)


def _no_place(view: object) -> ListPlace | None:
    return None


projection = Projection("queue", 1, QueueView, _key, _fold, _no_place)
merged = Projection("merged", 1, MergedRequests, _merged_key, _fold_merged, _no_place)


class Queues:
    """Reads queues, and the requests that merged."""

    def __init__(self, views: Views) -> None:
        self._queues = Reader(views, projection)
        self._merged = Reader(views, merged)

    async def open(self, environments: Sequence[EnvironmentId]) -> Sequence[Sequence[DeploymentId]]:
        """Return the deployments of each environment that have not ended, in the order of their requests."""
        streams = [stream(each) for each in environments]
        found = await self._queues.find(streams)
        return [found[each].deployments if each in found else () for each in streams]

    async def merged(self, deployments: Collection[DeploymentId]) -> Mapping[UUID, MergedRequests]:
        """Return the requests that merged into each of *deployments*."""
        return await self._merged.find(deployments)


class QueueStory:
    """Describes the events of one queue in order; *numbers* are those of the deployments that are in it before."""

    def __init__(self, numbers: dict[DeploymentId, int]) -> None:
        self._numbers = numbers

    def describe(self, recorded: RecordedEvent) -> EventView:
        """Describe the next event."""
        event = cast("QueueEvent", recorded.event)
        if isinstance(event, DeploymentRequested):
            self._numbers[event.deployment] = event.number
        number = self._numbers[event.deployment]
        if isinstance(event, DeploymentClosed):
            del self._numbers[event.deployment]
        words = queue_event_words(number, event)
        return EventView(recorded=recorded, message=words.message, subject=words.subject, number=number)


async def open_at(log: EventLog, queue: UUID, version: int) -> dict[DeploymentId, int]:
    """Return the numbers of the deployments that were in the stream *queue* at *version*.

    An admission says which of the deployments that have not ended is the oldest one, so the stream is read backwards,
    up to its request.
    """
    found: dict[DeploymentId, int] = {}
    closed: set[DeploymentId] = set()
    oldest: DeploymentId | int | None = None
    while version > 0:
        for recorded in reversed(await log.events(queue, after=max(0, version - BATCH), until=version)):
            event = cast("QueueEvent", recorded)
            match event:
                case DeploymentClosed(deployment=deployment):
                    closed.add(deployment)
                case DeploymentAdmitted(deployment=deployment):
                    oldest = oldest or event.oldest or deployment
                case DeploymentRequested(deployment=deployment, number=number):
                    if deployment not in closed:
                        found[deployment] = number
                    if oldest in (deployment, number):
                        return found
                case DeploymentMerged() | DeploymentFrozen() | DeploymentThawed() | FreezeIgnored():
                    pass
                case _:
                    assert_never(event)
        version -= BATCH
    return found
