"""Several nodes on one PostgreSQL: one projects, all know its position, and any can take over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from projections import environment
from projections.engine.projector import ViewsBehind, ViewsBuilding
from projections.engine.views import Advance, Checkpoint
from projections.postgres.lease import Lease, LeaseLost
from projections.postgres.projector import SharedProjector
from projections.postgres.views import PostgresViews
from store.log import LogUnavailable
from store.postgres.connection import Pool
from store.postgres.log import PostgresLog
from tests.projections.postgres.database import select_number
from tests.projections.rows import expected, rows_of
from tests.projections.world import PROJECTIONS, RandomWorld, all_of

TERM = timedelta(seconds=0.3)


@dataclass
class ProjectorNode:
    log: PostgresLog
    views: PostgresViews
    projector: SharedProjector


@asynccontextmanager
async def nodes(database: str, count: int) -> AsyncIterator[list[ProjectorNode]]:
    """Start so many nodes, one after another."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            log, views = await PostgresLog.open(database), await PostgresViews.open(database)
            stack.push_async_callback(log.close)
            stack.push_async_callback(views.close)
            projector = SharedProjector(log, views, PROJECTIONS, pause=0.001, term=TERM)
            await projector.start()
            stack.push_async_callback(projector.stop)
            await projector.wait_for(await log.position(), timeout=60)
            made.append(ProjectorNode(log, views, projector))
        yield made


async def reach_end(node: ProjectorNode, world: RandomWorld) -> None:
    await node.projector.wait_for(await world.log.position(), timeout=60)


def projector_tasks() -> set[asyncio.Task[Any]]:
    """Return the running tasks of projectors."""
    return {task for task in asyncio.all_tasks() if "Projector._persist" in repr(task.get_coro())}


async def active(*nodes: ProjectorNode) -> ProjectorNode:
    while not (found := [node for node in nodes if node.projector.is_active]):
        await asyncio.sleep(0.001)
    (one,) = found
    return one


async def test_one_node_projects_and_the_others_know_its_position(database: str) -> None:
    async with nodes(database, 3) as (first, second, third):
        world = RandomWorld(second.log)
        await world.begin()
        for _ in range(5):
            await world.live(5)
            for node in (third, second, first):
                await reach_end(node, world)
                assert node.projector.position == await world.log.position()
                assert (await node.projector.status()).lag == 0
        assert [node.projector.is_active for node in (first, second, third)].count(True) == 1
        assert rows_of(third.views) == expected(await all_of(first.log), PROJECTIONS)


async def test_a_node_that_has_just_started_knows_the_position_of_the_others(database: str) -> None:
    async with nodes(database, 1) as (first,):
        world = RandomWorld(first.log)
        await world.begin()
        await reach_end(first, world)
        views = await PostgresViews.open(database)
        late = SharedProjector(first.log, views, PROJECTIONS, term=TERM)
        await late.start()
        assert late.position == await first.log.position()
        assert not any(each.is_rebuilding for each in (await late.status()).projections)
        await late.stop()
        await views.close()


async def test_another_node_takes_over_from_one_that_stops(database: str) -> None:
    async with nodes(database, 3) as every:
        world = RandomWorld(every[0].log)
        await world.begin()
        left = list(every)
        while len(left) > 1:
            one = await active(*left)
            left.remove(one)
            await one.projector.stop()
            await world.live(10)
            for node in left:
                await reach_end(node, world)
        assert rows_of(every[0].views) == expected(await all_of(every[0].log), PROJECTIONS)


async def test_a_node_that_lost_its_lease_can_write_nothing_more(database: str) -> None:
    dead = await PostgresViews.open(database)
    assert await dead.lease.take("dead", timedelta(seconds=0.1))
    generation = await dead.begin("thing")
    async with nodes(database, 1) as (node,):
        await active(node)
        rebuilt = Checkpoint(kind="thing", version=1, generation=generation, epoch="e")
        writes = [dead.save([Advance(before=None, after=rebuilt)]), dead.fill(generation, []), dead.begin("thing")]
        for write in (*writes, dead.prune(), dead.forget("environment")):
            with pytest.raises(LeaseLost):
                await write
        assert not await dead.lease.renew()
        await dead.lease.release()  # the lease of another node
        assert not await dead.lease.take("dead")
    await dead.close()


