"""The projector: it follows the log, rebuilds rows, parks events and reports its status."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace as with_

from domain.pipeline.environment import EnvironmentRenamed
from projections import environment, pipeline, project
from projections.engine.projection import Projection
from projections.engine.projector import Projector, ViewsBehind
from projections.engine.status import ProjectionStatus, ProjectorStatus
from projections.engine.views import Advance, Page, Slice, ViewRow, Views
from projections.environment import Environments, EnvironmentView
from projections.sqlite.views import SqliteViews
from store.log import EventLog, RecordedEvent
from store.memory import MemoryLog
from store.sqlite.log import SqliteLog
from tests.projections.rows import expected
from tests.projections.rows import rows_of as rows
from tests.projections.world import PROJECTIONS, RandomWorld, all_of


@asynccontextmanager
async def projecting(
    log: EventLog, views: Views, projections: Sequence[Projection[Any]] = PROJECTIONS
) -> AsyncIterator[Projector]:
    projector = Projector(log, views, projections, pause=0.001)
    await projector.start()
    yield projector
    await projector.stop()


async def settle(log: EventLog, projector: Projector) -> None:
    await projector.wait_for(await log.position(), timeout=60)


async def rebuild_done(projector: Projector) -> None:
    while any(each.is_rebuilding for each in (await projector.status()).projections):
        await asyncio.sleep(0)


async def build_world(log: EventLog, acts: int = 60, seed: int = 11) -> RandomWorld:
    world = RandomWorld(log, seed)
    await world.begin()
    await world.live(acts)
    return world


def delete(tmp_path: Path) -> None:
    for file in tmp_path.glob("views.db*"):
        file.unlink()


def fold_loud(view: EnvironmentView | None, recorded: RecordedEvent) -> EnvironmentView | None:
    """Fold environments with names in capitals."""
    after = environment.fold(view, recorded)
    return after and with_(after, name=after.name.upper())


LOUD = replace(environment.projection, version=environment.projection.version + 1, fold=fold_loud)


class FillGate:
    """Blocks all fills of new generations until it is open."""

    def __init__(self, views: Views) -> None:
        self.reached, self.is_open = asyncio.Event(), asyncio.Event()
        self._fill = views.fill
        views.fill = self.fill  # type: ignore[method-assign]  # of any class

    async def fill(self, generation: int, rows: Sequence[ViewRow], removed: Sequence[UUID] = ()) -> None:
        self.reached.set()
        await self.is_open.wait()
        await self._fill(generation, rows)


class FullViews(SqliteViews):
    """A store that can't save while it is full."""

    is_full = False

    async def save(self, steps: Sequence[Advance]) -> None:
        if self.is_full:
            raise OSError("the disk is full")
        await super().save(steps)


class LossyLog(MemoryLog):
    """A log whose first follower misses the first events."""

    has_lost = False

    async def follow(self, after: int = 0, stream: UUID | None = None) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        async for batch in super().follow(after, stream):
            left = batch if self.has_lost else batch[3:]
            self.has_lost = True
            yield left


# Following


async def test_rows_exist_as_soon_as_the_position_is_reached(log: EventLog, views: Views) -> None:
    world = RandomWorld(log)
    async with projecting(log, views) as projector:
        await world.begin()
        for _ in range(10):
            await world.live(5)
            await settle(log, projector)
            assert projector.position == await log.position()
            assert rows(views) == expected(await all_of(log), PROJECTIONS)


async def test_a_projector_continues_where_another_stopped(log: EventLog, views: Views) -> None:
    world = await build_world(log)
    async with projecting(log, views) as projector:
        await settle(log, projector)
    generations = {kind: each.generation for kind, each in (await views.checkpoints()).items()}
    await world.live(60)
    async with projecting(log, views) as projector:
        await settle(log, projector)
    assert rows(views) == expected(await all_of(log), PROJECTIONS)
    assert generations == {kind: each.generation for kind, each in (await views.checkpoints()).items()}


async def test_a_long_backlog_is_folded_in_parts(log: EventLog, views: Views) -> None:
    async with projecting(log, views) as projector:
        await settle(log, projector)
    await build_world(log, acts=200)
    async with projecting(log, views) as projector:
        await settle(log, projector)
    assert rows(views) == expected(await all_of(log), PROJECTIONS)


async def test_two_projectors_on_one_store_fold_no_event_twice(log: EventLog, views: Views) -> None:
    world = RandomWorld(log)
    async with projecting(log, views) as one:
        await settle(log, one)  # no node prunes what another one fills: one has the lease
        async with projecting(log, views) as other:
            await world.begin()
            for _ in range(20):
                await world.live(3)
                await asyncio.gather(settle(log, one), settle(log, other))
    assert rows(views) == expected(await all_of(log), PROJECTIONS)


