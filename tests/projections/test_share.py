"""Rows that several processes make anew: the same as one makes, and nothing comes of it when one of them dies."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import asyncpg
import psutil
import psycopg
import pytest

from domain.pipeline.environment import EnvironmentRenamed
from projections import audit, environment
from projections.engine import share
from projections.engine.projection import Projection
from projections.engine.shared import SharedProjector
from projections.engine.views import Checkpoint, Progress, Row
from projections.environment import EnvironmentView
from projections.postgres.views import GenerationGone, PostgresViews
from store import ids
from store.log import Recorded
from store.postgres.log import PostgresLog
from tests.projections.rows import expected, rows_of
from tests.projections.world import PROJECTIONS, World, all_of

ROOT = Path(__file__).parents[2]
TERM = timedelta(seconds=0.3)
EVERY = (*PROJECTIONS, audit.projection)
RAISED = tuple(replace(each, version=each.version + 1) for each in EVERY)


def stumbling(view: EnvironmentView | None, recorded: Recorded) -> EnvironmentView | None:
    if isinstance(recorded.event, EnvironmentRenamed):
        raise ZeroDivisionError("division by zero")
    return environment.fold(view, recorded)


@pytest.fixture
async def log(database: str) -> AsyncIterator[PostgresLog]:
    log = await PostgresLog.open(database)
    yield log
    await log.close()


@pytest.fixture
async def views(database: str) -> AsyncIterator[PostgresViews]:
    views = await PostgresViews.open(database)
    yield views
    await views.close()


async def lived(log: PostgresLog, acts: int = 100) -> World:
    world = World(log, seed=3)
    await world.begin()
    await world.live(acts)
    return world


@asynccontextmanager
async def sharing(
    log: PostgresLog, views: PostgresViews, projections: Sequence[Projection[Any]] = EVERY
) -> AsyncIterator[SharedProjector]:
    """By two processes, each of which has to put rows away all the time."""
    projector = SharedProjector(log, views, projections, pause=0.001, term=TERM, small=0, processes=2)
    projector._many, projector._room = 20, 2
    await projector.start()
    yield projector
    await projector.stop()


async def rebuilt(log: PostgresLog, projector: SharedProjector) -> None:
    await projector.wait_for(await log.position(), timeout=60)
    while any(each.is_rebuilding for each in (await projector.status()).projections):
        await asyncio.sleep(0.001)


@asynccontextmanager
async def held_up(database: str) -> AsyncIterator[None]:
    """Nothing can be stored in the generations that are begun next: as soon as all of them are."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        while True:
            found = await connection.execute(
                "SELECT 1 FROM generations g WHERE NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.generation ="
                " g.generation) FOR UPDATE"
            )
            if len(await found.fetchall()) == len(EVERY):
                break
            await connection.rollback()
            await asyncio.sleep(0.001)
        yield


async def shares(of: int | None = None) -> list[psutil.Process]:
    """The two processes that the process *of* (None: this one) has started."""
    while True:
        found = [
            each for each in psutil.Process(of).children() if each.is_running() and "share.main()" in _command(each)
        ]
        if len(found) == 2:
            return found
        await asyncio.sleep(0.001)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


async def test_rows_that_processes_share_are_those_that_one_makes(log: PostgresLog, views: PostgresViews) -> None:
    world = await lived(log)
    async with sharing(log, views) as projector:
        await rebuilt(log, projector)
        assert rows_of(views) == expected(await all_of(log), EVERY)
        await world.live(20)
        await rebuilt(log, projector)
    async with sharing(log, views, RAISED) as projector:
        while (await views.checkpoints())["audit"].version == audit.projection.version:
            await world.live(1)
        await rebuilt(log, projector)
    assert rows_of(views) == expected(await all_of(log), EVERY)


async def test_an_event_that_a_process_can_not_fold_is_parked_and_told(log: PostgresLog, views: PostgresViews) -> None:
    await lived(log)
    poisoned = replace(environment.projection, fold=stumbling)
    others = [each for each in EVERY if each.name != "environment"]
    async with sharing(log, views, [poisoned, *others]) as projector:
        await rebuilt(log, projector)
        parked = (await projector.status()).parked
    events = await all_of(log)
    bad = [each for each in events if isinstance(each.event, EnvironmentRenamed)]
    assert [(each.kind, each.position) for each in parked] == [("environment", each.position) for each in bad[:10]]
    assert bad
    good = [each for each in events if each not in bad]
    assert rows_of(views) == expected(events, others) | expected(good, [environment.projection])


async def test_when_a_process_is_killed_the_old_rows_are_read_until_another_try_is_done(
    log: PostgresLog, views: PostgresViews
) -> None:
    await lived(log)
    async with sharing(log, views) as projector:
        await rebuilt(log, projector)
    before = await views.checkpoints()
    async with sharing(log, views, RAISED) as projector:
        async with held_up(views.dsn):
            victim, other = await shares()
            victim.kill()
            while projector.fault is None:
                await asyncio.sleep(0.001)
            assert projector.fault == "ShareLost: A process that made rows anew ended with -9."
            assert not other.is_running()
            assert await views.checkpoints() == before
        await rebuilt(log, projector)
        assert (await projector.status()).fault is None
    after = await views.checkpoints()
    assert {kind: each.version for kind, each in after.items()} == {each.name: each.version for each in RAISED}
    assert rows_of(views) == expected(await all_of(log), RAISED)


