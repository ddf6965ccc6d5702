"""Reports about steps: who may make them, of which steps, and what a failed one leads to."""

import pytest

from domain import deployment
from domain.deployment.stage import StageFailed, StageStarted
from domain.deployment.state import (
    CancellationRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentTakenUp,
    TakeUpDeployment,
)
from domain.deployment.step import (
    AbortStep,
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    FailStep,
    OldInstance,
    OldInstanceLost,
    OldInstanceRestarted,
    Phase,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceRun,
    StartStep,
    Status,
    Step,
    StepCommand,
    StepEvent,
    StepRetried,
    StepRun,
    SucceedStep,
    evolve,
)
from domain.deployment.value import Value
from domain.errors import Fenced, StepNotDue
from tests.domain.given import Given
from tests.domain.run import WORKER, Run, build, deploy, planned, service, service_id, stage, stage_id

given = Given(deployment.decider)

API = service_id("api")
WEB = service_id("web")

# One stage with two services that are built, and with three attempts each.
under_way = (
    planned(stage("Ship", service("api", retries=2), service("web", retries=2))),
    DeploymentStarted(),
    DeploymentTakenUp(worker=WORKER),
    StageStarted(stage=stage_id("Ship")),
)
building = (*under_way, BuildStarted(service=API, attempt=1))
built = (*building, BuildSucceeded(service=API, attempt=1))
deploying = (*built, ServiceDeployStarted(service=API, attempt=1))
forced = CancellationRequested(forced=True)


def every_report(step: Step, worker: str = WORKER) -> list[StepCommand]:
    return [
        StartStep(worker=worker, step=step),
        SucceedStep(worker=worker, step=step),
        FailStep(worker=worker, step=step, reason="exit code 1"),
        AbortStep(worker=worker, step=step),
    ]


def not_due(step: Step, name: str = "api") -> StepNotDue:
    return StepNotDue(phase=step.phase.value, service=name, attempt=step.attempt)


# Well ended


def test_a_build_starts_and_ends_well() -> None:
    given(*under_way).when(StartStep(worker=WORKER, step=build("api"))).then(BuildStarted(service=API, attempt=1))
    state = (
        given(*building)
        .when(SucceedStep(worker=WORKER, step=build("api")))
        .then(BuildSucceeded(service=API, attempt=1))
    )
    assert deploy("api") in state.due()


def test_a_deploy_starts_and_ends_well() -> None:
    given(*built).when(StartStep(worker=WORKER, step=deploy("api"))).then(ServiceDeployStarted(service=API, attempt=1))
    state = (
        given(*deploying)
        .when(SucceedStep(worker=WORKER, step=deploy("api"), ports=(8000, 8001)))
        .then(ServiceDeployed(service=API, attempt=1, ports=(8000, 8001)))
    )
    assert state.due() == (build("web"),)


def test_a_step_that_runs_already_is_not_started_again() -> None:
    given(*building).when(StartStep(worker=WORKER, step=build("api"))).then()
    given(*deploying).when(StartStep(worker=WORKER, step=deploy("api"))).then()


# Not due


@pytest.mark.parametrize(
    "step", [deploy("api"), build("api", attempt=2), build("api", attempt=0), deploy("api", attempt=2)]
)
def test_a_step_whose_time_has_not_come_is_neither_started_nor_ended(step: Step) -> None:
    for report in every_report(step):
        given(*under_way).when(report).refused(not_due(step))
        given(*building).when(report).refused(not_due(step))


def test_a_step_that_was_not_started_cannot_end() -> None:
    for report in every_report(build("api"))[1:]:
        given(*under_way).when(report).refused(not_due(build("api")))


def test_a_step_that_has_ended_is_neither_started_nor_ended_again() -> None:
    deployed = ServiceDeployed(service=API, attempt=1)
    for report in every_report(build("api")):
        given(*built).when(report).refused(not_due(build("api")))
    for report in every_report(deploy("api")):
        given(*deploying, deployed).when(report).refused(not_due(deploy("api")))


def test_an_attempt_that_has_failed_is_neither_started_nor_ended_again() -> None:
    retried = StepRetried(service=API, phase=Phase.BUILD, attempt=1, reason="exit code 1")
    for report in every_report(build("api")):
        given(*building, retried).when(report).refused(not_due(build("api")))


