"""Pipelines at any version."""

from datetime import timedelta

import pytest

from cache import lru
from domain import pipeline as pipelines
from domain.deployment.queue import DeploymentAdmitted, DeploymentId
from domain.pipeline.environment import EnvironmentDeleted
from domain.pipeline.stage import EditStage
from domain.project import EnvironmentId
from projections import pipeline
from projections.engine import replay
from projections.pipeline import Pipelines, PipelineView
from store.log import EventLog
from tests.domain import example
from tests.projections.given import STREAM, at, folded, recorded
from tests.projections.world import BY, RandomWorld

ENVIRONMENT = EnvironmentId(STREAM)
EVENTS = (example.created, example.build, *example.api_in_build)


def test_a_pipeline_is_the_domains_with_its_version_and_times() -> None:
    view = folded(pipeline.projection, *EVENTS)
    assert view == PipelineView(
        environment=ENVIRONMENT,
        project=example.PROJECT,
        version=4,
        position=4,
        created_at=at(1),
        updated_at=at(4),
        pipeline=pipelines.decider.replay(EVENTS),
    )


def test_a_deleted_pipeline_stays() -> None:
    view = folded(pipeline.projection, *EVENTS, EnvironmentDeleted())
    assert view is not None
    assert view.pipeline.is_deleted
    assert pipeline.projection.place(view) is None


def test_a_queue_is_no_pipeline() -> None:
    assert pipeline.projection.key(recorded(DeploymentAdmitted(deployment=DeploymentId(STREAM)))) is None


async def test_every_version_and_every_time_is_the_fold_of_what_was_there_then(log: EventLog) -> None:
    world = RandomWorld(log, seed=7)
    await world.begin()
    await world.live(80)
    assert world.environments
    kept, fresh = Pipelines(log), Pipelines(log)
    for environment in world.environments:
        events = await log.read(environment)
        now = await kept.get(environment)
        assert now == pipeline.projection.replay(events)
        for end in range(1, len(events) + 1):
            assert await kept.get(environment, end) == pipeline.projection.replay(events[:end])
        assert await kept.get(environment, 0) is None
        assert await kept.get(environment, len(events) + 1) is None
        for recorded_at in {each.recorded_at for each in events}:
            for moment in (recorded_at - timedelta(microseconds=1), recorded_at, recorded_at + timedelta(hours=1)):
                past = [each for each in events if each.recorded_at <= moment]
                assert await fresh.get(environment, as_of=moment) == pipeline.projection.replay(past)
        assert await fresh.get(environment, 2, events[0].recorded_at) == pipeline.projection.replay(
            [each for each in events[:2] if each.recorded_at <= events[0].recorded_at]
        )


@pytest.mark.parametrize("piece", [1, 7, replay.READ])
async def test_many_versions_at_once_are_the_same_as_each_alone(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(replay, "READ", piece)
    world = RandomWorld(log, seed=7)
    await world.begin()
    await world.live(80)
    for environment in world.environments:
        events = await log.read(environment)
        end = len(events)
        for wanted in (
            [],
            [1],
            [end],
            [end + 1],
            [1, end],
            [1, 3, end, end + 5],
            range(1, end + 3),
            [end + 1, end + 2],
        ):
            there = {version: pipeline.projection.replay(events[:version]) for version in wanted if version <= end}
            assert await Pipelines(log).at(environment, wanted) == there


async def test_a_stream_that_is_no_pipelines_has_none(log: EventLog) -> None:
    world = RandomWorld(log, seed=1)
    await world.create_project()
    assert await Pipelines(log).get(EnvironmentId(world.projects[0])) is None
    assert await Pipelines(log).get(EnvironmentId(STREAM)) is None


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that has room for some of four views: those that were used last."""
    monkeypatch.setattr(replay, "MAX_CACHE", 10_000)
    monkeypatch.setattr(lru, "LAST", 1)


@pytest.mark.usefixtures("small_cache")
async def test_an_answer_is_never_behind_the_log(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "INLINE", 3)
    world, shown = RandomWorld(log, seed=3), Pipelines(log)
    await world.create_project()
    for _ in range(4):
        await world.create_environment()
    for turn in range(3):
        for environment in world.environments:
            state = (await world.handler.states.load(pipelines.decider, environment)).state
            command = EditStage(stage=state.stages[turn].id, name=f"stage {turn}", description=f"turn {turn}")
            handled = await world.handler.handle(pipelines.decider, environment, command, BY)
            view = await shown.get(environment)
            assert view is not None
            assert (view.pipeline, view.version) == (handled.state, handled.subject.version)
            assert view.position == handled.receipt.position
            assert await shown.get(environment) is view
    assert len(shown._replay._cache) < 4


@pytest.mark.usefixtures("small_cache")
async def test_a_pipeline_that_is_read_often_stays_cached(log: EventLog) -> None:
    """Also by readers that know the position of the log and read nothing."""
    world, shown = RandomWorld(log, seed=3), Pipelines(log)
    await world.create_project()
    for _ in range(4):
        await world.create_environment()
    often, *others = world.environments
    view = await shown.get(often)
    for other in others:
        await shown.get(other)
        assert await shown.get(often, has_asked=True) is view
    assert len(shown._replay._cache) < 4
