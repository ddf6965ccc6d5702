"""Any version of a long history is read from a valid snapshot near it."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec import Raw

from application.handler import Handler
from domain import pipeline as pipelines
from domain.pipeline.environment import CreateEnvironment
from domain.pipeline.ref import StageId
from domain.pipeline.stage import EditStage
from domain.project import EnvironmentId, ProjectId
from projections import pipeline
from projections.engine import snapshot
from projections.engine.snapshot import ViewSnapshot
from projections.engine.views import Advance, Checkpoint, ViewRow, Views
from projections.pipeline import Pipelines, PipelineView
from store import ids
from store.log import EventLog, RecordedEvent
from tests.projections.world import BY

EVERY = 5
STREAM = EnvironmentId(ids.new())


@pytest.fixture
async def events(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> list[RecordedEvent]:
    """Return the events of a pipeline with 23 versions."""
    monkeypatch.setattr(snapshot, "EVERY", EVERY)
    handler, stages = Handler(log), [StageId(ids.new()) for _ in range(4)]
    first = CreateEnvironment(
        project=ProjectId(ids.new()), name="live", stages=(stages[0], stages[1], stages[2], stages[3])
    )
    await handler.handle(pipelines.decider, STREAM, first, BY)
    for turn in range(18):
        command = EditStage(stage=stages[turn % 4], description=f"turn {turn}")
        await handler.handle(pipelines.decider, STREAM, command, BY)
    return list(await log.read(STREAM))


def beside(events: list[RecordedEvent], version: int) -> Sequence[ViewRow]:
    """Return the rows that the projection writes beside its row at *version*."""
    before = pipeline.projection.replay(events[: version - 1])
    return pipeline.beside(before, folded(events[:version]), events[version - 1])


def folded(events: list[RecordedEvent]) -> PipelineView:
    view = pipeline.projection.replay(events)
    assert view is not None
    return view


async def save(views: Views, *rows: ViewRow) -> None:
    generation = await views.begin("pipeline")
    after = Checkpoint(kind="pipeline", version=1, generation=generation, epoch="e", position=1)
    await views.save([Advance(before=None, after=after, rows=rows)])


def other(row: ViewRow, **changes: object) -> ViewRow:
    """Return a snapshot of the same version with the year 1999 and with *changes*."""
    taken = msgspec.json.decode(row.document, type=ViewSnapshot)
    view = pipeline.projection.decode(bytes(taken.view))
    made = msgspec.structs.replace(view, created_at=view.created_at.replace(year=1999))
    marked = msgspec.structs.replace(taken, view=Raw(msgspec.json.encode(made)), **changes)
    return msgspec.structs.replace(row, document=msgspec.json.encode(marked))


async def years(log: EventLog, views: Views, events: list[RecordedEvent]) -> list[int]:
    """Return the year in which the pipeline was created, as each version has it."""
    found = []
    for version in range(1, len(events) + 1):
        view = await Pipelines(log, views).get(STREAM, version)
        assert view is not None
        assert (view.version, view.pipeline) == (version, folded(events[:version]).pipeline)
        found.append(view.created_at.year)
    return found


async def test_the_projection_takes_a_snapshot_at_regular_versions(events: list[RecordedEvent]) -> None:
    for version in range(1, len(events) + 1):
        assert len(beside(events, version)) == (2 if version % EVERY == 0 else 1)


async def test_a_version_is_read_from_the_snapshot_before_it(
    log: EventLog, views: Views, events: list[RecordedEvent]
) -> None:
    current = ViewRow(key=STREAM, place=None, position=1, document=pipeline.projection.encode(folded(events)))
    await save(views, current, other(beside(events, 10)[1]), other(beside(events, 20)[1]))
    assert await years(log, views, events) == [2026] * 9 + [1999] * 5 + [2026] * 5 + [1999] * 4


async def test_a_pipeline_may_end_at_a_snapshot(log: EventLog, views: Views, events: list[RecordedEvent]) -> None:
    command = EditStage(stage=folded(events).pipeline.stages[0].id, name="last", description="")
    await Handler(log).handle(pipelines.decider, STREAM, command, BY)
    events = list(await log.read(STREAM))
    assert len(events) == 5 * EVERY
    current = ViewRow(key=STREAM, place=None, position=1, document=pipeline.projection.encode(folded(events)))
    await save(views, current, beside(events, 25)[1])
    shown = Pipelines(log, views)
    assert await shown.get(STREAM) == await shown.get(STREAM, 25) == folded(events)
    assert await shown.get(STREAM, as_of=events[24].recorded_at) == folded(events)
    assert await shown.get(STREAM, 24) == folded(events[:24])
    assert await shown.get(STREAM, 26) is None


async def test_a_snapshot_of_another_log_is_not_taken(log: EventLog, views: Views, events: list[RecordedEvent]) -> None:
    await save(views, other(beside(events, 10)[1], hash=b"another"))
    assert await years(log, views, events) == [2026] * 23
    assert await Pipelines(log, views).get(STREAM) == folded(events)


async def test_without_its_store_every_version_is_folded_from_the_log(
    log: EventLog, views: Views, events: list[RecordedEvent]
) -> None:
    await save(views, other(beside(events, 10)[1]))
    await views.close()
    assert await years(log, views, events) == [2026] * 23
