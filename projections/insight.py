"""
Insights: how often, how fast and how well an environment or a project is deployed, in a window of time.

docs/insights.md defines each figure. A window has the deployments that ended in it. They are read from small rows
(`projections.outcome`), oldest first and a page at a time; only durations are kept of them.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from msgspec import Struct

from domain.errors import InvalidArgument
from domain.project import EnvironmentId, ProjectId
from projections import deployment, outcome, revision
from projections.engine.projection import Reader
from projections.engine.views import Slice, SortRange, Views
from projections.environment import EnvironmentQuery, Environments
from projections.outcome import Outcome, ServiceOutcomes, sort_of
from projections.revision import Revisions
from projections.tally import Delivery, EnvironmentTally, ServiceTally, Tally

MAX_DAYS = 366
"""Maximum length of a window, in days."""

MAX_DEPLOYMENTS = 10_000
"""Maximum number of deployments in a window."""

MAX_RUNS = 200_000
"""Maximum number of runs of services in a window: about 10 MB."""

MAX_ENVIRONMENTS = 1_000
"""Maximum number of environments of a project, with deleted ones."""

PAGE = 200
"""Rows that are read at once."""

KINDS = (deployment.projection.name, revision.projection.name)
"""The read models whose rows insights are made of: rows of an earlier version would make wrong figures."""

DAY = timedelta(days=1)

Part = TypeVar("Part")


class Window(Struct, frozen=True, kw_only=True):
    """A window of time from *since*, inclusive, to *until*, exclusive; both have a time zone."""

    since: datetime
    until: datetime

    @property
    def days(self) -> float:
        return (self.until - self.since) / DAY


def check(window: Window) -> None:
    """Raise `InvalidArgument` if a window is empty or too long."""
    if window.since >= window.until:
        raise InvalidArgument(argument="since", why="the window must begin before it ends")
    if window.days > MAX_DAYS:
        why = f"the window has {window.days:,.0f} days; at most {MAX_DAYS} are allowed"
        raise InvalidArgument(argument="since", why=why)


class Insights:
    """Reads what insights are computed from, as new as the read models."""

    def __init__(self, views: Views, environments: Environments) -> None:
        self._rows = Reader(views, deployment.projection)
        self._environments = environments
        self._revisions = Revisions(views)

    async def environments_of(self, project: ProjectId) -> list[EnvironmentId]:
        """Return the environments of a project, also deleted ones; raises `InvalidArgument` for too many."""
        found: list[EnvironmentId] = []
        query, after = EnvironmentQuery(has_deleted=True), None
        while True:
            page = await self._environments.list(project, Slice(first=PAGE, after=after), query)
            found += [edge.node.id for edge in page.edges]
            if len(found) > MAX_ENVIRONMENTS:
                why = f"the project has more than {MAX_ENVIRONMENTS:,} environments, with deleted ones: choose one"
                raise InvalidArgument(argument="project", why=why)
            if not page.has_next:
                return found
            after = page.edges[-1].cursor

    async def tally(self, environments: Sequence[EnvironmentId], window: Window) -> Tally:
        """Return what a window has of *environments*; raises `InvalidArgument` for too many deployments."""
        tally, count = Tally(), 0
        for environment in environments:
            own = EnvironmentTally(tally, environment)
            async for page in self._pages(outcome.ended_in(environment), window, _outcomes):
                count += len(page)
                _check_count(count, MAX_DEPLOYMENTS, "deployments")
                for each in page:
                    own.add(each)
            own.end()
        return tally

    async def services(self, environments: Sequence[EnvironmentId], window: Window) -> list[ServiceTally]:
        """Return the services that ran in a window, flaky ones first; raises `InvalidArgument` for too many runs."""
        found: dict[int, ServiceTally] = {}
        count = 0
        for environment in environments:
            async for page in self._pages(outcome.steps_in(environment), window, _services):
                count += sum(len(each.services) for each in page)
                _check_count(count, MAX_RUNS, "runs of services")
                for run in (run for each in page for run in each.services):
                    known = found.get(run.id.int)
                    if known is None:
                        known = ServiceTally(id=run.id, environment=environment, name=run.name, type=run.type)
                        found[run.id.int] = known
                    known.add(run)
        return sorted(found.values(), key=lambda each: each.order)

    async def lead_times(self, project: ProjectId, deliveries: Sequence[Delivery]) -> list[float]:
        """Return the seconds from the first request of each revision in *project* to its first delivery.

        *deliveries* are the first ones in a window: those that had one before it have no lead time in the window.
        """
        found: list[float] = []
        for start in range(0, len(deliveries), PAGE):
            some = deliveries[start : start + PAGE]
            firsts = await self._first(some)
            new = [each for each in some if firsts[each.environment, each.revision] == each.outcome.deployment]
            requested = await self._requested(project, [each.revision for each in new])
            for each in new:
                begin = min(requested.get(each.revision, each.outcome.requested_at), each.outcome.requested_at)
                found.append((each.outcome.ended_at - begin).total_seconds())
        return found

    async def _first(self, deliveries: Iterable[Delivery]) -> Mapping[tuple[EnvironmentId, str], object]:
        """Return the deployment that first delivered each revision in its environment."""
        keys = [(each.environment, each.revision) for each in deliveries]
        groups = [[outcome.delivered_in(*key)] for key in keys]
        pages = await self._rows.read_merged(groups, Slice(first=1), _outcomes.decode)
        return {key: page.edges[0].node.deployment for key, page in zip(keys, pages, strict=True) if page.edges}

    async def _requested(self, project: ProjectId, revisions: Sequence[str]) -> Mapping[str, datetime]:
        """Return the first request of each revision in *project*."""
        views = await self._revisions.find(set(revisions))
        wanted = {each.environment for view in views.values() for each in view.requests}
        known = await self._environments.find(wanted)
        own = {key for key, view in known.items() if view.project == project}
        return {
            revision: times[0]
            for revision, view in views.items()
            if (times := [each.at for each in view.requests if each.environment in own])
        }

    async def _pages(
        self, parent: str, window: Window, decoder: msgspec.json.Decoder[Part]
    ) -> AsyncIterator[list[Part]]:
        """Yield the rows of a list in *window*, oldest first, a page at a time."""
        within = SortRange(since=sort_of(window.since), until=sort_of(window.until))  # no sort is as short as the last
        after: str | None = None
        while True:
            part = Slice(first=PAGE, after=after)
            (page,) = await self._rows.read_merged([[parent]], part, decoder.decode, within=within)
            yield [edge.node for edge in page.edges]
            if not page.has_next:
                return
            after = page.edges[-1].cursor


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        why = f"the window has more than {limit:,} {what}: choose a shorter one, or one environment"
        raise InvalidArgument(argument="since", why=why)


_outcomes = msgspec.json.Decoder(Outcome)
_services = msgspec.json.Decoder(ServiceOutcomes)
