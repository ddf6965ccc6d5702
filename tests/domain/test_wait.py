"""Each cause for which a deployment waits is recorded once."""

from domain import deployment
from domain.deployment.stage import StageStarted
from domain.deployment.state import DeploymentCancelled, DeploymentStarted, DeploymentTakenUp
from domain.deployment.wait import RecordWait, WaitCause, WaitEnded, WaitReason, WaitStarted
from tests.domain.given import Given
from tests.domain.run import WORKER, planned, service, stage, stage_id

given = Given(deployment.decider)

requested = planned(stage("Ship", service("api")))
first = WaitCause(reason=WaitReason.DEPLOYMENT, number=1)
silent = WaitCause(reason=WaitReason.MACHINE, machine="ant")
nobody = WaitCause(reason=WaitReason.WORKER)


def test_a_wait_is_recorded_when_its_cause_changes_and_only_then() -> None:
    given(requested).when(RecordWait(cause=first)).then(WaitStarted(cause=first))
    waits = given(requested, WaitStarted(cause=first))
    waits.when(RecordWait(cause=first)).then()
    waits.when(RecordWait(cause=silent)).then(WaitStarted(cause=silent))
    given(requested, WaitStarted(cause=silent)).when(RecordWait(cause=nobody)).then(WaitStarted(cause=nobody))


def test_a_worker_that_answers_again_ends_a_wait_once() -> None:
    running = DeploymentStarted(), DeploymentTakenUp(worker=WORKER), StageStarted(stage=stage_id("Ship"))
    waits = given(requested, *running, WaitStarted(cause=silent))
    waits.when(RecordWait()).then(WaitEnded(cause=silent))
    given(requested, WaitStarted(cause=silent), WaitEnded(cause=silent)).when(RecordWait()).then()


def test_a_wait_for_another_deployment_is_not_ended_by_the_workers() -> None:
    given(requested, WaitStarted(cause=first)).when(RecordWait()).then()


def test_a_worker_that_takes_a_deployment_up_ends_its_wait() -> None:
    taken = given(requested, WaitStarted(cause=nobody), DeploymentStarted(), DeploymentTakenUp(worker=WORKER))
    assert taken.state.wait is None
    taken.when(RecordWait()).then()


def test_a_deployment_that_is_over_waits_for_nothing() -> None:
    over = given(requested, DeploymentCancelled())
    over.when(RecordWait(cause=nobody)).then()
