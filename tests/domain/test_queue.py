from datetime import UTC, datetime, timedelta
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.deployment import queue
from domain.deployment.queue import (
    MAX_WAITING,
    Action,
    CloseDeployment,
    DeploymentAdmitted,
    DeploymentClosed,
    DeploymentFrozen,
    DeploymentId,
    DeploymentMerged,
    DeploymentMoved,
    DeploymentRequested,
    DeploymentThawed,
    FreezeIgnored,
    MoveDeployment,
    QueueEvent,
    RequestDeployment,
    ThawDeployments,
)
from domain.errors import DeploymentNotWaiting, InvalidPosition, LimitReached
from domain.pipeline.environment import OnRequest
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from tests.domain.given import Given

given = Given(queue.decider)

FIRST, SECOND, THIRD, FOURTH = (DeploymentId(UUID(int=number)) for number in range(1, 5))


def request(deployment: DeploymentId, actor: str = "ada", version: int = 5) -> RequestDeployment:
    return RequestDeployment(deployment=deployment, action=Action.DEPLOY, actor=actor, pipeline_version=version)


def requested(deployment: DeploymentId, number: int, actor: str = "ada", version: int = 5) -> DeploymentRequested:
    return DeploymentRequested(
        deployment=deployment, number=number, action=Action.DEPLOY, actor=actor, pipeline_version=version
    )


def admitted(deployment: DeploymentId) -> DeploymentAdmitted:
    return DeploymentAdmitted(deployment=deployment)


def closed(deployment: DeploymentId) -> DeploymentClosed:
    return DeploymentClosed(deployment=deployment)


first_runs: tuple[QueueEvent, ...] = (requested(FIRST, 1), admitted(FIRST))
second_waits = requested(SECOND, 2, actor="bob")
third_waits = requested(THIRD, 3, actor="eve")


def test_the_first_deployment_has_its_turn_at_once() -> None:
    state = given().when(request(FIRST)).then(*first_runs)
    assert state.admitted is not None
    assert state.admitted.deployment == FIRST
    assert state.waiting == ()


def test_one_deployment_at_a_time_has_its_turn() -> None:
    state = given(*first_runs).when(request(SECOND)).then(requested(SECOND, 2))
    assert [each.deployment for each in state.open] == [FIRST, SECOND]
    assert [each.deployment for each in state.waiting] == [SECOND]


def test_deployments_wait_in_the_order_of_their_requests() -> None:
    state = given(*first_runs, second_waits).when(request(THIRD, actor="eve")).then(third_waits)
    assert [each.deployment for each in state.open] == [FIRST, SECOND, THIRD]


def test_the_turn_passes_to_the_one_that_waits_longest_when_a_deployment_is_over() -> None:
    state = (
        given(*first_runs, second_waits, third_waits)
        .when(CloseDeployment(deployment=FIRST))
        .then(closed(FIRST), admitted(SECOND))
    )
    assert [each.deployment for each in state.open] == [SECOND, THIRD]


def test_nobody_has_the_turn_when_the_only_deployment_is_over() -> None:
    state = given(*first_runs).when(CloseDeployment(deployment=FIRST)).then(closed(FIRST))
    assert state.admitted is None
    assert state.open == ()


def test_a_deployment_that_waits_can_be_closed_and_the_turn_stays_where_it_is() -> None:
    state = given(*first_runs, second_waits, third_waits).when(CloseDeployment(deployment=SECOND)).then(closed(SECOND))
    assert [each.deployment for each in state.open] == [FIRST, THIRD]
    assert state.admitted is not None
    assert state.admitted.deployment == FIRST


def test_a_deployment_that_is_over_is_not_closed_again() -> None:
    given(*first_runs, closed(FIRST)).when(CloseDeployment(deployment=FIRST)).then()
    given(*first_runs).when(CloseDeployment(deployment=FOURTH)).then()


def test_the_same_request_by_the_same_actor_merges_into_the_one_that_waits() -> None:
    state = (
        given(*first_runs, second_waits, third_waits)
        .when(request(FOURTH, actor="bob"))
        .then(DeploymentMerged(deployment=SECOND))
    )
    assert [each.deployment for each in state.open] == [FIRST, SECOND, THIRD]
    assert state.count == 3