def test_a_step_of_a_service_that_is_not_in_the_plan_is_not_due() -> None:
    for report in every_report(build("nobody")):
        given(*under_way).when(report).refused(not_due(build("nobody"), name=str(service_id("nobody"))))


def test_a_step_of_a_skipped_service_is_not_due() -> None:
    run = Run(stage("Ship", service("api", skipped=True), service("web"))).take_up()
    for report in every_report(build("api")):
        given(*run.events).when(report).refused(not_due(build("api")))


def test_a_build_with_nothing_to_do_is_not_due() -> None:
    run = Run(stage("Ship", service("api", built=False))).take_up()
    for report in every_report(build("api")):
        given(*run.events).when(report).refused(not_due(build("api")))


def test_no_step_is_due_before_the_deployment_was_taken_up() -> None:
    for report in every_report(build("api")):
        given(under_way[0]).when(report).refused(not_due(build("api")))


def test_no_step_is_due_after_the_deployment_is_over() -> None:
    run = Run(stage("Ship", service("api"))).take_up().carry_out()
    for report in every_report(deploy("api")):
        given(*run.events).when(report).refused(not_due(deploy("api")))


# Attempts


def test_a_failed_build_is_tried_again_as_often_as_the_specification_says() -> None:
    run = Run(stage("Ship", service("api", retries=2))).take_up()
    for attempt in (1, 2):
        run.start(build("api", attempt))
        assert run.fail(build("api", attempt), "exit code 2") == [
            StepRetried(service=API, phase=Phase.BUILD, attempt=attempt, reason="exit code 2")
        ]
        assert run.state.due() == (build("api", attempt + 1),)
        assert run.step(build("api")) is Status.QUEUED
    run.start(build("api", 3))
    assert run.fail(build("api", 3), "exit code 3") == [
        BuildFailed(service=API, attempt=3, reason="exit code 3"),
        StageFailed(stage=stage_id("Ship")),
        DeploymentFailed(stage=stage_id("Ship"), service=API, phase=Phase.BUILD, reason="exit code 3"),
    ]


def test_a_failed_deploy_is_tried_again_and_the_build_is_not() -> None:
    run = Run(stage("Ship", service("api", retries=1))).take_up().start(build("api"))
    run.succeed(build("api"))
    run.start(deploy("api"))
    assert run.fail(deploy("api")) == [StepRetried(service=API, phase=Phase.DEPLOY, attempt=1, reason="exit code 1")]
    assert run.state.due() == (deploy("api", 2),)
    assert run.start(deploy("api", 2)).fail(deploy("api", 2)) == [
        ServiceDeployFailed(service=API, attempt=2, reason="exit code 1"),
        StageFailed(stage=stage_id("Ship")),
        DeploymentFailed(stage=stage_id("Ship"), service=API, phase=Phase.DEPLOY, reason="exit code 1"),
    ]


def test_the_build_and_the_deploy_each_have_all_attempts() -> None:
    run = Run(stage("Ship", service("api", retries=1))).take_up().start(build("api"))
    run.fail(build("api"))
    run.start(build("api", 2)).succeed(build("api", 2))
    run.start(deploy("api")).fail(deploy("api"))
    run.start(deploy("api", 2)).succeed(deploy("api", 2))
    assert run.state.status is Status.SUCCEEDED


def test_a_step_without_retries_is_tried_once() -> None:
    run = Run(stage("Ship", service("api"))).take_up().start(build("api"))
    assert run.fail(build("api"))[0] == BuildFailed(service=API, attempt=1, reason="exit code 1")


def test_a_service_between_two_attempts_keeps_its_place_among_the_busy_ones() -> None:
    run = Run(stage("Ship", service("api", retries=1), service("web"), concurrency=1)).take_up().start(build("api"))
    run.fail(build("api"))
    assert run.state.due() == (build("api", 2),)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("", ""),
        ("exit code 1\nlast line", "exit code 1\nlast line"),
        ("x" * 2001, "x" * 2000),
        ("\udcff\0 is what it said", "�� is what it said"),
    ],
)
def test_a_failure_is_never_refused_for_its_reason(reason: str, kept: str) -> None:
    given(*building).when(FailStep(worker=WORKER, step=build("api"), reason=reason)).then(
        StepRetried(service=API, phase=Phase.BUILD, attempt=1, reason=kept)
    )


