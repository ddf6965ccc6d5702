"""The open deployments of a queue at any version."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.deployment import queue as queues
from domain.deployment.queue import (
    Action,
    CloseDeployment,
    DeploymentId,
    DeploymentMerged,
    MoveDeployment,
    QueueCommand,
    QueueEvent,
    RequestDeployment,
)
from projections import queue
from store import ids
from store.log import StreamChange
from store.memory import MemoryLog
from tests.examples import examples
from tests.projections.given import BY

numbers = st.integers(0, 20)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("many", [1, 3, queue.BATCH])
@given(st.lists(st.tuples(st.booleans(), numbers), max_size=40))
@settings(max_examples=examples(60), deadline=None)
async def test_the_open_deployments_at_any_version_are_those_of_the_domain(
    many: int, acts: list[tuple[bool, int]]
) -> None:
    state, events = queues.decider.initial, list[QueueEvent]()
    for number, (is_request, which) in enumerate(acts):
        command: QueueCommand
        if is_request:
            command = RequestDeployment(
                deployment=DeploymentId(ids.new()),
                action=Action.DEPLOY,
                actor="ada",
                pipeline_version=number,
                undoes=1 if state.admitted and which % 5 == 0 else None,
                frozen=NOON if which % 7 == 0 else None,
                ignores_freeze=which % 2 == 0,
            )
        elif state.waiting and which % 3 == 0:
            moved = state.waiting[which % len(state.waiting)].deployment
            command = MoveDeployment(deployment=moved, position=1 + which % 5 % len(state.waiting))
        elif state.open:
            command = CloseDeployment(deployment=state.open[which % len(state.open)].deployment)
        else:
            continue
        decided = queues.decide(state, command)
        events += decided
        state = queues.decider.replay(decided, state)
    log, stream = MemoryLog(), ids.new()
    await log.append([StreamChange(stream=stream, expected=0, events=tuple(events))], BY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "BATCH", many)
        for version in range(len(events) + 1):
            then = queues.decider.replay(events[:version])
            open_ = {request.deployment: request.number for request in then.open}
            assert await queue.open_at(log, stream, version) == open_


@given(st.lists(st.tuples(st.booleans(), numbers), max_size=40))
@settings(max_examples=examples(60), deadline=None)
async def test_the_view_of_a_queue_has_the_open_deployments_and_the_requests_that_merged(
    acts: list[tuple[bool, int]],
) -> None:
    state, events = queues.decider.initial, list[QueueEvent]()
    for is_request, which in acts:
        command: QueueCommand
        if is_request:  # a second request for the same version merges into one that waits
            command = RequestDeployment(
                deployment=DeploymentId(ids.new()), action=Action.DEPLOY, actor="ada", pipeline_version=which // 4
            )
        elif state.waiting and which % 3 == 0:
            moved = state.waiting[which % len(state.waiting)].deployment
            command = MoveDeployment(deployment=moved, position=1 + which % 5 % len(state.waiting))
        elif state.open:
            command = CloseDeployment(deployment=state.open[which % len(state.open)].deployment)
        else:
            continue
        decided = queues.decide(state, command)
        events += decided
        state = queues.decider.replay(decided, state)
    log, stream = MemoryLog(), ids.new()
    await log.append([StreamChange(stream=stream, expected=0, events=tuple(events))], BY)
    recorded = await log.read(stream)
    view = queue.projection.replay(recorded)
    assert (() if view is None else view.deployments) == tuple(each.deployment for each in state.open)
    merges = [each for each in recorded if isinstance(each.event, DeploymentMerged)]
    for deployment in {queue.merged.key(each) for each in merges}:
        own = [each for each in merges if queue.merged.key(each) == deployment]
        merged = queue.merged.replay(own)
        assert merged is not None
        assert [(each.actor, each.at) for each in merged.requests] == [(BY.actor, each.recorded_at) for each in own]
