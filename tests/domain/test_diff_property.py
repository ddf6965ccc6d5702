"""Whatever happened to a pipeline, there is a way from each of its states to any other."""

from uuid import UUID

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domain import pipeline
from domain.errors import LastStage, NameTaken, Refused
from domain.pipeline import apply, undo
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.aspect import EXISTENCE, Aspect, aspect
from domain.pipeline.diff import diff
from domain.pipeline.environment import EnvironmentDeleted
from domain.pipeline.service import ServiceRemoved
from domain.pipeline.stage import StageDeleted
from domain.pipeline.state import Pipeline, PipelineEvent
from tests.domain.histories import Change, folded, histories, lived
from tests.examples import examples

places = st.integers(0, 10**6)


def facts(state: Pipeline) -> dict[Aspect, object]:
    """Everything that holds in a pipeline, but the orders of stages and services."""
    found: dict[Aspect, object] = {
        (None, "name"): state.name,
        (None, "target"): state.target,
        (None, "concurrency"): state.concurrency,
    }
    for stage in state.stages:
        found[stage.id, EXISTENCE] = True
        values = {"name": stage.name, "description": stage.description, "policy": stage.policy, "home": stage.home_of}
        found |= {(stage.id, name): value for name, value in values.items()}
        for service in stage.services:
            found[service.id, EXISTENCE] = service.type
            one = {"name": service.name, "spec": service.spec, "skipped": service.is_skipped, "place": stage.id}
            found |= {(service.id, name): value for name, value in one.items()}
    return found


def order(state: Pipeline, but: set[UUID | None]) -> list[tuple[UUID, list[UUID]]]:
    """The order of the stages and of their services, *but* some."""
    return [
        (stage.id, [service.id for service in stage.services if service.id not in but])
        for stage in state.stages
        if stage.id not in but
    ]


def cut(history: list[Change], place: int) -> list[Change]:
    """One of the beginnings of *history*, the environment's creation being the shortest."""
    return history[: 1 + place % len(history)]


def came_back(happened: list[PipelineEvent], after: Pipeline) -> bool:
    """Whether something of *after* was deleted meanwhile: it was made as it is at once, where the way edits it."""
    deleted = {event.stage for event in happened if isinstance(event, StageDeleted)}
    removed = {event.service for event in happened if isinstance(event, ServiceRemoved)}
    return not (
        deleted.isdisjoint(stage.id for stage in after.stages)
        and removed.isdisjoint(service.id for service in after.services)
    )


@given(histories())
def test_events_one_by_one_lead_where_all_of_them_do(history: list[Change]) -> None:
    state = pipeline.decider.initial
    for event in (event for change in history for event in change):
        state = pipeline.evolve(state, event)
    assert state == folded(history)


@given(histories(), places, places)
@example(lived([(0, 0, 0), (4, 0, 1), (5, 0, 1), (1, 1, 0)]), 0, 4)
@settings(max_examples=examples(200))
def test_the_way_leads_there_and_is_never_longer_than_what_happened(
    history: list[Change], one: int, other: int
) -> None:
    first, second = sorted((cut(history, one), cut(history, other)), key=len)
    before, after = folded(first), folded(second)
    happened = [event for change in second[len(first) :] for event in change]
    there, back = diff(before, after), diff(after, before)
    assert pipeline.decider.replay(there, before) == after
    assert pipeline.decider.replay(back, after) == before
    assert came_back(happened, after) or len(there) <= len(happened)


@given(histories(), places)
def test_restoring_a_version_gives_what_it_was(history: list[Change], place: int) -> None:
    now, past = folded(history), folded(cut(history, place))
    events = apply.decide(now, ApplyPipeline(wanted=past))
    assert apply.decider.replay(events, now) == past
    assert apply.decide(past, ApplyPipeline(wanted=past)) == []


@given(histories(), histories())
def test_there_is_a_way_between_pipelines_that_have_nothing_in_common(one: list[Change], other: list[Change]) -> None:
    before, after = folded(one), folded(other)
    assert pipeline.decider.replay(diff(before, after), before) == after


@given(histories(), places)
@settings(max_examples=examples(200))
def test_the_last_change_is_always_taken_back_whole(history: list[Change], place: int) -> None:
    history = cut(history, place)
    assume(len(history) > 1)
    before = folded(history[:-1])
    assert undo.without(folded(history), before, history[-1]) == before


@given(histories(), places)
@settings(max_examples=examples(200))
def test_an_undo_of_any_change_takes_only_its_effect_away_or_names_what_stands_on_it(
    history: list[Change], place: int
) -> None:
    index = place % len(history)
    assume(index)
    before, change, now = folded(history[:index]), history[index], folded(history)
    later = [event for change in history[index + 1 :] for event in change]
    found = undo.conflicts(before, change, later)
    assert all(0 <= each < len(later) for each in found)
    if found:
        return
    wanted = undo.without(now, before, change)
    try:
        events = apply.decide(now, ApplyPipeline(wanted=wanted))
    except (NameTaken, LastStage):
        return
    assert apply.decider.replay(events, now) == wanted
    changed = {aspect(event) for event in change}
    was, then, is_ = facts(before), facts(now), facts(wanted)
    for each in then.keys() | is_.keys() | was.keys():
        touched = each in changed or (each[0], EXISTENCE) in changed
        assert is_.get(each) == (was.get(each) if touched else then.get(each)), each
    moved = {thing for thing, of in changed if of in (EXISTENCE, "position", "place")}
    assert order(wanted, moved) == order(now, moved)


@given(histories(), places)
@settings(max_examples=examples(200))
def test_an_undone_undo_makes_the_change_again(history: list[Change], place: int) -> None:
    index = place % len(history)
    assume(index)
    before, change, now = folded(history[:index]), history[index], folded(history)
    assume(not undo.conflicts(before, change, [event for later in history[index + 1 :] for event in later]))
    try:
        events = apply.decide(now, ApplyPipeline(wanted=undo.without(now, before, change)))
    except (NameTaken, LastStage):
        return
    assert undo.without(apply.decider.replay(events, now), now, events) == now


@given(histories())
def test_undos_of_all_changes_from_the_last_lead_through_all_versions(history: list[Change]) -> None:
    now = folded(history)
    for index in range(len(history) - 1, 0, -1):
        now = undo.without(now, folded(history[:index]), history[index])
        assert now == folded(history[:index])


@given(histories())
def test_no_deleted_environment_is_restored(history: list[Change]) -> None:
    deleted = pipeline.evolve(folded(history), EnvironmentDeleted())
    with pytest.raises(Refused, match="There is no environment"):
        apply.decide(deleted, ApplyPipeline(wanted=folded(history)))