def test_a_deletion_with_volumes_does_not_merge_into_one_without_them() -> None:
    deletion = replace(request(SECOND, actor="bob"), action=Action.DELETE)
    waits = replace(requested(SECOND, 2, actor="bob"), action=Action.DELETE)
    again = replace(deletion, deployment=THIRD, deletes_volumes=True)
    also = replace(waits, deployment=THIRD, number=3, deletes_volumes=True)
    given(*first_runs, waits).when(again).then(also)
    given(*first_runs, waits, also).when(replace(again, deployment=FOURTH)).then(DeploymentMerged(deployment=THIRD))


def test_another_actors_request_waits_for_itself() -> None:
    given(*first_runs, second_waits).when(request(THIRD, actor="eve")).then(third_waits)


def test_a_request_for_another_version_of_the_pipeline_waits_for_itself() -> None:
    given(*first_runs, second_waits).when(request(THIRD, actor="bob", version=6)).then(
        requested(THIRD, 3, actor="bob", version=6)
    )


def test_a_rollback_to_another_deployment_waits_for_itself() -> None:
    def back(deployment: DeploymentId, source: int) -> RequestDeployment:
        return RequestDeployment(
            deployment=deployment, action=Action.ROLLBACK, actor="ada", pipeline_version=5, source=source
        )

    waiting = DeploymentRequested(
        deployment=SECOND, number=2, action=Action.ROLLBACK, actor="ada", pipeline_version=5, source=7
    )
    given(*first_runs).when(back(SECOND, 7)).then(waiting)
    given(*first_runs, waiting).when(back(THIRD, 7)).then(DeploymentMerged(deployment=SECOND))
    given(*first_runs, waiting).when(back(THIRD, 8)).then(
        DeploymentRequested(
            deployment=THIRD, number=3, action=Action.ROLLBACK, actor="ada", pipeline_version=5, source=8
        )
    )


def test_a_request_does_not_merge_into_the_deployment_whose_turn_it_is() -> None:
    given(*first_runs).when(request(SECOND, actor="ada")).then(requested(SECOND, 2, actor="ada"))


def test_a_request_does_not_merge_into_a_deployment_that_was_closed_while_it_waited() -> None:
    given(*first_runs, second_waits, closed(SECOND)).when(request(THIRD, actor="bob")).then(
        requested(THIRD, 3, actor="bob")
    )


def test_numbers_count_on_after_deployments_are_over() -> None:
    given(*first_runs, closed(FIRST)).when(request(SECOND)).then(requested(SECOND, 2), admitted(SECOND))


def test_a_request_that_was_recorded_already_is_not_recorded_again() -> None:
    given(*first_runs).when(request(FIRST)).then()
    given(*first_runs, second_waits).when(request(SECOND, actor="bob")).then()


def test_a_deployment_that_undoes_a_failed_one_goes_before_those_that_wait() -> None:
    undo = replace(request(THIRD, actor="engine"), action=Action.ROLLBACK, undoes=1)
    undoes = replace(requested(THIRD, 3, actor="engine"), action=Action.ROLLBACK, undoes=1)
    state = given(*first_runs, second_waits).when(undo).then(undoes)
    assert [each.deployment for each in state.open] == [FIRST, THIRD, SECOND]
    given(*first_runs, second_waits, undoes).when(CloseDeployment(deployment=FIRST)).then(
        closed(FIRST), DeploymentAdmitted(deployment=THIRD, oldest=2)
    )
    over = (*first_runs, second_waits, undoes, closed(FIRST), DeploymentAdmitted(deployment=THIRD, oldest=2))
    given(*over).when(CloseDeployment(deployment=THIRD)).then(closed(THIRD), admitted(SECOND))


def test_with_wait_no_request_merges() -> None:
    again = replace(request(FOURTH, actor="bob"), on_request=OnRequest.WAIT)
    given(*first_runs, second_waits).when(again).then(requested(FOURTH, 3, actor="bob"))


