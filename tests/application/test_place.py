"""The places of streams and events."""

from uuid import UUID

from application.place import Places
from domain import instance as instances
from domain.access import ACCESS, TokenId, TokenRevoked
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentId
from domain.pipeline.environment import EnvironmentCreated, Target
from domain.project import ProjectCreated, ProjectId
from domain.role import Place
from store import ids
from store.log import Event, StreamChange
from store.memory import MemoryLog
from tests.domain.run import ENVIRONMENT, planned
from tests.domain.test_instance import WEB, ended
from tests.domain.test_queue import requested
from tests.store.sample import ANN

SHOP = ProjectId(ids.new())


async def test_an_event_has_the_place_of_its_stream() -> None:
    log = MemoryLog()
    created = EnvironmentCreated(project=SHOP, name="production", target=Target.PROCESS, concurrency=1)
    streams: list[tuple[UUID, Event]] = [
        (SHOP, ProjectCreated(name="shop")),
        (ENVIRONMENT, created),
        (WEB.deployment, planned()),
        (queues.stream(ENVIRONMENT), requested(WEB.deployment, 1)),
        (instances.stream(ENVIRONMENT), ended),
        (ACCESS, TokenRevoked(token=TokenId(ids.new()))),
        (ids.new(), planned()),
    ]
    for stream, event in streams:
        await log.append([StreamChange(stream=stream, expected=0, events=(event,))], ANN)
    places, here = Places(log), Place(project=SHOP, environment=ENVIRONMENT)
    expected = [Place(project=SHOP), here, here, here, here, None, here]
    for _ in range(2):  # the second time they are cached
        assert [await places.of_event(each) for each in await log.read_all()] == expected
    assert await places.find(DeploymentId(ids.new())) is None