async def test_a_node_that_lost_its_lease_watches_and_takes_it_when_it_is_free(
    database: str,
) -> None:
    async with nodes(database, 1) as (node,), asyncio.timeout(30):
        await active(node)
        world = RandomWorld(node.log)
        await world.begin()
        await reach_end(node, world)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE leases SET token = token + 1, expires_at = 'infinity'")
            while node.projector.is_active:
                await asyncio.sleep(0.001)
            await world.live(5)
            with pytest.raises(ViewsBehind):
                await node.projector.wait_for(await world.log.position(), timeout=0.05)
            connection.execute("UPDATE leases SET expires_at = '-infinity'")
        await active(node)
        await reach_end(node, world)
        assert len(projector_tasks()) == 3  # the tasks of the first lease have ended


async def test_a_node_keeps_the_lease_after_one_failed_renewal(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(database, 1) as (node,), asyncio.timeout(30):
        await active(node)
        works = projector_tasks()
        lease, tries = node.views.lease, 0
        renew = lease.renew

        async def falter(term: timedelta) -> bool:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise LogUnavailable("Something in it is locked.")
            return await renew(timedelta(seconds=60))

        monkeypatch.setattr(lease, "renew", falter)
        while tries < 3:
            await asyncio.sleep(0.001)
        assert projector_tasks() == works


async def test_a_node_stops_although_it_can_not_release_the_lease(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise LogUnavailable("The database is away.")

    async with nodes(database, 1) as (node,):
        await active(node)
        with monkeypatch.context() as patch:
            patch.setattr(node.views.lease, "release", fail)
            async with asyncio.timeout(30):
                await node.projector.stop()
        assert not projector_tasks()


async def test_a_watching_node_reports_a_fault_for_as_long_as_it_lasts(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise LogUnavailable("The database is away.")

    caplog.set_level("INFO")

    async with nodes(database, 1), nodes(database, 1) as (node,), asyncio.timeout(30):
        with monkeypatch.context() as patch:
            patch.setattr(node.views, "checkpoints", fail)
            while tries < 3:
                await asyncio.sleep(0.001)
            assert "The database is away" in (node.projector.fault or "")
        while node.projector.fault is not None:
            await asyncio.sleep(0.001)
        said = [message for message in caplog.messages if message.startswith("Projection")]
        assert said == [
            "Projection is stalled: LogUnavailable: The database is away.; retrying in 0.001 s",
            "Projection has recovered",
        ]


async def test_no_node_takes_the_lease_while_its_last_holder_writes(database: str) -> None:
    views, pool = await PostgresViews.open(database), await Pool.open(database, 1)
    one, other = Lease(pool), views.lease
    assert await one.take("one", timedelta(0))
    async with pool.transaction() as connection:
        await one.check(connection)
        taking = asyncio.create_task(other.take("other"))
        await lock_wait(database)
    assert await taking
    await pool.close()
    await views.close()


async def test_no_other_node_takes_the_lease_of_a_live_node(database: str) -> None:
    other = await PostgresViews.open(database)
    async with nodes(database, 1) as (node,):
        await active(node)
        for _ in range(10):
            assert not await other.lease.take("other", TERM)
            await asyncio.sleep(TERM.total_seconds() / 10)
        assert node.projector.is_active
    assert await other.lease.take("other", TERM)
    await other.close()


async def test_a_released_lease_is_not_renewed(database: str) -> None:
    """A database may carry out a cancelled renewal after the release."""
    one, other = [await PostgresViews.open(database) for _ in range(2)]
    assert await one.lease.take("one", timedelta(seconds=60))
    assert await one.lease.renew(timedelta(seconds=60))
    await one.lease.release()
    assert not await one.lease.renew(timedelta(seconds=60))
    assert await other.lease.take("other", TERM)
    for each in (one, other):
        await each.close()


async def test_a_wait_on_a_watching_node_times_out(database: str) -> None:
    other = await PostgresViews.open(database)
    assert await other.lease.take("another, which does nothing", timedelta(seconds=60))
    log, views = await PostgresLog.open(database), await PostgresViews.open(database)
    projector = SharedProjector(log, views, PROJECTIONS)
    await projector.start()
    await RandomWorld(log).create_project()
    with pytest.raises(ViewsBehind, match="are at position 0 and did not reach 2 in time"):
        await projector.wait_for(2, timeout=0.05)
    await projector.stop()
    for each in (log, views, other):
        await each.close()


@pytest.mark.parametrize("change", ["version = version + 1", "epoch = 'another'", "generation = -1, hash = ''"])
async def test_a_watching_node_reports_rows_of_another_version_or_another_log(
    database: str, change: LiteralString
) -> None:
    """For as long as that is so, although the other rows advance."""
    async with nodes(database, 1) as (node,):
        world = RandomWorld(node.log)
        await world.begin()
        await reach_end(node, world)
    log, views, other = await PostgresLog.open(database), *[await PostgresViews.open(database) for _ in range(2)]
    assert await other.lease.take("another", timedelta(seconds=60))
    projector = SharedProjector(log, views, PROJECTIONS, term=TERM)
    await projector.start()

    async def rebuilding() -> list[str]:
        return [each.kind for each in (await projector.status()).projections if each.is_rebuilding]

    assert await rebuilding() == []
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection, asyncio.timeout(30):
        await connection.execute("UPDATE checkpoints SET " + change + " WHERE kind = 'environment'")
        while not await rebuilding():
            await asyncio.sleep(0.001)
        await RandomWorld(log, seed=8).create_project()
        last = (await all_of(log))[-1]
        further = "UPDATE checkpoints SET position = %s, hash = %s WHERE kind <> 'environment'"
        await connection.execute(further, [last.position, last.hash])
        while {each.kind for each in (await projector.status()).projections if each.lag} != {"environment"}:
            await asyncio.sleep(0.001)
        assert await rebuilding() == ["environment"]
    await projector.stop()
    for each in (log, views, other):
        await each.close()


async def test_one_node_rebuilds_rows_of_a_raised_version_while_another_reads_the_old_ones(database: str) -> None:
    async with nodes(database, 2) as (old, standby):
        world = RandomWorld(old.log)
        await world.begin()
        await reach_end(standby, world)
        await old.projector.stop()
        await standby.projector.stop()
        raised = [replace(each, version=2) if each is environment.projection else each for each in PROJECTIONS]
        newer = SharedProjector(standby.log, standby.views, raised, pause=0.001, term=TERM)
        await newer.start()
        await world.live(20)
        await newer.wait_for(await world.log.position(), timeout=60)
        older = SharedProjector(old.log, old.views, PROJECTIONS, pause=0.001, term=TERM)
        await older.start()
        await world.live(20)
        await older.wait_for(await world.log.position(), timeout=60)
        assert (await old.views.checkpoints())["environment"].version == 2
        await older.stop()
        await newer.stop()
        assert rows_of(old.views) == expected(await all_of(old.log), PROJECTIONS)


async def test_a_node_with_a_new_read_model_answers_while_an_earlier_version_keeps_the_others(database: str) -> None:
    others = [each for each in PROJECTIONS if each is not environment.projection]
    log = await PostgresLog.open(database)
    views, more = await PostgresViews.open(database), await PostgresViews.open(database)
    earlier = SharedProjector(log, views, others, pause=0.001)
    newer = SharedProjector(log, more, PROJECTIONS, pause=0.001)
    world = RandomWorld(log)
    await world.begin()
    await earlier.start()
    await earlier.wait_for(await world.log.position(), timeout=60)
    await newer.start()
    await world.live(20)
    await newer.wait_for(await world.log.position(), timeout=60)
    newer.check_built("project")
    with pytest.raises(ViewsBuilding, match="The read model 'environment' is being built"):
        newer.check_built("project", "environment")
    await earlier.stop()
    while not newer.contains("environment", await world.log.position()):
        await asyncio.sleep(0.001)
    newer.check_built("project", "environment")
    assert rows_of(more) == expected(await all_of(log), PROJECTIONS)
    await newer.stop()
    for each in (more, views, log):
        await each.close()


async def test_replaced_rows_are_deleted_while_the_node_runs(database: str) -> None:
    async with nodes(database, 1) as (node,):
        world = RandomWorld(node.log)
        await world.begin()
        await world.live(50)
        await reach_end(node, world)
    log, views = await PostgresLog.open(database), await PostgresViews.open(database)
    raised = [replace(each, version=each.version + 1) for each in PROJECTIONS]
    projector = SharedProjector(log, views, raised, pause=0.001, term=TERM)
    await projector.start()
    async with asyncio.timeout(30):
        while select_number(database, "SELECT min(version) FROM checkpoints WHERE kind = 'pipeline'") == 2:
            await asyncio.sleep(0.01)
        while select_number(database, "SELECT count(*) FROM generations") > len(raised):
            await asyncio.sleep(0.01)
    assert select_number(database, "SELECT count(*) FROM documents") == len(rows_of(views))
    await projector.stop()
    await views.close()
    await log.close()


async def lock_wait(database: str) -> None:
    """Wait until a session waits for a lock."""
    async with asyncio.timeout(10):
        while not select_number(database, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