def wish(action: Action = Action.DEPLOY, version: int = 6, *services: int) -> RequestDeployment:
    ids = tuple(ServiceId(UUID(int=each)) for each in services)
    new = replace(request(FOURTH, actor="eve", version=version), action=action, services=ids)
    return replace(new, on_request=OnRequest.SUPERSEDE)


def test_a_request_supersedes_those_that_wait_and_would_do_no_more() -> None:
    state = given(*first_runs, second_waits, third_waits).state
    assert [each.deployment for each in queue.superseded(state, wish())] == [SECOND, THIRD]
    assert queue.superseded(state, replace(wish(), on_request=OnRequest.MERGE)) == ()
    assert queue.superseded(state, wish(version=5)) == (), "it merges"


@pytest.mark.parametrize(
    ("action", "services", "waiting", "waits_for", "is_superseded"),
    [
        (Action.DEPLOY, (), Action.RETRY, (), True),
        (Action.DEPLOY, (), Action.REDEPLOY, (), False),  # a wish to renew would be lost
        (Action.REDEPLOY, (), Action.REDEPLOY, (), True),
        (Action.DEPLOY, (), Action.ROLLBACK, (), False),
        (Action.ROLLBACK, (), Action.DEPLOY, (), False),
        (Action.DEPLOY, (1, 2), Action.DEPLOY, (), False),
        (Action.DEPLOY, (1, 2), Action.DEPLOY, (2,), True),
        (Action.DEPLOY, (1, 2), Action.DEPLOY, (2, 3), False),
        (Action.DEPLOY, (), Action.DEPLOY, (2, 3), True),
    ],
)
def test_only_what_a_request_covers_is_superseded(
    action: Action, services: tuple[int, ...], waiting: Action, waits_for: tuple[int, ...], is_superseded: bool
) -> None:
    ids = tuple(ServiceId(UUID(int=each)) for each in waits_for)
    second = replace(second_waits, action=waiting, services=ids)
    found = queue.superseded(given(*first_runs, second).state, wish(action, 6, *services))
    assert bool(found) is is_superseded


def test_a_deployment_that_undoes_a_failed_one_is_never_superseded() -> None:
    undoes = replace(second_waits, action=Action.ROLLBACK, undoes=1)
    assert queue.superseded(given(*first_runs, undoes).state, wish()) == ()


NOON, EVENING = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 18, tzinfo=UTC)
held = DeploymentFrozen(deployment=FIRST, until=NOON)


def test_a_request_during_a_freeze_is_held_and_released_after_it() -> None:
    given().when(replace(request(FIRST), frozen=NOON)).then(requested(FIRST, 1), held)
    before = given(requested(FIRST, 1), held)
    before.when(ThawDeployments(now=NOON - timedelta(seconds=1))).then()
    before.when(ThawDeployments(now=NOON)).then(DeploymentThawed(deployment=FIRST), admitted(FIRST))
    before.when(ThawDeployments(now=NOON, frozen=EVENING)).then(DeploymentFrozen(deployment=FIRST, until=EVENING))
    before.when(request(FIRST)).then()


def test_a_request_that_ignores_the_freeze_goes_before_those_that_are_held() -> None:
    wish = replace(request(SECOND), frozen=NOON, ignores_freeze=True)
    ignored = FreezeIgnored(deployment=SECOND, until=NOON)
    now = (requested(SECOND, 2), ignored, DeploymentAdmitted(deployment=SECOND, oldest=1))
    state = given(requested(FIRST, 1), held).when(wish).then(*now)
    assert [each.deployment for each in state.open] == [SECOND, FIRST]
    given(requested(FIRST, 1), held, *now).when(CloseDeployment(deployment=SECOND)).then(closed(SECOND))


def test_an_equal_request_merges_into_one_that_is_held() -> None:
    merged = DeploymentMerged(deployment=FIRST)
    given(requested(FIRST, 1), held).when(replace(request(SECOND), frozen=NOON)).then(merged)