async def test_when_a_process_comes_to_a_fault_what_the_others_made_is_not_read(
    log: PostgresLog, views: PostgresViews
) -> None:
    await lived(log)
    async with sharing(log, views) as projector, asyncio.timeout(60):
        async with held_up(views.dsn):
            await somebody_waits(views)
            with psycopg.connect(views.dsn) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            while projector.fault is None:
                await asyncio.sleep(0.001)
            assert "connection" in projector.fault  # and not what the node itself came to, that went on
        await rebuilt(log, projector)
    assert rows_of(views) == expected(await all_of(log), EVERY)


async def test_the_processes_of_a_node_that_is_killed_end_and_another_node_makes_the_rows(
    log: PostgresLog, views: PostgresViews
) -> None:
    await lived(log)
    async with sharing(log, views) as projector:
        await rebuilt(log, projector)
    before = await views.checkpoints()
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.projections.sharing", views.dsn, cwd=ROOT, stderr=PIPE
    )
    assert node.stderr is not None
    async with held_up(views.dsn):
        started = await shares(node.pid)
        assert all(os.getsid(each.pid) == each.pid for each in started)  # a terminal's Ctrl-C isn't theirs
        node.kill()
        assert await node.wait() == -signal.SIGKILL
        assert await node.stderr.read() == b""  # it is theirs, too: they have ended, and not by a fault of their own
        assert await views.checkpoints() == before
    async with sharing(log, views, RAISED) as projector:
        await rebuilt(log, projector)
    assert rows_of(views) == expected(await all_of(log), RAISED)


def test_a_process_whose_node_is_killed_before_it_said_what_to_do_ends_without_a_word() -> None:
    command = [sys.executable, "-P", "-c", share.PROGRAM]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == (b"", b"")


async def test_rows_that_were_replaced_are_removed_while_the_node_goes_on(
    log: PostgresLog, views: PostgresViews
) -> None:
    await lived(log)
    async with sharing(log, views) as projector:
        await rebuilt(log, projector)
    async with sharing(log, views, RAISED) as projector:
        await rebuilt(log, projector)
        async with asyncio.timeout(10):
            while counted(views, "SELECT count(*) FROM generations") > len(RAISED):
                await asyncio.sleep(0.01)
        assert counted(views, "SELECT count(*) FROM documents") == len(rows_of(views))


async def test_what_was_pruned_is_not_filled_any_more(views: PostgresViews) -> None:
    generation = await views.begin("thing")
    row = Row(key=ids.new(), place=None, position=1, document=b"{}")
    await views.fill(generation, [row])
    await views.prune()
    with pytest.raises(GenerationGone):
        await views.fill(generation, [row])
    assert counted(views, "SELECT count(*) FROM documents") == 0


async def test_who_prunes_waits_for_who_fills_and_misses_nothing(views: PostgresViews) -> None:
    generation = await views.begin("thing")
    with psycopg.connect(views.dsn) as filling:
        filling.execute("SELECT 1 FROM generations WHERE generation = %s FOR SHARE", [generation])
        pruning = asyncio.create_task(views.prune())
        await somebody_waits(views)
        filling.execute(
            "INSERT INTO documents (generation, key, position, document) VALUES (%s, %s, 1, '')",
            [generation, ids.new()],
        )
    await pruning
    assert counted(views, "SELECT count(*) FROM documents") == 0


async def test_who_fills_waits_for_who_prunes_and_writes_nothing(views: PostgresViews) -> None:
    generation = await views.begin("thing")
    row = Row(key=ids.new(), place=None, position=1, document=b"{}")
    await views.fill(generation, [row])
    with psycopg.connect(views.dsn) as pruning:
        pruning.execute("SELECT 1 FROM generations WHERE generation = %s FOR UPDATE", [generation])
        filling = asyncio.create_task(views.fill(generation, [row]))
        await somebody_waits(views)
        pruning.execute("DELETE FROM documents WHERE generation = %s", [generation])
        pruning.execute("DELETE FROM generations WHERE generation = %s", [generation])
    with pytest.raises(GenerationGone):
        await filling
    assert counted(views, "SELECT count(*) FROM documents") == 0


async def test_rows_and_their_checkpoint_are_saved_together_and_the_planner_is_told_of_new_ones(
    views: PostgresViews,
) -> None:
    generation = await views.begin("thing")
    row = Row(key=ids.new(), place=None, position=1, document=b"{}")
    checkpoint = Checkpoint(kind="thing", version=1, generation=generation, epoch="e", position=1)
    no_text = Checkpoint(kind="thing", version=1, generation=generation, epoch="\0", position=1)
    with pytest.raises(asyncpg.DataError):
        await views.save([Progress(before=None, after=no_text, rows=[row])])
    assert counted(views, "SELECT count(*) FROM documents") == 0
    await views.save([Progress(before=None, after=checkpoint, rows=[row])])
    assert counted(views, "SELECT reltuples::int FROM pg_class WHERE relname = 'documents'") == 1


async def somebody_waits(views: PostgresViews) -> None:
    """Returns when somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not counted(views, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


def counted(views: PostgresViews, statement: LiteralString) -> int:
    with psycopg.connect(views.dsn) as db:
        found = db.execute(statement).fetchone()
    assert found is not None
    return int(found[0])
