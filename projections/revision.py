"""Revisions: when each was first requested in each environment."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.state import DeploymentPlanned
from domain.project import EnvironmentId
from projections.engine.projection import Projection, Reader
from projections.engine.views import ListPlace, Views
from store.log import RecordedEvent

REVISIONS = UUID("01930b1c-7c1e-7d3a-8f60-5d0c2f6e4a11")
"""Namespace of the keys of revisions."""

MAX_ENVIRONMENTS = 1_000
"""Maximum number of environments that are kept for a revision, those that had it first."""


class FirstRequest(Struct, frozen=True, kw_only=True, array_like=True):
    """The first request of a revision in an environment."""

    environment: EnvironmentId
    at: datetime


class RevisionView(Struct, frozen=True, kw_only=True):
    """The first request of a revision in each environment, oldest first, at most `MAX_ENVIRONMENTS`."""

    requests: tuple[FirstRequest, ...] = ()


def key_of(revision: str) -> UUID:
    """Return the key of a revision's row, which the streams of all its deployments lead to."""
    return uuid5(REVISIONS, revision)


def key(recorded: RecordedEvent) -> UUID | None:
    event = recorded.event
    if not isinstance(event, DeploymentPlanned) or event.plan.revision is None:
        return None
    return key_of(event.plan.revision)


def fold(view: RevisionView | None, recorded: RecordedEvent) -> RevisionView:
    event, view = recorded.event, view or RevisionView()
    assert isinstance(event, DeploymentPlanned), "no other event has a key"
    if len(view.requests) >= MAX_ENVIRONMENTS or any(each.environment == event.environment for each in view.requests):
        return view
    first = FirstRequest(environment=event.environment, at=recorded.recorded_at)
    return replace(view, requests=(*view.requests, first))


def place(view: RevisionView) -> ListPlace | None:
    return None


projection = Projection("revision", 1, RevisionView, key, fold, place)


class Revisions:
    """Reads revisions."""

    def __init__(self, views: Views) -> None:
        self._rows = Reader(views, projection)

    async def find(self, revisions: Collection[str]) -> Mapping[str, RevisionView]:
        """Return those of *revisions* that were ever requested."""
        keys = {key_of(revision): revision for revision in revisions}
        return {keys[key]: view for key, view in (await self._rows.find(keys)).items()}
