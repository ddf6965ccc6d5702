"""Instances after their deployment: when one is started again, and what a report says that was not known."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from domain import instance as instances
from domain.deployment.queue import DeploymentId
from domain.instance import (
    InstanceDrifted,
    InstanceExit,
    InstanceExited,
    InstanceGivenUp,
    InstanceId,
    InstanceIdentity,
    InstanceLost,
    InstanceRecovered,
    InstanceRestarted,
    InstanceStatus,
    InstanceUnhealthy,
    ReportInstance,
    after_exit,
    counted,
)
from domain.pipeline.ref import ServiceId
from domain.spec import Restart, ServiceSpec, ServiceType
from store import ids
from tests.domain.given import Given

given = Given(instances.decider)
AT = datetime(2026, 1, 2, tzinfo=UTC)
LAST = InstanceExit(at=AT, code=1)
WEB = InstanceIdentity(
    id=InstanceId(ids.new()),
    service=ServiceId(ids.new()),
    name="web",
    type=ServiceType.APPLICATION,
    deployment=DeploymentId(ids.new()),
    number=1,
)
NEXT = InstanceIdentity(
    id=InstanceId(ids.new()),
    service=WEB.service,
    name="web",
    type=WEB.type,
    deployment=DeploymentId(ids.new()),
    number=2,
)
ended = InstanceExited(instance=WEB, last=LAST, exits=1, status=InstanceStatus.RESTARTING)
restarted = InstanceRestarted(instance=WEB, at=AT, restarts=1)
unhealthy = InstanceUnhealthy(instance=WEB, at=AT, problem="no response")
recovered = InstanceRecovered(instance=WEB, at=AT)
given_up = InstanceGivenUp(instance=WEB, at=AT, restarts=1)


def report(
    status: InstanceStatus,
    exits: int = 0,
    restarts: int = 0,
    problem: str | None = None,
    instance: InstanceIdentity = WEB,
) -> ReportInstance:
    last = LAST if exits else None
    return ReportInstance(
        instance=instance, status=status, at=AT, exits=exits, restarts=restarts, last=last, problem=problem
    )


def test_an_instance_that_runs_as_it_was_deployed_has_no_event() -> None:
    given().when(report(InstanceStatus.RUNNING)).then()
    given(ended, restarted).when(report(InstanceStatus.RUNNING, 1, 1)).then()


def test_an_end_a_restart_and_a_new_end_are_events() -> None:
    given().when(report(InstanceStatus.RESTARTING, 1)).then(ended)
    given(ended).when(report(InstanceStatus.RUNNING, 1, 1)).then(restarted)
    again = InstanceExited(instance=WEB, last=LAST, exits=2, status=InstanceStatus.RESTARTING)
    given(ended, restarted).when(report(InstanceStatus.RESTARTING, 2, 1)).then(again)


def test_several_ends_and_restarts_between_two_reports_are_summed_up() -> None:
    ends = InstanceExited(instance=WEB, last=LAST, exits=5, status=InstanceStatus.RESTARTING, count=5)
    starts = InstanceRestarted(instance=WEB, at=AT, restarts=5, count=5)
    given().when(report(InstanceStatus.RUNNING, 5, 5)).then(ends, starts)
    more = InstanceRestarted(instance=WEB, at=AT, restarts=4, count=4)
    state = given().when(report(InstanceStatus.RESTARTING, 5, 4)).then(more, ends)
    assert state.known[WEB.service].status is InstanceStatus.RESTARTING


def test_an_instance_that_stays_down_or_is_given_up_says_so() -> None:
    down = InstanceExited(instance=WEB, last=LAST, exits=1, status=InstanceStatus.EXITED)
    given().when(report(InstanceStatus.EXITED, 1)).then(down)
    given(ended, restarted).when(report(InstanceStatus.GIVEN_UP, 2, 1)).then(
        InstanceExited(instance=WEB, last=LAST, exits=2, status=InstanceStatus.RESTARTING), given_up
    )
    given(ended, restarted, given_up).when(report(InstanceStatus.GIVEN_UP, 1, 1)).then()


def test_an_unhealthy_instance_recovers_or_is_restarted() -> None:
    given().when(report(InstanceStatus.UNHEALTHY, problem="no response")).then(unhealthy)
    given(unhealthy).when(report(InstanceStatus.UNHEALTHY, problem="another")).then()
    given(unhealthy).when(report(InstanceStatus.RUNNING)).then(recovered)
    state = given(unhealthy).when(report(InstanceStatus.RUNNING, 1, 1)).then(ended, restarted)
    assert state.known[WEB.service].problem is None
    given().when(report(InstanceStatus.UNHEALTHY, 1, 1, "no response")).then(ended, restarted, unhealthy)


def test_an_instance_that_somebody_removed_is_lost() -> None:
    lost = InstanceLost(instance=WEB, at=AT, problem="somebody removed it")
    given(ended).when(report(InstanceStatus.LOST, 1, problem="somebody removed it")).then(lost)
    given(ended, lost).when(report(InstanceStatus.LOST, 1, problem="somebody removed it")).then()


def test_the_instance_of_the_next_deployment_has_a_history_of_its_own() -> None:
    history = given(ended, restarted, given_up)
    history.when(report(InstanceStatus.RUNNING, instance=NEXT)).then()
    state = history.when(report(InstanceStatus.RESTARTING, 1, instance=NEXT)).then(
        InstanceExited(instance=NEXT, last=LAST, exits=1, status=InstanceStatus.RESTARTING)
    )
    assert (state.known[WEB.service].instance, state.known[WEB.service].restarts) == (NEXT, 0)


@pytest.mark.parametrize(
    ("restart", "is_failure", "status"),
    [
        (Restart.NO, True, InstanceStatus.EXITED),
        (Restart.NO, False, InstanceStatus.EXITED),
        (Restart.ON_FAILURE, True, InstanceStatus.RESTARTING),
        (Restart.ON_FAILURE, False, InstanceStatus.EXITED),
        (Restart.ALWAYS, True, InstanceStatus.RESTARTING),
        (Restart.ALWAYS, False, InstanceStatus.RESTARTING),
    ],
)
def test_the_policy_decides_about_an_end(restart: Restart, is_failure: bool, status: InstanceStatus) -> None:
    assert after_exit(ServiceSpec(restart=restart), is_failure, (), 100.0) is status


def test_an_instance_is_given_up_after_so_many_restarts_within_the_window() -> None:
    spec = ServiceSpec(restart_limit=2, restart_window=10.0)
    assert after_exit(spec, True, (91.0, 95.0), 100.0) is InstanceStatus.GIVEN_UP
    assert after_exit(spec, True, (90.0, 95.0), 100.0) is InstanceStatus.RESTARTING


def test_restarts_before_a_restart_of_the_machine_do_not_count() -> None:
    """The monotonic clock was reset."""
    assert counted(ServiceSpec(), (5000.0, 99.0), 100.0) == (99.0,)


def test_what_somebody_changed_on_the_target_is_an_event_until_it_is_as_before() -> None:
    changed = InstanceDrifted(instance=WEB, at=AT, drift=("replicas 3, applied 2",))
    back = InstanceDrifted(instance=WEB, at=AT)
    given().when(replace(report(InstanceStatus.RUNNING), drift=())).then()
    given().when(replace(report(InstanceStatus.RUNNING), drift=changed.drift)).then(changed)
    given(changed).when(replace(report(InstanceStatus.RUNNING), drift=changed.drift)).then()
    given(changed).when(report(InstanceStatus.RUNNING)).then()
    given(changed).when(replace(report(InstanceStatus.RUNNING), drift=())).then(back)
    given(changed).when(replace(report(InstanceStatus.RUNNING, instance=NEXT), drift=())).then()