async def test_rows_that_could_not_be_saved_are_saved_later(
    memory: MemoryLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    views = await FullViews.open(tmp_path / "views.db")
    world = await build_world(memory)
    async with projecting(memory, views) as projector:
        await settle(memory, projector)
        views.is_full = True
        await world.live(5)
        while (await projector.status()).fault is None:
            await asyncio.sleep(0)
        with pytest.raises(ViewsBehind, match="OSError: the disk is full"):
            await projector.wait_for(await memory.position(), timeout=0.01)
        assert (await projector.status()).fault == "OSError: the disk is full"
        assert (await projector.status()).lag > 0
        views.is_full = False
        await settle(memory, projector)
        assert (await projector.status()).fault is None
    assert caplog.messages == [
        "Projection is stalled: OSError: the disk is full; retrying in 0.001 s",
        "Projection has recovered",
    ]
    assert rows(views) == expected(await all_of(memory), PROJECTIONS)
    await views.close()


async def test_a_log_that_can_not_be_read_is_reported(views: Views) -> None:
    log = MemoryLog()
    async with projecting(log, views) as projector:
        await settle(log, projector)
        await log.close()
        waiting = asyncio.create_task(projector.wait_for(1, timeout=3600))
        while "LogUnavailable: The log is closed." not in (projector.fault or ""):
            await asyncio.sleep(0)
    with pytest.raises(ViewsBehind, match="The log is closed"):
        await waiting


async def test_events_that_were_missed_are_read_again(views: Views) -> None:
    log = LossyLog()
    async with projecting(log, views) as projector:
        await rebuild_done(projector)
        await build_world(log)
        await settle(log, projector)
        assert log.has_lost
    assert rows(views) == expected(await all_of(log), PROJECTIONS)


# Waiting


async def test_a_wait_ends_at_the_position_and_not_before(memory: MemoryLog, views: Views) -> None:
    world = await build_world(memory, acts=0)
    async with projecting(memory, views) as projector:
        await settle(memory, projector)
        before = await memory.position()
        later = [asyncio.create_task(projector.wait_for(before + more, 60)) for more in (1, 2)]
        await projector.wait_for(before)
        assert [task.done() for task in later] == [False, False]
        while await memory.position() < before + 2:
            await world.act(RandomWorld.ACTS.index(RandomWorld.change_pipeline))
        await asyncio.gather(*later)
        assert projector.position >= before + 2


async def test_a_wait_that_times_out_says_the_position_of_the_read_models(memory: MemoryLog, views: Views) -> None:
    await build_world(memory, acts=0)
    async with projecting(memory, views) as projector:
        await settle(memory, projector)
        position = await memory.position()
        with pytest.raises(ViewsBehind) as caught:
            await projector.wait_for(position + 1, timeout=0.01)
    assert str(caught.value) == (
        f"The read models are at position {position} and did not reach {position + 1} in time."
    )
    assert (caught.value.wanted, caught.value.position) == (position + 1, position)


async def test_a_pending_wait_fails_when_the_projector_stops(memory: MemoryLog, views: Views) -> None:
    async with projecting(memory, views) as projector:
        waiting = asyncio.create_task(projector.wait_for(1000, timeout=3600))
        await asyncio.sleep(0)
    with pytest.raises(ViewsBehind):
        await waiting


async def test_a_cancelled_wait_leaves_nothing_behind(memory: MemoryLog, views: Views) -> None:
    async with projecting(memory, views) as projector:
        waiting = asyncio.create_task(projector.wait_for(1000, timeout=3600))
        await asyncio.sleep(0)
        assert len(projector._waiters) == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert len(projector._waiters) == 0


# Parking


def failing(fold: Any, *on: type) -> Any:
    """Return *fold* with a fault for events of the types *on*."""

    def fail(view: Any, recorded: RecordedEvent) -> Any:
        if isinstance(recorded.event, on):
            raise ZeroDivisionError("division by zero")
        return fold(view, recorded)

    return fail


async def test_an_event_that_can_not_be_folded_is_parked_and_stops_nothing_else(log: EventLog, views: Views) -> None:
    poisoned = replace(environment.projection, fold=failing(environment.fold, EnvironmentRenamed))
    others = [each for each in PROJECTIONS if each.name != "environment"]
    world = await build_world(log)
    async with projecting(log, views, [poisoned, *others]) as projector:
        await settle(log, projector)
        await world.live(60)
        await settle(log, projector)
        status = await projector.status()
    events = await all_of(log)
    bad = [each for each in events if isinstance(each.event, EnvironmentRenamed)]
    assert [(each.kind, each.position, each.stream, each.name, each.error) for each in status.parked] == [
        (
            "environment",
            each.position,
            each.stream,
            "pipeline.EnvironmentRenamed",
            "ZeroDivisionError: division by zero",
        )
        for each in bad
    ]
    assert bad
    assert status.lag == 0
    digestible = [each for each in events if each not in bad]
    assert rows(views) == {
        **expected(events, others),
        **expected(digestible, [environment.projection]),
    }
    async with projecting(log, views, [replace(environment.projection, version=LOUD.version), *others]) as projector:
        await rebuild_done(projector)
        assert (await projector.status()).parked == ()
    assert rows(views) == expected(events, PROJECTIONS)


def wrong(broken: str) -> Projection[EnvironmentView]:
    def fault(_: object) -> Any:
        raise KeyError(broken)

    class Wrong(Projection[EnvironmentView]):
        def encode(self, view: EnvironmentView) -> bytes:
            return fault(view) if broken == "encode" else b"no JSON" if broken == "decode" else super().encode(view)

    key = fault if broken == "key" else environment.key
    place = fault if broken == "place" else environment.place
    places = fault if broken == "places" else environment.places
    return Wrong("environment", 1, EnvironmentView, key, environment.fold, place, places=places)


@pytest.mark.parametrize("broken", ["key", "place", "places", "encode", "decode"])
async def test_a_fault_in_any_part_of_a_projection_does_not_stop_the_others(
    memory: MemoryLog, views: Views, broken: str
) -> None:
    others = [each for each in PROJECTIONS if each.name != "environment"]
    world = RandomWorld(memory)
    async with projecting(memory, views, [wrong(broken), *others]) as projector:
        await world.begin()
        await settle(memory, projector)
        await world.live(20)
        await settle(memory, projector)
        assert {each.kind for each in (await projector.status()).parked} == {"environment"}
    found = {place: row for place, row in rows(views).items() if place[0] != "environment"}
    assert found == expected(await all_of(memory), others)


# Rebuilding


async def test_a_raised_version_is_rebuilt_while_the_old_rows_are_read_and_the_others_advance(
    log: EventLog, views: Views
) -> None:
    world = await build_world(log)
    owner = world.projects[0]
    gate = FillGate(views)
    gate.is_open.set()
    async with projecting(log, views) as projector:
        await settle(log, projector)
    before = await log.position()
    quiet = await Environments(views).list(owner)
    assert quiet.edges
    gate.is_open.clear()
    gate.reached.clear()
    async with projecting(log, views, [LOUD, project.projection, pipeline.projection]) as projector:
        await gate.reached.wait()
        await world.live(20)
        now = await log.position()
        assert now > before
        while (await views.checkpoints())["pipeline"].position < now:
            await asyncio.sleep(0)
        assert await Environments(views).list(owner) == quiet
        assert (await projector.status()).projections == (
            ProjectionStatus(
                kind="environment", version=LOUD.version, position=before, lag=now - before, is_rebuilding=True
            ),
            ProjectionStatus(
                kind="pipeline", version=pipeline.projection.version, position=now, lag=0, is_rebuilding=False
            ),
            ProjectionStatus(
                kind="project", version=project.projection.version, position=now, lag=0, is_rebuilding=False
            ),
        )
        assert projector.position == before
        with pytest.raises(ViewsBehind):
            await projector.wait_for(now, timeout=0.01)
        await projector.wait_for(before)
        gate.is_open.set()
        await projector.wait_for(now, timeout=60)
        await rebuild_done(projector)
    assert rows(views) == expected(await all_of(log), [LOUD, project.projection, pipeline.projection])


async def test_no_read_sees_rows_of_two_versions(memory: MemoryLog, views: Views) -> None:
    world = await build_world(memory, acts=100)
    owner = world.projects[0]
    async with projecting(memory, views) as projector:
        await settle(memory, projector)
    pages: list[Page[EnvironmentView]] = []

    async def read() -> None:
        while not pages or not all(edge.node.name.isupper() for edge in pages[-1].edges):
            pages.append(await Environments(views).list(owner, Slice(first=500)))

    quiet = await Environments(views).list(owner, Slice(first=500))
    reading = asyncio.create_task(read())
    async with projecting(memory, views, [LOUD]) as projector:
        await settle(memory, projector)
        await reading
    loud = [with_(edge.node, name=edge.node.name.upper()) for edge in quiet.edges]
    assert quiet.edges
    assert all(page == quiet or [edge.node for edge in page.edges] == loud for page in pages)
    assert [edge.node for edge in pages[-1].edges] == loud


@pytest.mark.long
async def test_a_rebuild_with_room_for_one_row_writes_all_rows(log: EventLog, views: Views) -> None:
    await build_world(log, acts=200)
    projector = Projector(log, views, PROJECTIONS, pause=0.001, batch=7, room=1)
    await projector.start()
    await settle(log, projector)
    await projector.stop()
    assert rows(views) == expected(await all_of(log), PROJECTIONS)


async def test_a_new_projection_joins_the_others_and_one_that_is_gone_is_forgotten(log: EventLog, views: Views) -> None:
    world = await build_world(log)
    async with projecting(log, views, [project.projection, environment.projection]) as projector:
        await settle(log, projector)
    async with projecting(log, views, [environment.projection, pipeline.projection]) as projector:
        await world.live(20)
        await settle(log, projector)
        assert (await views.checkpoints()).keys() == {"environment", "pipeline"}
    assert rows(views) == expected(await all_of(log), [environment.projection, pipeline.projection])


async def test_a_deleted_store_is_rebuilt(memory: MemoryLog, tmp_path: Path) -> None:
    await build_world(memory)
    for _ in range(2):
        views = await SqliteViews.open(tmp_path / "views.db")
        async with projecting(memory, views) as projector:
            await settle(memory, projector)
        await views.close()
        assert rows(views) == expected(await all_of(memory), PROJECTIONS)
        delete(tmp_path)


async def test_rows_of_another_log_are_rebuilt(views: Views) -> None:
    one, other = MemoryLog(), MemoryLog()
    await build_world(one, seed=1)
    await build_world(other, seed=2)
    async with projecting(one, views) as projector:
        await settle(one, projector)
    async with projecting(other, views) as projector:
        await settle(other, projector)
    assert rows(views) == expected(await all_of(other), PROJECTIONS)


async def test_a_rebuild_logs_its_progress(
    memory: MemoryLog, views: Views, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("projections.engine.projector.REPORT_INTERVAL", 0.0)
    caplog.set_level("INFO")
    await build_world(memory)
    end = await memory.position()
    projector = Projector(memory, views, PROJECTIONS, batch=end // 2)
    await projector.start()
    await projector.wait_for(end, 30)
    await projector.stop()
    assert f"Rebuilding the read models: {100 * (end // 2) // end}%, {end // 2} of {end} events" in caplog.messages


async def test_rows_from_beyond_the_end_of_a_restored_log_are_rebuilt(
    views: Views, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A restored copy of the log has the same epoch, but another history since."""
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    log = await SqliteLog.open(path)
    world = await build_world(log, acts=10)
    await log.close()
    copy.write_bytes(path.read_bytes())
    log = await SqliteLog.open(path)
    await continue_in(world, log).live(20)
    async with projecting(log, views) as projector:
        await settle(log, projector)
    epoch, position = log.epoch, await log.position()
    await log.close()
    for more in (40, 0):
        path.write_bytes(copy.read_bytes())
        log = await SqliteLog.open(path)
        assert log.epoch == epoch
        await continue_in(world, log, seed=100).live(more)
        assert (await log.position() > position) == bool(more)
        async with projecting(log, views) as projector:
            await settle(log, projector)
            await projector.wait_for(await log.position())
            assert (await projector.status()).lag == 0
        assert rows(views) == expected(await all_of(log), PROJECTIONS)
        assert ("it lost the others" in caplog.text) == (not more)
        await log.close()


def continue_in(world: RandomWorld, log: EventLog, seed: int = 99) -> RandomWorld:
    """Return the same world, continued in *log*."""
    other = RandomWorld(log, seed)
    other.projects, other.environments, other.deleted = world.projects, world.environments, world.deleted
    other.deployments = world.deployments
    return other


async def test_rows_of_an_unfinished_rebuild_are_deleted(memory: MemoryLog, views: Views) -> None:
    await build_world(memory)
    gate = FillGate(views)
    async with projecting(memory, views) as projector:
        await gate.reached.wait()
    gate.is_open.set()
    assert rows(views) == {}
    async with projecting(memory, views) as projector:
        await settle(memory, projector)
    await views.prune()
    assert rows(views) == expected(await all_of(memory), PROJECTIONS)
    generations = {each.generation for each in (await views.checkpoints()).values()}
    assert len(generations) == len(PROJECTIONS)


# Status


async def test_the_status_has_the_position_of_every_projection(memory: MemoryLog, views: Views) -> None:
    await build_world(memory)
    end = await memory.position()
    projector = Projector(memory, views, PROJECTIONS)
    kinds = sorted((each.name, each.version) for each in PROJECTIONS)
    assert await projector.status() == ProjectorStatus(
        position=0,
        lag=end,
        projections=tuple(
            ProjectionStatus(kind=kind, version=version, position=0, lag=end, is_rebuilding=True)
            for kind, version in kinds
        ),
        parked=(),
        fault=None,
    )
    await projector.start()
    await settle(memory, projector)
    assert await projector.status() == ProjectorStatus(
        position=end,
        lag=0,
        projections=tuple(
            ProjectionStatus(kind=kind, version=version, position=end, lag=0, is_rebuilding=False)
            for kind, version in kinds
        ),
        parked=(),
        fault=None,
    )
    await projector.stop()
