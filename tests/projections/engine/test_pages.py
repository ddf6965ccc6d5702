"""The pages that were read last: as new as the rows, whatever happens, and read once."""

import pytest

from projections import deployment, environment
from projections.deployment import Deployments
from projections.engine.projector import Projector
from projections.engine.views import Slice, Views
from projections.environment import EnvironmentQuery, Environments
from store.log import EventLog
from store.memory import MemoryLog
from store.postgres.log import PostgresLog
from tests.examples import examples
from tests.projections.world import PROJECTIONS, RandomWorld

SLICES = (Slice(first=1), Slice(first=500), Slice(last=2))
QUERIES = (EnvironmentQuery(), EnvironmentQuery(has_deleted=True), EnvironmentQuery(prefix="e"))


class Lists:
    """Read models with recent pages and without."""

    def __init__(self, log: EventLog, views: Views) -> None:
        self.projector = Projector(log, views, PROJECTIONS, pause=0.001)
        self._log = log
        self._environments = (
            Environments(views, environment.recent_pages(log, self.projector)),
            Environments(views),
        )
        self._deployments = (
            Deployments(views, log, deployment.recent_pages(log, self.projector)),
            Deployments(views, log),
        )

    async def check(self, world: RandomWorld) -> None:
        """Check that every list is the same in both, as of the log's position."""
        await self.projector.wait_for(await self._log.position(), timeout=60)
        for part in SLICES:
            for query in QUERIES:
                recent, read = [
                    await each.list_each([*world.projects, None], part, query) for each in self._environments
                ]
                assert recent == read
            for has_steps in (True, False):
                pages = [
                    await each.list_each(world.environments, part, has_steps=has_steps) for each in self._deployments
                ]
                assert pages[0] == pages[1]


async def test_recent_pages_are_the_same_as_those_that_are_read_after_any_change(
    request: pytest.FixtureRequest, log: EventLog, views: Views
) -> None:
    """Also after those of another node, which only a log on PostgreSQL has."""
    await _check_changes(log, views, RandomWorld(log, seed=5))
    if isinstance(log, PostgresLog):
        other = await PostgresLog.open(request.getfixturevalue("database"))
        await _check_changes(log, views, RandomWorld(other, seed=6))
        await other.close()


async def _check_changes(log: EventLog, views: Views, world: RandomWorld) -> None:
    await world.begin()
    lists = Lists(log, views)
    await lists.projector.start()
    for _ in range(examples(40)):
        await lists.check(world)
        await world.live(3)
    await lists.check(world)
    await lists.projector.stop()


async def test_a_page_is_read_once(memory: MemoryLog, views: Views) -> None:
    world = RandomWorld(memory)
    await world.begin()
    projector = Projector(memory, views, PROJECTIONS)
    await projector.start()
    await projector.wait_for(await memory.position(), timeout=60)
    shown = Environments(views, environment.recent_pages(memory, projector))
    (owner, *_) = world.projects
    first = await shown.list(owner)
    assert first.edges
    assert await shown.list(owner) is first
    part = Slice(first=1, after=first.edges[0].cursor)
    assert await shown.list(owner, part) is not await shown.list(owner, part), "cursors may be long"
    await projector.stop()


async def test_a_page_of_rows_that_lack_an_event_is_not_kept(memory: MemoryLog, views: Views) -> None:
    world = RandomWorld(memory)
    await world.begin()
    projector = Projector(memory, views, PROJECTIONS)
    await projector.start()
    await projector.wait_for(await memory.position(), timeout=60)
    await projector.stop()
    shown = Environments(views, environment.recent_pages(memory, projector))
    await world.live(60)
    stale = await shown.list_each(world.projects, Slice(), EnvironmentQuery(has_deleted=True))
    await projector.start()
    await projector.wait_for(await memory.position(), timeout=60)
    fresh = await shown.list_each(world.projects, Slice(), EnvironmentQuery(has_deleted=True))
    assert fresh == await Environments(views).list_each(world.projects, Slice(), EnvironmentQuery(has_deleted=True))
    assert fresh != stale
    await projector.stop()
