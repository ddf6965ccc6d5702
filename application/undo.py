"""The use case of undo: the last change of an actor to a pipeline."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from application.handler import Transaction
from application.pipeline import Targets, existing, replace
from domain import pipeline as pipelines
from domain import project as projects
from domain.errors import ChangedSince, NothingToUndo
from domain.pipeline.environment import EditEnvironment
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.pipeline.undo import without
from domain.project import EnvironmentId, NameEnvironment
from projections.event import PipelineStory
from projections.pipeline import Pipelines
from store.log import EventLog, RecordedEvent

CHUNK = 200
"""Number of events that are read at once in search of the last change."""


async def undo(
    transaction: Transaction,
    environment: EnvironmentId,
    actor: str,
    log: EventLog,
    views: Pipelines,
    targets: Targets,
    expected: int | None = None,
) -> EnvironmentId:
    """Undo the last change of *actor*, and keep later changes of others; raises `NothingToUndo` or `ChangedSince`."""
    await existing(transaction, environment)
    now = await transaction.load(pipelines.decider, environment)
    change, later = await _last_change(log, environment, now.version, actor)
    if not change or change[0].version == 1:
        raise NothingToUndo()
    before = await views.get(environment, change[0].version - 1)
    assert before is not None, "a later version has an earlier one"
    wanted, conflicts = without(before.pipeline, _events(change), _events(later))
    if conflicts:
        raise _changed_since(before.pipeline, change, later, conflicts)
    is_renamed = wanted.name != now.state.name
    if is_renamed:
        assert wanted.project is not None, "an environment that exists has a project"
        naming = NameEnvironment(environment=environment, name=wanted.name)
        await transaction.do(projects.decider, wanted.project, naming)
    await replace(transaction, environment, wanted, targets, expected)
    if is_renamed:
        await transaction.do(pipelines.decider, environment, EditEnvironment(name=wanted.name))
    return environment


async def _last_change(
    log: EventLog, stream: UUID, version: int, actor: str
) -> tuple[Sequence[RecordedEvent], Sequence[RecordedEvent]]:
    """Return the events of the last append of *actor* to the stream, which is at *version*, and all events after it.

    The events of one append have the same time and correlation, and consecutive versions.
    """
    events: list[RecordedEvent] = []
    end = start = 0  # of the change, as indexes into *events*
    while not start and (first := version - len(events)) > 0:
        more = await log.read(stream, after=max(0, first - CHUNK), until=first)
        events[:0] = more
        end = next((place for place in range(len(events), 0, -1) if events[place - 1].by.actor == actor), 0)
        start = end
        while start and _append(events[start - 1]) == _append(events[end - 1]):
            start -= 1
    return events[start:end], events[end:]


def _append(recorded: RecordedEvent) -> tuple[object, ...]:
    return recorded.by, recorded.recorded_at


def _events(recorded: Sequence[RecordedEvent]) -> list[PipelineEvent]:
    return [cast("PipelineEvent", each.event) for each in recorded]


def _changed_since(
    before: Pipeline, change: Sequence[RecordedEvent], later: Sequence[RecordedEvent], conflicts: Sequence[int]
) -> ChangedSince:
    story = PipelineStory(before)
    own = "; ".join(story.describe(each).message for each in change)
    described = [story.describe(each) for each in later]
    dependent = (described[place] for place in conflicts)
    return ChangedSince(
        change=own, later="; ".join(f"{each.message} (version {each.recorded.version})" for each in dependent)
    )
