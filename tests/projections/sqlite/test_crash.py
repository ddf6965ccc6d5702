"""A server that is killed while it projects leaves rows that the next one can go on with."""

import asyncio
import signal
import sys
from pathlib import Path

from projections.engine.projector import Projector
from projections.sqlite.views import SqliteViews
from store.sqlite.log import SqliteLog
from tests.projections.rows import expected, project, stored
from tests.projections.world import PROJECTIONS, RandomWorld, all_of

ROOT = Path(__file__).parents[3]


async def killed_after(lines: int, log: Path, views: Path) -> str:
    """Projects in another process, and kills it at that line of its output, which is given back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.projections.sqlite.crashing", log, views, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = ""
    for _ in range(lines):
        line = (await process.stdout.readline()).decode().strip()
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    return line


async def test_rows_are_right_after_the_process_was_killed_time_and_again(tmp_path: Path) -> None:
    path, views = tmp_path / "log.db", tmp_path / "views.db"
    log = await SqliteLog.open(path)
    world = RandomWorld(log, seed=5)
    await world.begin()
    await world.live(50)
    await log.close()

    # in the middle of making the rows for the first time
    assert await killed_after(1, path, views) == "filled"
    log = await SqliteLog.open(path)
    assert stored(views) in ({}, expected(await all_of(log), PROJECTIONS))

    # twice in the middle of following
    await project(log, views, PROJECTIONS)
    await gone_on(log, world).live(400)
    end = await log.position()
    await log.close()
    positions = []
    for lines in (1, 2):
        assert await killed_after(lines, path, views) == "saved"
        store = await SqliteViews.open(views)
        checkpoints = (await store.checkpoints()).values()
        (position,) = {each.position for each in checkpoints}
        positions.append(position)
        await store.close()
    assert sorted(positions) == positions

    log = await SqliteLog.open(path)
    events = await all_of(log)
    assert stored(views) == expected(events[: positions[-1]], PROJECTIONS)
    store = await SqliteViews.open(views)
    projector = Projector(log, store, PROJECTIONS)
    await projector.start()
    await projector.wait_for(end, timeout=60)
    await projector.stop()
    await store.close()
    await log.close()
    assert stored(views) == expected(events, PROJECTIONS)


def gone_on(log: SqliteLog, world: RandomWorld) -> RandomWorld:
    other = RandomWorld(log, seed=6)
    other.projects, other.environments, other.deleted = world.projects, world.environments, world.deleted
    return other
