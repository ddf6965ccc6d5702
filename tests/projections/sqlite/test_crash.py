"""A killed server leaves rows from which the next one continues."""

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


async def kill_after(lines: int, log: Path, views: Path) -> str:
    """Project in another process, kill it at that line of its output, and return the line."""
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


async def test_rows_are_right_after_the_process_was_killed_several_times(tmp_path: Path) -> None:
    path, views = tmp_path / "log.db", tmp_path / "views.db"
    log = await SqliteLog.open(path)
    world = RandomWorld(log, seed=5)
    await world.begin()
    await world.live(50)
    await log.close()

    # during the first rebuild
    assert await kill_after(1, path, views) == "filled"
    log = await SqliteLog.open(path)
    assert stored(views) in ({}, expected(await all_of(log), PROJECTIONS))

    # twice while it follows
    await project(log, views, PROJECTIONS)
    await continue_in(log, world).live(400)
    end = await log.position()
    await log.close()
    positions = []
    for lines in (1, 2):
        assert await kill_after(lines, path, views) == "saved"
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


def continue_in(log: SqliteLog, world: RandomWorld) -> RandomWorld:
    other = RandomWorld(log, seed=6)
    other.projects, other.environments, other.deleted = world.projects, world.environments, world.deleted
    return other
