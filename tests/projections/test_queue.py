"""What was in a queue at any version, found by reading backwards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import queue as queues
from domain.queue import Action, CloseDeployment, DeploymentId, QueueCommand, QueueEvent, RequestDeployment
from projections import queue
from store import ids
from store.log import Change
from store.memory import MemoryLog
from tests.examples import examples
from tests.projections.given import BY

numbers = st.integers(0, 20)


@pytest.mark.parametrize("many", [1, 3, queue.MANY])
@given(st.lists(st.tuples(st.booleans(), numbers), max_size=40))
@settings(max_examples=examples(60), deadline=None)
async def test_at_every_version_it_is_what_the_rules_say(many: int, acts: list[tuple[bool, int]]) -> None:
    state, events = queues.decider.initial, list[QueueEvent]()
    for number, (is_request, which) in enumerate(acts):
        command: QueueCommand
        if is_request:
            command = RequestDeployment(
                deployment=DeploymentId(ids.new()), action=Action.DEPLOY, actor="ada", pipeline_version=number
            )
        elif state.open:
            command = CloseDeployment(deployment=state.open[which % len(state.open)].deployment)
        else:
            continue
        decided = queues.decide(state, command)
        events += decided
        state = queues.decider.replay(decided, state)
    log, stream = MemoryLog(), ids.new()
    await log.append([Change(stream=stream, expected=0, events=tuple(events))], BY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "MANY", many)
        for version in range(len(events) + 1):
            then = queues.decider.replay(events[:version])
            open_ = {request.deployment: request.number for request in then.open}
            assert await queue.open_at(log, stream, version) == open_
