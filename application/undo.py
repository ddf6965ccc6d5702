"""
The use case of undo: a chosen change of an actor to a pipeline, or the last one.

An undo is itself a change, whose cause is the change that it undoes. So an undo can be undone, and each undo without a
choice goes one change further back.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast
from uuid import UUID

from msgspec import Struct

from application.handler import Transaction
from application.pipeline import Targets, existing, joined, messages, replace
from domain import pipeline as pipelines
from domain import project as projects
from domain.errors import AlreadyUndone, ChangedSince, ChangeNotFound, InvalidArgument, NothingToUndo, NotYourChange
from domain.pipeline.environment import (
    EditEnvironment,
    EnvironmentKeyRotated,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
)
from domain.pipeline.state import PipelineEvent
from domain.pipeline.undo import conflicts, without
from domain.project import EnvironmentId, NameEnvironment
from projections.pipeline import Pipelines
from store.log import EventLog, RecordedEvent

CHUNK = 200
"""Number of events that are read at once in search of a change."""


class Undoable(Struct, frozen=True):
    """The events of one append, and the *later* events that are in effect."""

    change: Sequence[RecordedEvent]
    later: Sequence[RecordedEvent]


async def undo(
    transaction: Transaction,
    environment: EnvironmentId,
    change: UUID | None,
    actor: str,
    log: EventLog,
    views: Pipelines,
    targets: Targets,
    expected: int | None = None,
) -> EnvironmentId:
    """Undo the change with the event *change*, or the last change of *actor*, and keep later changes.

    Raises `ChangedSince`, and the refusals of `_choose`.
    """
    await existing(transaction, environment)
    now = await transaction.load(pipelines.decider, environment)
    chosen = await _choose(log, environment, now.version, actor, change)
    first = chosen.change[0]
    before = await views.get(environment, first.version - 1)
    assert before is not None, "a later version has an earlier one"
    events = _events(chosen.change)
    if found := conflicts(before.pipeline, events, _events(chosen.later)):
        raise await _changed_since(log, views, environment, chosen, found)
    wanted = without(now.state, before.pipeline, events)
    is_renamed = wanted.name != now.state.name
    if is_renamed:
        assert wanted.project is not None, "an environment that exists has a project"
        naming = NameEnvironment(environment=environment, name=wanted.name)
        await transaction.do(projects.decider, wanted.project, naming)
    await replace(transaction, environment, wanted, targets, expected)
    if is_renamed:
        await transaction.do(pipelines.decider, environment, EditEnvironment(name=wanted.name))
    transaction.cause = first.id
    return environment


async def _choose(log: EventLog, stream: UUID, version: int, actor: str, change: UUID | None) -> Undoable:
    """Return the change with the event *change*, or the last one of *actor* that can be undone and is not yet undone.

    Raises `NothingToUndo`, `ChangeNotFound`, `NotYourChange`, `AlreadyUndone`, and `InvalidArgument` for the creation
    of the environment.
    """
    undone: set[UUID] = set()  # by undos that are themselves in effect
    passed: set[UUID] = set()
    in_effect: list[Sequence[RecordedEvent]] = []
    async with aclosing(_appends(log, stream, version)) as appends:
        async for append in appends:
            first = append[0]
            is_own = first.by.actor == actor
            is_undone = first.id in undone
            is_due = first.by.causation is None and first.version > 1 and not _is_of_secrets(append)
            if change is None and is_own and not is_undone and is_due:
                break
            if any(each.id == change for each in append):
                _check(append, is_own, is_undone)
                break
            passed.add(first.id)
            if not is_undone:
                in_effect.append(append)
                if first.by.causation is not None:
                    undone.add(first.by.causation)
        else:
            raise NothingToUndo() if change is None else ChangeNotFound(change=str(change))
    # an undo and its change cancel each other, if both are later
    later = [append for append in reversed(in_effect) if append[0].by.causation not in passed]
    return Undoable(append, [event for append in later for event in append])


def _check(append: Sequence[RecordedEvent], is_own: bool, is_undone: bool) -> None:
    first = append[0]
    if not is_own:
        raise NotYourChange(actor=first.by.actor)
    if is_undone:
        raise AlreadyUndone()
    if first.version == 1:
        raise InvalidArgument(argument="change", why="it created the environment; delete that")
    if _is_of_secrets(append):
        raise InvalidArgument(
            argument="change", why="it changed a secret, and no value comes back; set the secret again"
        )


def _is_of_secrets(append: Sequence[RecordedEvent]) -> bool:
    """Return whether the append changed secrets, which it then changed alone."""
    return isinstance(append[0].event, EnvironmentSecretSet | EnvironmentSecretDeleted | EnvironmentKeyRotated)


async def _appends(log: EventLog, stream: UUID, version: int) -> AsyncGenerator[Sequence[RecordedEvent], None]:
    """Yield the events of the stream up to *version*, those of each append together, the last append first.

    The events of one append have the same time and author, and consecutive versions.
    """
    append: list[RecordedEvent] = []
    while version > 0:
        first = max(0, version - CHUNK)
        for recorded in reversed(await log.read(stream, after=first, until=version)):
            if append and _author(recorded) != _author(append[0]):
                yield append
                append = []
            append.insert(0, recorded)
        version = first
    if append:
        yield append


def _author(recorded: RecordedEvent) -> tuple[object, ...]:
    return recorded.by, recorded.recorded_at


async def _changed_since(
    log: EventLog, views: Pipelines, environment: EnvironmentId, chosen: Undoable, places: Sequence[int]
) -> ChangedSince:
    """Return the refusal that names the change, and the later events at *places*."""
    own = await messages(log, views, environment, [each.version for each in chosen.change])
    versions = [chosen.later[place].version for place in places]
    later = await messages(log, views, environment, versions)
    numbered = [f"{each} (version {version})" for each, version in zip(later, versions, strict=False)]
    refused = ChangedSince(change=joined(own, len(chosen.change)), later=joined(numbered, len(versions)))
    refused.about(environment, versions)
    return refused


def _events(recorded: Sequence[RecordedEvent]) -> list[PipelineEvent]:
    return [cast("PipelineEvent", each.event) for each in recorded]