# Stopped


@pytest.mark.parametrize(
    "history", [building, (*building, CancellationRequested(forced=False))], ids=["running", "safe"]
)
def test_a_step_is_stopped_only_when_a_forced_cancellation_asks_for_it(
    history: tuple[deployment.DeploymentEvent, ...],
) -> None:
    given(*history).when(AbortStep(worker=WORKER, step=build("api"))).refused(not_due(build("api")))


def test_a_stopped_step_cancels_its_service() -> None:
    web = BuildStarted(service=WEB, attempt=1)
    state = (
        given(*building, web, forced)
        .when(AbortStep(worker=WORKER, step=build("api")))
        .then(ServiceCancelled(service=API))
    )
    cancelled = StepRun(status=Status.CANCELLED)
    assert state.run_of(API) == ServiceRun(
        service=service("api", retries=2), status=Status.CANCELLED, build=cancelled, deploy=cancelled
    )


def test_a_stopped_deploy_leaves_the_build_what_it_was() -> None:
    web = BuildStarted(service=WEB, attempt=1)
    state = (
        given(*deploying, web, forced)
        .when(AbortStep(worker=WORKER, step=deploy("api")))
        .then(ServiceCancelled(service=API))
    )
    run = state.run_of(API)
    assert run is not None
    assert (run.build.status, run.deploy.status) == (Status.SUCCEEDED, Status.CANCELLED)


def test_a_step_that_is_about_to_be_stopped_may_still_end() -> None:
    web = BuildStarted(service=WEB, attempt=1)
    history = given(*deploying, web, forced)
    history.when(SucceedStep(worker=WORKER, step=deploy("api"))).then(ServiceDeployed(service=API, attempt=1))
    history.when(FailStep(worker=WORKER, step=deploy("api"), reason="killed")).then(
        ServiceDeployFailed(service=API, attempt=1, reason="killed")
    )


def test_a_step_that_is_about_to_be_stopped_is_not_started_again() -> None:
    history = given(*building, forced)
    history.when(StartStep(worker=WORKER, step=build("api"))).then()
    history.when(StartStep(worker=WORKER, step=build("web"))).refused(not_due(build("web"), name="web"))


# The old instance, which the attempt had stopped first

OLD = OldInstance(number=4, ports=(8000,))
LOST = OldInstance(number=4, problem="exit code\0 1")
again = OldInstanceRestarted(service=API, attempt=1, number=4, ports=(8000,))
lost = OldInstanceLost(service=API, attempt=1, number=4, reason="exit code� 1")


@pytest.mark.parametrize(("old", "event"), [(OLD, again), (LOST, lost)])
def test_a_failed_step_says_which_instance_runs(old: OldInstance, event: deployment.DeploymentEvent) -> None:
    failed = FailStep(worker=WORKER, step=deploy("api"), reason="exit code 1", old=old)
    given(*deploying, CancellationRequested(forced=False)).when(failed).then(
        ServiceDeployFailed(service=API, attempt=1, reason="exit code 1"),
        event,
        ServiceCancelled(service=WEB),
        DeploymentCancelled(),
    )
    retried = StepRetried(service=API, phase=Phase.DEPLOY, attempt=1, reason="exit code 1")
    run = given(*deploying).when(failed).then(retried, event).run_of(API)
    assert run is not None
    assert run.is_lost is (old is LOST)


@pytest.mark.parametrize(("old", "event"), [(OLD, again), (LOST, lost)])
def test_a_step_that_was_stopped_by_force_says_which_instance_runs(
    old: OldInstance, event: deployment.DeploymentEvent
) -> None:
    given(*deploying, BuildStarted(service=WEB, attempt=1), forced).when(
        AbortStep(worker=WORKER, step=deploy("api"), old=old)
    ).then(ServiceCancelled(service=API), event)


def test_a_service_that_was_lost_runs_after_the_next_attempt() -> None:
    run = Run(stage("Ship", service("api", built=False, retries=1))).take_up().start(deploy("api"))
    run.tell(FailStep(worker=WORKER, step=deploy("api"), reason="exit code 1", old=LOST))
    assert run.state.stages[0].services[0].is_lost
    run.start(deploy("api", 2)).succeed(deploy("api", 2))
    assert not run.state.stages[0].services[0].is_lost


# Fenced


