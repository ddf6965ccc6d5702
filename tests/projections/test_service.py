"""Services by name, of an environment, a project or all, on every database."""

from collections import defaultdict
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain import name as names
from domain.pipeline.environment import EnvironmentDeleted
from domain.pipeline.service import ServiceMoved, ServiceRemoved, ServiceRenamed, ServiceSkipped
from domain.project import EnvironmentId, ProjectId
from projections import pipeline
from projections.engine.projector import Projector
from projections.engine.views import Slice, Views
from projections.pipeline import Pipelines
from projections.service import ServiceQuery, Services
from store.log import Event, EventLog
from tests.domain import example
from tests.projections.given import folded, recorded
from tests.projections.world import PROJECTIONS, RandomWorld

Owner = ProjectId | EnvironmentId | None


@pytest.fixture
async def projector(log: EventLog, views: Views) -> AsyncIterator[Projector]:
    projector = Projector(log, views, PROJECTIONS)
    await projector.start()
    yield projector
    await projector.stop()


async def of_pipelines(log: EventLog, world: RandomWorld) -> dict[Owner, list[tuple[str, UUID]]]:
    """Return the key and id of each service of each project and environment, and of all, as the log has them."""
    lists: dict[Owner, list[tuple[str, UUID]]] = defaultdict(list)
    for environment in world.environments:
        view = await Pipelines(log).get(environment)
        assert view is not None
        for owner in (None, view.project, environment):
            own = view.pipeline.services if view.pipeline.exists else ()
            lists[owner] += [(names.key(service.name), service.id) for service in own]
    return lists


@pytest.mark.parametrize("seed", [1, 3])
async def test_lists_of_services_are_those_of_the_pipelines(
    log: EventLog, views: Views, projector: Projector, seed: int
) -> None:
    world, longest = RandomWorld(log, seed), 0
    await world.begin()
    for _ in range(6):
        await world.live(40)
        await projector.wait_for(await log.position(), 60)
        for owner, expected in (await of_pipelines(log, world)).items():
            keys = {id_: key for key, id_ in expected}
            page = await Services(views).list([owner], Slice(first=500))
            found = [edge.node.service for edge in page.edges]
            assert sorted(found) == sorted(keys)
            assert [keys[each] for each in found] == sorted(keys.values())
            longest = max(longest, len(found))
    assert longest > 4
    assert world.deleted


async def test_services_are_found_by_the_beginning_of_their_name(
    log: EventLog, views: Views, projector: Projector
) -> None:
    world = RandomWorld(log)
    await world.begin()
    await projector.wait_for(await log.position(), 60)
    shown = Services(views)
    whole = await shown.list()
    assert len(whole.edges) == 4
    found = await shown.list([world.projects[0]], query=ServiceQuery(prefix="dataB"))
    assert [edge.node for edge in found.edges] == [whole.edges[2].node]
    assert (await shown.list([None], Slice(last=2, before=whole.edges[3].cursor))).edges == whole.edges[1:3]


@pytest.mark.parametrize(
    ("event", "count"),
    [
        (ServiceMoved(service=example.API, source=None, target=example.SHIP), 0),
        (ServiceSkipped(service=example.API), 0),
        (example.ship, 0),
        (ServiceRenamed(service=example.API, name="new"), 1),
        (ServiceRemoved(service=example.API), 1),
        (EnvironmentDeleted(), 1),
    ],
)
def test_an_event_writes_a_row_for_each_service_that_it_lists_or_unlists(event: Event, count: int) -> None:
    before = folded(pipeline.projection, example.created, example.build, *example.api_in_build)
    assert before is not None
    assert len(pipeline.parts(before, before, recorded(event, 5))) == count
