"""Whatever happened to a pipeline, there is a way from each of its states to any other."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domain import apply, pipeline
from domain.apply import ApplyPipeline
from domain.environment import EnvironmentDeleted
from domain.errors import LastStage, NameTaken, Refused
from domain.pipeline import Pipeline, PipelineEvent
from domain.service import ServiceRemoved
from domain.stage import StageDeleted
from domain.undo import without
from domain.way import way
from tests.domain.histories import Change, folded, histories, lived
from tests.examples import examples

places = st.integers(0, 10**6)


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
    there, back = way(before, after), way(after, before)
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
    assert pipeline.decider.replay(way(before, after), before) == after


@given(histories(), places)
@settings(max_examples=examples(200))
def test_the_last_change_is_always_taken_back_whole(history: list[Change], place: int) -> None:
    history = cut(history, place)
    assume(len(history) > 1)
    before = folded(history[:-1])
    assert without(before, history[-1], ()) == (before, ())


@given(histories(), places)
@settings(max_examples=examples(200))
def test_a_change_that_is_taken_back_leaves_a_pipeline_or_names_what_stands_in_the_way(
    history: list[Change], place: int
) -> None:
    index = place % len(history)
    assume(index)
    later = [event for change in history[index + 1 :] for event in change]
    wanted, conflicts = without(folded(history[:index]), history[index], later)
    assert all(0 <= conflict < len(later) for conflict in conflicts)
    if not conflicts:
        now = folded(history)
        try:
            events = apply.decide(now, ApplyPipeline(wanted=wanted))
        except (NameTaken, LastStage):
            return
        assert apply.decider.replay(events, now) == wanted


@given(histories())
def test_no_deleted_environment_is_restored(history: list[Change]) -> None:
    deleted = pipeline.evolve(folded(history), EnvironmentDeleted())
    with pytest.raises(Refused, match="There is no environment"):
        apply.decide(deleted, ApplyPipeline(wanted=folded(history)))