def test_a_freeze_holds_no_action_that_brings_no_other_version() -> None:
    wish = replace(request(SECOND), action=Action.STOP, frozen=NOON)
    admitted = DeploymentAdmitted(deployment=SECOND, oldest=1)
    given(requested(FIRST, 1), held).when(wish).then(replace(requested(SECOND, 2), action=Action.STOP), admitted)


def test_those_that_wait_are_held_when_their_turn_comes_during_a_freeze() -> None:
    undoes = replace(requested(THIRD, 3), undoes=1)
    close = CloseDeployment(deployment=FIRST, frozen=NOON)
    second_held = DeploymentFrozen(deployment=SECOND, until=NOON)
    given(*first_runs, second_waits).when(close).then(closed(FIRST), second_held)
    given(*first_runs, second_waits, undoes).when(close).then(
        closed(FIRST), second_held, DeploymentAdmitted(deployment=THIRD, oldest=2)
    )


def test_a_deployment_that_is_held_can_be_closed() -> None:
    given(requested(FIRST, 1), held).when(CloseDeployment(deployment=FIRST)).then(closed(FIRST))


def test_a_deployment_that_waits_is_moved() -> None:
    history = (*first_runs, second_waits, third_waits)
    moved = DeploymentMoved(deployment=THIRD, position=1)
    state = given(*history).when(MoveDeployment(deployment=THIRD, position=1)).then(moved)
    assert [each.deployment for each in state.open] == [FIRST, THIRD, SECOND]
    given(*history).when(MoveDeployment(deployment=THIRD, position=2)).then()
    given(*history, moved).when(CloseDeployment(deployment=FIRST)).then(
        closed(FIRST), DeploymentAdmitted(deployment=THIRD, oldest=2)
    )


def test_only_a_deployment_that_waits_is_moved_and_only_to_a_place_there_is() -> None:
    history = given(*first_runs, second_waits)
    history.when(MoveDeployment(deployment=FIRST, position=1)).refused(DeploymentNotWaiting())
    for position in (0, 2):
        refusal = InvalidPosition(position=position, last=1)
        history.when(MoveDeployment(deployment=SECOND, position=position)).refused(refusal)


def test_so_many_deployments_wait_at_most() -> None:
    waiting = [requested(DeploymentId(UUID(int=n)), n, version=n) for n in range(2, MAX_WAITING + 2)]
    next_one = request(DeploymentId(UUID(int=1000)), version=1000)
    given(*first_runs, *waiting).when(next_one).refused(
        LimitReached(limit=100, what="deployments waiting in an environment")
    )
    given(*first_runs, *waiting).when(request(next_one.deployment, version=2)).then(
        DeploymentMerged(deployment=DeploymentId(UUID(int=2)))
    )
    given(*first_runs, *waiting[:-1]).when(next_one).then(requested(next_one.deployment, MAX_WAITING + 1, version=1000))


def test_an_environment_always_has_the_same_queue_and_another_has_another() -> None:
    one, other = EnvironmentId(UUID(int=1)), EnvironmentId(UUID(int=2))
    assert queue.stream(one) == queue.stream(EnvironmentId(UUID(int=1)))
    assert len({queue.stream(one), queue.stream(other), one, other}) == 4


@hypothesis.given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["ada", "bob"]), st.integers(1, 2))))
def test_whenever_deployments_are_open_the_longest_open_one_has_the_turn(
    moves: list[tuple[int, str, int]],
) -> None:
    state, served = queue.Queue(), []
    for number, actor, version in moves:
        deployment = DeploymentId(UUID(int=number))
        is_open = any(each.deployment == deployment for each in state.open)
        command = CloseDeployment(deployment=deployment) if is_open else request(deployment, actor, version)
        for event in queue.decide(state, command):
            state = queue.evolve(state, event)
            if isinstance(event, DeploymentAdmitted) and state.admitted is not None:
                served.append(state.admitted.number)
        assert (state.admitted is None) == (state.open == ())
    assert served == sorted(set(served))
    assert [each.number for each in state.open] == sorted(each.number for each in state.open)
