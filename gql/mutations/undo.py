"""The last change of one's own, taken back."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from strawberry import ID

from application.handler import Transaction
from domain import pipeline as domain
from domain import project as projects
from domain.errors import ChangedSince, NothingToUndo
from domain.pipeline.environment import EditEnvironment
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.pipeline.undo import without
from domain.project import NameEnvironment
from gql.contract.mutation import Write, mutation
from gql.mutations.apply import become
from gql.types.pipeline import PipelineResult, answer, existing
from projections.event import PipelineStory
from store.log import EventLog, Recorded

CHUNK = 200


@mutation(
    "Takes the last change back that the asking actor made to a pipeline, and leaves the later ones of others. "
    "It is a change like any other: a second undo takes the first one back."
)
async def undo(write: Write, environment: ID) -> PipelineResult:
    application = write.context.application
    actor = write.context.author(None).actor

    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        loaded = await transaction.load(domain.decider, stream)
        change, later = await _last_change(application.log, stream, loaded.version, actor)
        if not change or change[0].version == 1:
            raise NothingToUndo()
        before = await application.pipelines.get(stream, change[0].version - 1)
        assert before is not None, "a later version has an earlier one"
        wanted, conflicts = without(before.pipeline, _events(change), _events(later))
        if conflicts:
            raise _changed_since(before.pipeline, change, later, conflicts)
        if wanted.name != loaded.state.name:
            naming = NameEnvironment(environment=stream, name=wanted.name)
            assert wanted.project is not None, "an environment that exists has a project"
            await transaction.do(projects.decider, wanted.project, naming)
        await become(write, transaction, stream, wanted)
        if wanted.name != loaded.state.name:
            await transaction.do(domain.decider, stream, EditEnvironment(name=wanted.name))
        return stream

    return await answer(write, await write.transact(work, domain.decider))


async def _last_change(
    log: EventLog, stream: UUID, version: int, actor: str
) -> tuple[Sequence[Recorded], Sequence[Recorded]]:
    """The events of *actor*'s last append to the stream, which is at *version*, and all that came after it.

    What one append wrote has one time, one correlation and versions without a gap.
    """
    events: list[Recorded] = []
    end = start = 0  # of the change, in *events*
    while not start and (first := version - len(events)) > 0:
        more = await log.read(stream, after=max(0, first - CHUNK), until=first)
        events[:0] = more
        end = next((place for place in range(len(events), 0, -1) if events[place - 1].by.actor == actor), 0)
        start = end
        while start and _append(events[start - 1]) == _append(events[end - 1]):
            start -= 1
    return events[start:end], events[end:]


def _append(recorded: Recorded) -> tuple[object, ...]:
    return recorded.by, recorded.recorded_at


def _events(recorded: Sequence[Recorded]) -> list[PipelineEvent]:
    return [cast("PipelineEvent", each.event) for each in recorded]


def _changed_since(
    before: Pipeline, change: Sequence[Recorded], later: Sequence[Recorded], conflicts: Sequence[int]
) -> ChangedSince:
    story = PipelineStory(before)
    own = "; ".join(story.describe(each).message for each in change)
    told = [story.describe(each) for each in later]
    standing = (told[place] for place in conflicts)
    return ChangedSince(
        change=own, later="; ".join(f"{each.message} (version {each.recorded.version})" for each in standing)
    )
