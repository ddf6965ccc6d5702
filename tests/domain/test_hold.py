"""Deployments that are held and released."""

import pytest

from domain import deployment
from domain.deployment.gate import StageApprovalRequested
from domain.deployment.hold import DeploymentHeld, DeploymentReleased, HoldDeployment, ReleaseDeployment
from domain.deployment.stage import StageStarted, StageSucceeded
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    CancellationRequested,
    DeploymentCancelled,
    DeploymentStarted,
    DeploymentTakenUp,
    TakeUpDeployment,
)
from domain.deployment.step import ServiceCancelled, ServiceDeployed, ServiceDeployStarted, SucceedStep
from domain.deployment.wait import WaitCause, WaitReason
from domain.errors import DeploymentOver
from domain.pipeline.gate import Approval
from tests.domain.given import Given
from tests.domain.run import WORKER, Run, deploy, planned, service, service_id, stage, stage_id

given = Given(deployment.decider)
ship = stage("Ship", service("api", built=False), service("web", built=False), concurrency=1)
later = stage("Later", service("orders", built=False))
API, WEB, ORDERS = service_id("api"), service_id("web"), service_id("orders")

requested = planned(ship, later)
running = (
    requested,
    DeploymentStarted(),
    DeploymentTakenUp(worker=WORKER),
    StageStarted(stage=stage_id("Ship")),
    ServiceDeployStarted(service=API, attempt=1),
)


def report(*steps: object) -> AdvanceDeployment:
    outcomes = tuple(SucceedStep(worker=WORKER, step=step) for step in steps)  # type: ignore[arg-type]
    return AdvanceDeployment(worker=WORKER, outcomes=outcomes)


def test_a_hold_lets_running_steps_end_and_starts_nothing_new() -> None:
    held = given(*running, DeploymentHeld())
    held.when(report(deploy("api"))).then(ServiceDeployed(service=API, attempt=1))
    assert held.state.due() == (deploy("api"),)
    assert held.state.cause == WaitCause(reason=WaitReason.HOLD)


def test_a_release_goes_on_where_the_deployment_was_held() -> None:
    run = Run(ship, later).take_up().start(deploy("api"))
    assert run.tell(HoldDeployment()) == [DeploymentHeld()]
    run.succeed(deploy("api"))
    assert run.tell(report()) == []
    assert run.tell(ReleaseDeployment()) == [DeploymentReleased()]
    assert run.tell(report()) == [ServiceDeployStarted(service=WEB, attempt=1)]


def test_a_hold_between_stages_keeps_the_next_one_from_starting() -> None:
    run = Run(ship, later).take_up()
    run.start(deploy("api")).succeed(deploy("api"))
    run.start(deploy("web")).tell(HoldDeployment())
    assert run.succeed(deploy("web"))[1:] == [StageSucceeded(stage=stage_id("Ship"))]
    assert run.tell(ReleaseDeployment()) == [DeploymentReleased(), StageStarted(stage=stage_id("Later"))]


def test_a_hold_keeps_a_deployment_that_waits_in_the_queue_from_its_first_stage() -> None:
    held = given(requested, DeploymentHeld())
    held.when(TakeUpDeployment(worker=WORKER)).then(DeploymentStarted(), DeploymentTakenUp(worker=WORKER))


def test_an_approval_is_not_requested_while_the_deployment_is_held() -> None:
    gated = planned(stage("Ship", service("api", built=False), approval=Approval()))
    started = gated, DeploymentStarted(), DeploymentTakenUp(worker=WORKER)
    given(*started, DeploymentHeld()).when(report()).then()
    given(*started).when(report()).then(StageApprovalRequested(stage=stage_id("Ship")))


def test_a_deployment_is_held_and_released_once() -> None:
    given(*running, DeploymentHeld()).when(HoldDeployment()).then()
    given(*running).when(ReleaseDeployment()).then()
    given(*running, DeploymentHeld(), DeploymentReleased()).when(ReleaseDeployment()).then()


def test_a_deployment_that_is_cancelled_starts_nothing_so_a_hold_changes_nothing() -> None:
    given(*running, CancellationRequested(forced=False)).when(HoldDeployment()).then()


def test_a_deployment_that_is_held_can_be_cancelled() -> None:
    cancelled = [ServiceCancelled(service=each) for each in (WEB, ORDERS)]
    state = (
        given(*running, DeploymentHeld()).when(CancelDeployment()).then(CancellationRequested(forced=False), *cancelled)
    )
    assert state.cause is None


@pytest.mark.parametrize("command", [HoldDeployment(), ReleaseDeployment()])
def test_a_deployment_that_is_over_is_neither_held_nor_released(command: HoldDeployment | ReleaseDeployment) -> None:
    given(requested, DeploymentCancelled()).when(command).refused(DeploymentOver(status="cancelled"))
