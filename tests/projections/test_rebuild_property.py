"""Whatever happened, in whatever pieces it was read: rows made live and rows made anew are the same bytes."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.projector import Projector
from projections.sqlite import SqliteViews
from store.log import EventLog
from store.memory import MemoryLog
from store.sqlite import SqliteLog
from tests.examples import examples
from tests.projections.rows import expected, project, stored
from tests.projections.world import PROJECTIONS, World, all_of

STOP, START, SETTLE = range(len(World.ACTS), len(World.ACTS) + 3)

stories = st.lists(st.integers(0, SETTLE), min_size=20, max_size=80)
seeds = st.integers(0, 2**32)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(unhurried, max_examples=examples(15))
@given(stories, seeds)
async def test_rows_made_live_are_those_made_anew(story: list[int], seed: int) -> None:
    with TemporaryDirectory() as folder:
        await check(MemoryLog(), Path(folder), story, seed)


@settings(unhurried, max_examples=examples(4))
@given(stories, seeds)
async def test_rows_made_live_are_those_made_anew_on_sqlite(story: list[int], seed: int) -> None:
    with TemporaryDirectory() as folder:
        await check(await SqliteLog.open(Path(folder) / "log.db"), Path(folder), story, seed)


async def check(log: EventLog, folder: Path, story: list[int], seed: int) -> None:
    await live(log, folder / "live.db", story, seed)
    events = await all_of(log)
    rows = stored(folder / "live.db")
    assert rows == expected(events, PROJECTIONS)
    assert rows == await project(log, folder / "anew.db", PROJECTIONS)
    await log.close()


async def live(log: EventLog, path: Path, story: list[int], seed: int) -> None:
    """The story, while a projector follows that is stopped and started now and then, and at last comes to the end."""
    world = World(log, seed)
    await world.begin()
    views = await SqliteViews.open(path)
    projector = Projector(log, views, PROJECTIONS)
    await projector.start()
    for number in story:
        match number:
            case _ if number == STOP:
                await projector.stop()
            case _ if number == START:
                await projector.stop()
                projector = Projector(log, views, PROJECTIONS)
                await projector.start()
            case _ if number == SETTLE:
                await projector.start()
                await projector.wait_for(await log.position(), timeout=60)
            case _:
                await world.act(number)
    await projector.stop()
    await projector.start()
    await projector.wait_for(await log.position(), timeout=60)
    await projector.stop()
    await views.close()