def test_a_deployment_taken_up_by_another_worker_refuses_the_earlier_ones_reports() -> None:
    history = given(*building, DeploymentTakenUp(worker="worker-2"))
    for report in every_report(build("api")):
        history.when(report).refused(Fenced(worker="worker-2"))
    history.when(SucceedStep(worker="worker-2", step=build("api"))).then(BuildSucceeded(service=API, attempt=1))


def test_a_worker_that_never_took_the_deployment_up_reports_nothing() -> None:
    for report in every_report(build("api"), worker="stranger"):
        given(*building).when(report).refused(Fenced(worker=WORKER))


def test_a_worker_that_takes_the_deployment_up_again_may_report_again() -> None:
    lost = DeploymentTakenUp(worker="worker-2")
    again = DeploymentTakenUp(worker=WORKER)
    given(*building, lost).when(TakeUpDeployment(worker=WORKER)).then(again)
    given(*building, lost, again).when(SucceedStep(worker=WORKER, step=build("api"))).then(
        BuildSucceeded(service=API, attempt=1)
    )


def test_what_was_running_is_due_for_the_next_worker_at_the_same_attempt() -> None:
    state = given(*building, DeploymentTakenUp(worker="worker-2")).state
    assert state.running == (build("api"),)
    assert state.due() == (build("api"), build("web"))


# The steps that are next


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (ServiceRun(service=service("api")), build("api")),
        (ServiceRun(service=service("api"), build=StepRun(attempt=3)), build("api", 3)),
        (ServiceRun(service=service("api"), build=StepRun(status=Status.SUCCEEDED, attempt=2)), deploy("api")),
        (ServiceRun(service=service("api"), build=StepRun(status=Status.SKIPPED)), deploy("api")),
        (ServiceRun(service=service("api"), status=Status.SKIPPED), None),
        (ServiceRun(service=service("api"), status=Status.CANCELLED), None),
    ],
)
def test_a_service_is_built_and_then_deployed(run: ServiceRun, expected: Step | None) -> None:
    assert run.next == expected


def test_a_build_is_skipped_when_there_is_nothing_to_build() -> None:
    run = Run(stage("Ship", service("api", built=False), service("web"), service("old", built=False, skipped=True)))
    run.take_up()
    assert run.events[-1] == StageStarted(stage=stage_id("Ship"))
    api = run.state.run_of(API)
    assert api is not None
    assert (api.status, api.build) == (Status.QUEUED, StepRun(status=Status.SKIPPED))
    assert run.state.due() == (deploy("api"), build("web"))


def test_that_there_is_nothing_to_build_may_be_an_event_as_in_old_logs() -> None:
    run = Run(stage("Ship", service("api", built=False), service("web"))).take_up()
    assert deployment.evolve(run.state, BuildSkipped(service=API)) == run.state


@pytest.mark.parametrize("status", Status)
def test_a_status_is_final_unless_something_is_still_to_come(status: Status) -> None:
    assert status.is_final is (status not in {Status.QUEUED, Status.RUNNING})


FIRST, SECOND = ((Value(reference="deployment.number", value=number),) for number in ("1", "2"))


@pytest.mark.parametrize(
    ("phase", "end"),
    [
        (Phase.BUILD, BuildSucceeded(service=API, attempt=2)),
        (Phase.BUILD, BuildFailed(service=API, attempt=2, reason="exit code 1")),
        (Phase.BUILD, ServiceCancelled(service=API)),
        (Phase.DEPLOY, ServiceDeployed(service=API, attempt=2)),
        (Phase.DEPLOY, ServiceDeployFailed(service=API, attempt=2, reason="exit code 1")),
        (Phase.DEPLOY, ServiceCancelled(service=API)),
    ],
)
def test_a_step_keeps_the_values_of_its_newest_attempt(phase: Phase, end: StepEvent) -> None:
    started = BuildStarted if phase is Phase.BUILD else ServiceDeployStarted
    first = evolve(ServiceRun(service=service("api")), started(service=API, attempt=1, values=FIRST))
    waiting = evolve(first, StepRetried(service=API, phase=phase, attempt=1, reason="exit code 1"))
    over = evolve(evolve(waiting, started(service=API, attempt=2, values=SECOND)), end)
    assert [run.step(phase).values for run in (first, waiting, over)] == [FIRST, FIRST, SECOND]
