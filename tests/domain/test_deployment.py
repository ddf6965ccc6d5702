"""Whole deployments: what starts when, and how they end. Single reports are in test_step."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from domain import deployment
from domain.deployment.plan import PlannedStage
from domain.deployment.queue import Action
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    Cancellation,
    CancellationRequested,
    CancelServices,
    DeploymentCancelled,
    DeploymentCommand,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentTakenUp,
    DeploymentTimedOut,
    Failure,
    PlanDeployment,
    SupersedeDeployment,
    TakeUpDeployment,
    TimeoutReached,
)
from domain.deployment.step import (
    BuildFailed,
    BuildStarted,
    BuildSucceeded,
    FailStep,
    Phase,
    ServiceCancellationRequested,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    StartStep,
    Status,
    StepRetried,
    SucceedStep,
)
from domain.errors import DeploymentNotFound, DeploymentOver, Fenced, ServiceNotFound
from domain.pipeline.stage import OnFailure
from domain.spec import Backoff
from tests.domain.given import Given
from tests.domain.run import (
    ENVIRONMENT,
    WORKER,
    Run,
    build,
    deploy,
    plan,
    planned,
    service,
    service_id,
    stage,
    stage_id,
)

given = Given(deployment.decider)

API, WEB, ORDERS = service_id("api"), service_id("web"), service_id("orders")
DATA, SHIP, LATER = stage_id("Data"), stage_id("Ship"), stage_id("Later")

NOW = datetime(2026, 1, 2, tzinfo=UTC)

ship = stage("Ship", service("api"), service("web"))
later = stage("Later", service("orders"))
empty = stage("Data")
taken = DeploymentTakenUp(worker=WORKER)


def cancelled(*names: str) -> list[ServiceCancelled]:
    return [ServiceCancelled(service=service_id(name)) for name in names]


# Several reports at once


def test_what_ended_at_the_same_time_is_reported_at_once_with_what_starts_then() -> None:
    run = Run(stage("Ship", service("api", built=False), service("web", built=False)), later).take_up()
    given(*run.events).when(AdvanceDeployment(worker=WORKER)).then(
        ServiceDeployStarted(service=API, attempt=1),
        ServiceDeployStarted(service=WEB, attempt=1),
    )
    ended = tuple(SucceedStep(worker=WORKER, step=deploy(name)) for name in ("web", "api"))
    given(*run.start(deploy("api"), deploy("web")).events).when(AdvanceDeployment(worker=WORKER, outcomes=ended)).then(
        ServiceDeployed(service=WEB, attempt=1),
        ServiceDeployed(service=API, attempt=1),
        StageSucceeded(stage=SHIP),
        StageStarted(stage=LATER),
        BuildStarted(service=ORDERS, attempt=1),
    )


def test_of_several_reports_one_that_came_too_late_counts_for_nothing() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    outcomes = tuple(SucceedStep(worker=WORKER, step=step) for step in (build("api"), build("api"), deploy("web")))
    given(*run.events).when(AdvanceDeployment(worker=WORKER, outcomes=outcomes)).then(
        BuildSucceeded(service=API, attempt=1), ServiceDeployStarted(service=service_id("api"), attempt=1)
    )


def test_of_several_failures_the_first_one_is_the_deployments() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    outcomes = tuple(FailStep(worker=WORKER, step=build(name), reason=name) for name in ("web", "api"))
    state = deployment.decider.replay(
        deployment.decide(run.state, AdvanceDeployment(worker=WORKER, outcomes=outcomes)), run.state
    )
    assert (state.status, state.failure and state.failure.reason) == (Status.FAILED, "web")


def test_a_step_that_waits_for_its_retry_starts_when_its_wait_is_over() -> None:
    backoff = Backoff(initial=4, factor=3, max=60, jitter=0.5)
    run = Run(stage("Ship", service("api", retries=3, backoff=backoff), service("web"))).take_up()
    run.start(build("api"), build("web"))
    failed = FailStep(worker=WORKER, step=build("api"), reason="no network", at=NOW, chance=0.5)
    retried = StepRetried(
        service=API, phase=Phase.BUILD, attempt=1, reason="no network", retry_at=NOW + timedelta(seconds=3)
    )
    given(*run.events).when(AdvanceDeployment(worker=WORKER, outcomes=(failed,))).then(retried)
    given(*run.events, retried).when(AdvanceDeployment(worker=WORKER)).then()
    waited = AdvanceDeployment(worker=WORKER, waited=(replace(build("api"), attempt=2),))
    given(*run.events, retried).when(waited).then(BuildStarted(service=API, attempt=2))


@pytest.mark.parametrize(
    ("attempt", "chance", "wait"), [(1, 0.0, 2.0), (2, 0.0, 6.0), (3, 0.0, 10.0), (10, 0.0, 10.0), (2, 1.0, 4.5)]
)
def test_the_wait_before_a_retry_grows_up_to_its_maximum_and_chance_shortens_it(
    attempt: int, chance: float, wait: float
) -> None:
    assert Backoff(initial=2, factor=3, max=10, jitter=0.25).wait(attempt, chance) == wait


# Failures that do not stop


def test_a_failure_that_is_allowed_fails_neither_its_stage_nor_the_deployment() -> None:
    run = Run(stage("Ship", service("api", allow_failure=True), service("web")), later).take_up()
    run.start(build("api"), build("web"))
    assert run.fail(build("api")) == [BuildFailed(service=API, attempt=1, reason="exit code 1", is_allowed=True)]
    run.carry_out()
    assert (run.of("api"), run.of("web"), run.of("orders")) == (Status.FAILED, Status.SUCCEEDED, Status.SUCCEEDED)
    assert run.stages == [Status.SUCCEEDED, Status.SUCCEEDED]
    assert (run.state.status, run.state.failure) == (Status.SUCCEEDED, None)


def test_a_stage_that_continues_lets_the_others_go_on_and_the_deployment_fails_at_its_end() -> None:
    first = stage("Ship", service("api"), service("web"), concurrency=1, on_failure=OnFailure.CONTINUE)
    run = Run(first, later).take_up().carry_out(lambda step: step == build("api"))
    assert (run.of("api"), run.of("web"), run.of("orders")) == (Status.FAILED, Status.SUCCEEDED, Status.SUCCEEDED)
    assert run.stages == [Status.FAILED, Status.SUCCEEDED]
    assert run.events[-1] == DeploymentFailed(stage=SHIP, service=API, phase=Phase.BUILD, reason="exit code 1")


def test_a_stage_that_always_runs_runs_after_a_failure_that_stops_the_others() -> None:
    cleanup = stage("Cleanup", service("sweep"), always=True)
    run = Run(ship, later, cleanup).take_up().carry_out(lambda step: step == build("api"))
    assert (run.of("web"), run.of("orders"), run.of("sweep")) == (
        Status.CANCELLED,
        Status.CANCELLED,
        Status.SUCCEEDED,
    )
    assert run.stages == [Status.FAILED, Status.CANCELLED, Status.SUCCEEDED]
    assert run.state.status is Status.FAILED


def test_a_stage_that_always_runs_does_not_run_after_a_cancellation() -> None:
    run = Run(ship, stage("Cleanup", service("sweep"), always=True)).take_up().start(build("api"))
    run.tell(CancelDeployment())
    assert run.of("sweep") is Status.CANCELLED
    run.succeed(build("api"))
    assert run.state.status is Status.CANCELLED


def test_nothing_to_report_and_nothing_to_start_changes_nothing() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    given(*run.events).when(AdvanceDeployment(worker=WORKER)).then()
    given(*run.events).when(AdvanceDeployment(worker="stranger")).refused(Fenced(worker=WORKER))


# The build barrier


def test_no_service_of_a_stage_is_deployed_before_all_its_builds_have_ended() -> None:
    first = stage("Ship", service("api"), service("web"), service("db", built=False), concurrency=1)
    run = Run(first, later, build_barrier=True).take_up()
    for name in ("api", "web"):
        assert run.state.due() == (build(name),)
        run.start(build(name)).succeed(build(name))
    for name in ("api", "web", "db"):
        assert run.state.due() == (deploy(name),)
        run.start(deploy(name)).succeed(deploy(name))
    assert run.state.due() == (build("orders"),)


def test_a_failed_build_holds_no_deploy_back() -> None:
    first = stage("Ship", service("api", allow_failure=True), service("web"))
    run = Run(first, build_barrier=True).take_up().start(build("api"), build("web"))
    run.succeed(build("web"))
    assert run.state.due() == (build("api"),)
    run.fail(build("api"))
    assert run.state.due() == (deploy("web"),)


# Planning and taking up


def test_a_deployment_pins_its_plan() -> None:
    pinned = plan(ship)
    state = (
        given()
        .when(PlanDeployment(environment=ENVIRONMENT, number=1, action=Action.DEPLOY, plan=pinned))
        .then(planned(ship))
    )
    assert (state.environment, state.number, state.plan) == (ENVIRONMENT, 1, pinned)
    assert state.status is Status.QUEUED
    assert state.due() == ()


def test_a_deployment_that_was_planned_already_keeps_its_plan() -> None:
    given(planned(ship)).when(
        PlanDeployment(environment=ENVIRONMENT, number=1, action=Action.DEPLOY, plan=plan(later))
    ).then()


@pytest.mark.parametrize(
    "command",
    [
        TakeUpDeployment(worker=WORKER),
        CancelDeployment(),
        StartStep(worker=WORKER, step=build("api")),
    ],
)
def test_a_deployment_that_was_never_planned_refuses_everything_else(command: DeploymentCommand) -> None:
    given().when(command).refused(DeploymentNotFound(deployment=""))


def test_the_worker_that_takes_a_deployment_up_starts_it() -> None:
    state = (
        given(planned(ship))
        .when(TakeUpDeployment(worker=WORKER))
        .then(DeploymentStarted(), taken, StageStarted(stage=SHIP))
    )
    assert state.status is Status.RUNNING
    assert state.worker == WORKER
    assert state.due() == (build("api"), build("web"))


def test_another_worker_takes_a_running_deployment_up_and_does_not_start_it_again() -> None:
    state = (
        given(planned(ship), DeploymentStarted(), taken, StageStarted(stage=SHIP))
        .when(TakeUpDeployment(worker="worker-2"))
        .then(DeploymentTakenUp(worker="worker-2"))
    )
    assert state.worker == "worker-2"


def test_the_worker_that_carries_a_deployment_out_does_not_take_it_up_again() -> None:
    given(planned(ship), DeploymentStarted(), taken, StageStarted(stage=SHIP)).when(
        TakeUpDeployment(worker=WORKER)
    ).then()


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (DeploymentSucceeded(), "succeeded"),
        (DeploymentFailed(stage=SHIP, service=API, phase=Phase.BUILD, reason=""), "failed"),
        (DeploymentCancelled(), "cancelled"),
    ],
)
def test_a_deployment_that_is_over_is_neither_taken_up_nor_cancelled(
    end: deployment.DeploymentEvent, status: str
) -> None:
    history = given(planned(ship), DeploymentStarted(), taken, StageStarted(stage=SHIP), end)
    refusal = DeploymentOver(status=status)
    history.when(TakeUpDeployment(worker=WORKER)).refused(refusal)
    history.when(TakeUpDeployment(worker="worker-2")).refused(refusal)
    history.when(CancelDeployment()).refused(refusal)
    history.when(CancelDeployment(forced=True)).refused(refusal)


# The order


def test_a_whole_deployment_from_its_plan_to_its_end() -> None:
    run = Run(stage("Ship", service("api"), service("web", built=False)), empty, later).take_up().carry_out()
    assert run.events == [
        planned(stage("Ship", service("api"), service("web", built=False)), empty, later),
        DeploymentStarted(),
        taken,
        StageStarted(stage=SHIP),
        BuildStarted(service=API, attempt=1),
        ServiceDeployStarted(service=WEB, attempt=1),
        BuildSucceeded(service=API, attempt=1),
        ServiceDeployed(service=WEB, attempt=1),
        ServiceDeployStarted(service=API, attempt=1),
        ServiceDeployed(service=API, attempt=1),
        StageSucceeded(stage=SHIP),
        StageSkipped(stage=DATA),
        StageStarted(stage=LATER),
        BuildStarted(service=ORDERS, attempt=1),
        BuildSucceeded(service=ORDERS, attempt=1),
        ServiceDeployStarted(service=ORDERS, attempt=1),
        ServiceDeployed(service=ORDERS, attempt=1),
        StageSucceeded(stage=LATER),
        DeploymentSucceeded(),
    ]
    assert run.state.status is Status.SUCCEEDED
    assert run.stages == [Status.SUCCEEDED, Status.SKIPPED, Status.SUCCEEDED]
    assert [run.step(step) for step in (build("api"), deploy("api"), deploy("web"))] == [Status.SUCCEEDED] * 3


def test_a_stage_starts_only_when_the_one_before_is_complete() -> None:
    run = Run(ship, later).take_up().start(build("api"), build("web"))
    run.succeed(build("api"), build("web"))
    run.start(deploy("api"), deploy("web"))
    assert run.succeed(deploy("web")) == [ServiceDeployed(service=WEB, attempt=1)]
    assert run.state.due() == (deploy("api"),)
    assert run.succeed(deploy("api")) == [
        ServiceDeployed(service=API, attempt=1),
        StageSucceeded(stage=SHIP),
        StageStarted(stage=LATER),
    ]
    assert run.state.due() == (build("orders"),)


def test_a_service_is_deployed_as_soon_as_its_own_build_has_ended() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    run.succeed(build("web"))
    assert run.state.due() == (build("api"), deploy("web"))
    run.start(deploy("web")).succeed(deploy("web"))
    assert run.state.due() == (build("api"),)
    assert run.step(build("api")) is Status.RUNNING


@pytest.mark.parametrize("concurrency", [1, 2, 3, 4])
def test_no_more_services_are_worked_on_at_once_than_may_be(concurrency: int) -> None:
    names = ["a", "b", "c"]
    run = Run(stage("Ship", *map(service, names), concurrency=concurrency)).take_up()
    assert run.state.due() == tuple(map(build, names[:concurrency]))
    run.start(*run.state.due())
    run.succeed(build("a"))
    run.start(deploy("a"))
    assert run.state.due() == (deploy("a"), *map(build, names[1:concurrency]))
    run.succeed(deploy("a"))
    assert run.state.due() == tuple(map(build, names[1 : concurrency + 1]))


def test_services_start_in_the_order_of_their_stage() -> None:
    run = Run(stage("Ship", *map(service, "abcd"), concurrency=2)).take_up()
    run.start(build("b"))
    assert run.state.due() == (build("b"), build("a"))


@pytest.mark.parametrize("skipped", [empty, stage("Data", service("db", skipped=True))], ids=["empty", "all skipped"])
def test_a_stage_without_anything_to_do_is_recorded_as_skipped_wherever_it_stands(
    skipped: PlannedStage,
) -> None:
    first = Run(skipped, ship).take_up()
    assert first.events[3:] == [StageSkipped(stage=DATA), StageStarted(stage=SHIP)]
    last = Run(ship, skipped).take_up().carry_out()
    assert last.events[-3:] == [StageSucceeded(stage=SHIP), StageSkipped(stage=DATA), DeploymentSucceeded()]
    assert last.stages == [Status.SUCCEEDED, Status.SKIPPED]


def test_a_skipped_service_is_left_out() -> None:
    run = Run(stage("Ship", service("api", skipped=True), service("web"))).take_up().carry_out()
    assert run.of("api") is Status.SKIPPED
    assert run.step(build("api")) is run.step(deploy("api")) is Status.SKIPPED
    assert run.of("web") is Status.SUCCEEDED
    assert run.state.status is Status.SUCCEEDED


def test_a_plan_without_anything_to_do_is_over_as_soon_as_it_is_taken_up() -> None:
    assert Run(empty).take_up().events[1:] == [
        DeploymentStarted(),
        taken,
        StageSkipped(stage=DATA),
        DeploymentSucceeded(),
    ]
    assert Run().take_up().state.status is Status.SUCCEEDED


def test_the_last_outcome_and_the_end_of_the_deployment_are_one_decision() -> None:
    run = Run(stage("Ship", service("api", built=False))).take_up().start(deploy("api"))
    given(*run.events).when(SucceedStep(worker=WORKER, step=deploy("api"), ports=(8000,))).then(
        ServiceDeployed(service=API, attempt=1, ports=(8000,)), StageSucceeded(stage=SHIP), DeploymentSucceeded()
    )


# Failure


def test_after_a_failure_nothing_new_starts_and_what_has_not_begun_is_cancelled() -> None:
    run = Run(stage("Ship", *map(service, ["api", "web", "c", "d"]), concurrency=3), later).take_up()
    run.start(build("api"), build("web"), build("c"))
    run.succeed(build("c"))  # and waits to be deployed
    assert run.fail(build("api")) == [
        BuildFailed(service=API, attempt=1, reason="exit code 1"),
        *cancelled("c", "d", "orders"),
    ]
    assert run.state.due() == (build("web"),)
    assert run.state.status is Status.RUNNING
    assert run.stages == [Status.RUNNING, Status.QUEUED]
    assert run.step(build("c")) is Status.SUCCEEDED
    assert run.step(deploy("c")) is run.step(build("d")) is Status.CANCELLED


def test_after_a_failure_what_runs_is_let_end_well_and_goes_no_further() -> None:
    run = Run(ship, later).take_up().start(build("api"), build("web"))
    run.fail(build("api"), "no compiler")
    assert run.succeed(build("web")) == [
        BuildSucceeded(service=WEB, attempt=1),
        *cancelled("web"),
        StageFailed(stage=SHIP),
        DeploymentFailed(stage=SHIP, service=API, phase=Phase.BUILD, reason="no compiler"),
    ]
    assert [run.of(name) for name in ("api", "web", "orders")] == [Status.FAILED, Status.CANCELLED, Status.CANCELLED]
    assert run.stages == [Status.FAILED, Status.CANCELLED]


def test_after_a_failure_a_service_that_runs_may_still_be_deployed() -> None:
    run = Run(stage("Ship", service("api"), service("web", built=False))).take_up().start(build("api"), deploy("web"))
    run.fail(build("api"))
    assert run.succeed(deploy("web"))[0] == ServiceDeployed(service=WEB, attempt=1)
    assert run.of("web") is Status.SUCCEEDED
    assert run.state.status is Status.FAILED


def test_a_second_failure_is_recorded_and_the_first_is_the_one_that_is_told() -> None:
    retried = service("web", retries=3)
    run = Run(stage("Ship", service("api", built=False), retried)).take_up().start(deploy("api"), build("web"))
    run.fail(deploy("api"), "not healthy after 60 s")
    assert run.state.failure == Failure(stage=SHIP, service=API, phase=Phase.DEPLOY, reason="not healthy after 60 s")
    assert run.fail(build("web"), "exit code 2") == [
        BuildFailed(service=WEB, attempt=1, reason="exit code 2"),
        StageFailed(stage=SHIP),
        DeploymentFailed(stage=SHIP, service=API, phase=Phase.DEPLOY, reason="not healthy after 60 s"),
    ]
    assert run.of("web") is Status.FAILED


def test_a_service_whose_build_failed_is_not_deployed() -> None:
    run = Run(ship).take_up().start(build("api"))
    run.fail(build("api"))
    assert run.step(build("api")) is Status.FAILED
    assert run.step(deploy("api")) is Status.CANCELLED


def test_a_service_whose_deploy_failed_stays_built() -> None:
    run = Run(stage("Ship", service("api"))).take_up().carry_out(fails=lambda step: step.phase is Phase.DEPLOY)
    assert run.step(build("api")) is Status.SUCCEEDED
    assert run.step(deploy("api")) is Status.FAILED
    assert run.events[-3] == ServiceDeployFailed(service=API, attempt=1, reason="exit code 1")


def test_stages_that_were_complete_stay_so_when_a_later_one_fails() -> None:
    run = Run(ship, later, stage("Last", service("z")), stage("Nothing"))
    run.take_up().carry_out(fails=lambda step: step.service == ORDERS)
    assert run.stages == [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.CANCELLED]
    assert run.of("api") is Status.SUCCEEDED
    assert run.of("z") is Status.CANCELLED


def test_nothing_new_is_due_from_the_moment_that_a_failure_or_a_cancellation_is_recorded() -> None:
    running = (
        planned(ship),
        DeploymentStarted(),
        taken,
        StageStarted(stage=SHIP),
        BuildStarted(service=API, attempt=1),
    )
    assert given(*running).state.due() == (build("api"), build("web"))
    assert given(*running, CancellationRequested(forced=False)).state.due() == (build("api"),)
    assert given(*running, BuildFailed(service=API, attempt=1, reason="")).state.due() == ()
    assert given(*running[:2]).state.due() == ()


# Cancelling


def test_a_deployment_that_waits_is_cancelled_at_once() -> None:
    state = (
        given(planned(empty, ship, later))
        .when(CancelDeployment())
        .then(CancellationRequested(forced=False), *cancelled("api", "web", "orders"), DeploymentCancelled())
    )
    assert state.status is Status.CANCELLED
    assert [run.status for run in state.stages] == [Status.CANCELLED] * 3


def test_a_cancelled_deployment_lets_end_what_runs() -> None:
    run = Run(ship, later).take_up().start(build("api"))
    assert run.tell(CancelDeployment()) == [CancellationRequested(forced=False), *cancelled("web", "orders")]
    assert run.state.due() == (build("api"),)
    assert run.state.status is Status.RUNNING
    assert run.succeed(build("api")) == [
        BuildSucceeded(service=API, attempt=1),
        *cancelled("api"),
        DeploymentCancelled(),
    ]
    assert run.stages == [Status.CANCELLED, Status.CANCELLED]


def test_a_cancelled_deployment_retries_nothing_and_is_not_failed_by_what_fails_now() -> None:
    run = Run(stage("Ship", service("api", retries=3)), later).take_up().start(build("api"))
    run.tell(CancelDeployment())
    assert run.fail(build("api")) == [
        BuildFailed(service=API, attempt=1, reason="exit code 1"),
        DeploymentCancelled(),
    ]
    assert run.of("api") is Status.FAILED
    assert run.state.failure is None


def test_a_deployment_between_two_steps_is_cancelled_at_once() -> None:
    run = Run(ship).take_up().start(build("api"))
    run.succeed(build("api"))
    assert run.tell(CancelDeployment()) == [
        CancellationRequested(forced=False),
        *cancelled("api", "web"),
        DeploymentCancelled(),
    ]


def test_a_deployment_whose_last_step_ends_well_after_the_cancellation_has_succeeded() -> None:
    run = Run(stage("Ship", service("api", built=False))).take_up().start(deploy("api"))
    run.tell(CancelDeployment())
    assert run.succeed(deploy("api")) == [
        ServiceDeployed(service=API, attempt=1),
        StageSucceeded(stage=SHIP),
        DeploymentSucceeded(),
    ]


@pytest.mark.parametrize("skipped", [empty, stage("Data", service("db", skipped=True))], ids=["empty", "all skipped"])
def test_stages_without_anything_to_do_do_not_keep_a_deployment_from_having_succeeded(
    skipped: PlannedStage,
) -> None:
    run = Run(stage("Ship", service("api", built=False)), skipped).take_up().start(deploy("api"))
    run.tell(CancelDeployment())
    assert run.succeed(deploy("api"))[1:] == [
        StageSucceeded(stage=SHIP),
        StageSkipped(stage=DATA),
        DeploymentSucceeded(),
    ]


def test_a_stage_that_was_completed_after_the_cancellation_has_succeeded_and_the_next_never_starts() -> None:
    run = Run(stage("Ship", service("api", built=False)), empty, later).take_up().start(deploy("api"))
    run.tell(CancelDeployment())
    assert run.succeed(deploy("api")) == [
        ServiceDeployed(service=API, attempt=1),
        StageSucceeded(stage=SHIP),
        StageSkipped(stage=DATA),
        DeploymentCancelled(),
    ]
    assert run.stages == [Status.SUCCEEDED, Status.SKIPPED, Status.CANCELLED]


def test_a_forced_cancellation_stops_what_runs() -> None:
    run = Run(ship, later).take_up().start(build("api"), build("web"))
    assert run.tell(CancelDeployment(forced=True)) == [CancellationRequested(forced=True), *cancelled("orders")]
    assert run.state.due() == ()
    assert run.state.running == (build("api"), build("web"))
    assert run.abort(build("api")) == cancelled("api")
    assert run.abort(build("web")) == [*cancelled("web"), DeploymentCancelled()]
    assert run.state.status is Status.CANCELLED


def test_a_deployment_that_is_cancelled_already_is_not_cancelled_again() -> None:
    run = Run(ship).take_up().start(build("api"))
    run.tell(CancelDeployment())
    assert run.tell(CancelDeployment()) == []
    assert run.state.cancellation is Cancellation.SAFE


def test_a_cancellation_can_be_forced_afterwards_and_not_taken_back() -> None:
    run = Run(ship).take_up().start(build("api"))
    run.tell(CancelDeployment())
    assert run.tell(CancelDeployment(forced=True)) == [CancellationRequested(forced=True)]
    assert run.state.due() == ()
    assert run.tell(CancelDeployment(forced=True)) == []
    assert run.tell(CancelDeployment()) == []
    assert run.state.cancellation is Cancellation.FORCED


def test_a_failed_deployment_that_is_forced_to_stop_has_failed() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    run.fail(build("api"))
    assert run.tell(CancelDeployment(forced=True)) == [CancellationRequested(forced=True)]
    assert run.abort(build("web")) == [
        *cancelled("web"),
        StageFailed(stage=SHIP),
        DeploymentFailed(stage=SHIP, service=API, phase=Phase.BUILD, reason="exit code 1"),
    ]


def test_a_cancelled_deployment_can_be_taken_up_so_that_it_comes_to_its_end() -> None:
    run = Run(ship).take_up("worker-0").take_up().start(build("api"))
    run.tell(CancelDeployment(forced=True))
    assert run.tell(TakeUpDeployment(worker="worker-2")) == [DeploymentTakenUp(worker="worker-2")]


# One service


def test_a_service_that_is_cancelled_starts_no_step_and_the_others_go_on() -> None:
    run = Run(ship, later).take_up()
    requested = ServiceCancellationRequested(service=service_id("web"), forced=False)
    assert run.tell(CancelServices(services=("WEB",))) == [requested, *cancelled("web")]
    assert run.tell(CancelServices(services=(service_id("web"),))) == []
    run.carry_out()
    assert (run.of("api"), run.of("web"), run.of("orders")) == (
        Status.SUCCEEDED,
        Status.CANCELLED,
        Status.SUCCEEDED,
    )
    assert (run.state.status, run.stages) == (Status.SUCCEEDED, [Status.SUCCEEDED, Status.SUCCEEDED])


def test_a_running_step_of_a_cancelled_service_ends_unless_it_is_forced() -> None:
    run = Run(ship).take_up().start(build("api"), build("web"))
    run.tell(CancelServices(services=("api",)))
    assert not run.state.unwanted
    assert run.succeed(build("api")) == [BuildSucceeded(service=API, attempt=1), *cancelled("api")]
    run.tell(CancelServices(services=("web",), forced=True))
    assert run.state.unwanted == (build("web"),)
    assert run.tell(CancelServices(services=("web",))) == []
    assert run.abort(build("web")) == [*cancelled("web"), StageSucceeded(stage=SHIP), DeploymentSucceeded()]


def test_a_cancelled_service_is_not_retried_and_does_not_fail_the_deployment() -> None:
    first = stage("Ship", service("api", retries=2), service("web"))
    run = Run(first).take_up().start(build("api"), build("web"))
    run.tell(CancelServices(services=("api",)))
    assert run.fail(build("api")) == [*cancelled("api")]
    run.carry_out()
    assert run.state.status is Status.SUCCEEDED


def test_only_a_service_of_the_plan_is_cancelled_and_only_before_the_end() -> None:
    run = Run(ship).take_up()
    with pytest.raises(ServiceNotFound):
        run.tell(CancelServices(services=("orders",)))
    run.carry_out()
    with pytest.raises(DeploymentOver):
        run.tell(CancelServices(services=("api",)))


# Superseding


def test_a_deployment_that_waits_is_superseded() -> None:
    run = Run(ship)
    superseded = DeploymentSuperseded(number=7)
    ended = [superseded, *cancelled("api"), *cancelled("web"), DeploymentCancelled()]
    assert run.tell(SupersedeDeployment(number=7)) == ended
    assert run.tell(SupersedeDeployment(number=8)) == []


def test_a_deployment_that_has_started_is_not_superseded() -> None:
    assert Run(ship).take_up().tell(SupersedeDeployment(number=7)) == []


# Timeouts


def test_a_deployment_with_a_timeout_has_a_deadline_from_its_start() -> None:
    run = Run(ship, timeout=60.0)
    started = run.tell(TakeUpDeployment(worker=WORKER, at=NOW))[0]
    assert started == DeploymentStarted(deadline=NOW + timedelta(seconds=60))
    run.tell(TakeUpDeployment(worker="worker-2", at=NOW + timedelta(seconds=30)))
    assert run.state.deadline == NOW + timedelta(seconds=60)


def test_a_deployment_without_a_timeout_has_no_deadline_and_is_never_overdue() -> None:
    run = Run(ship).take_up(at=NOW).start(build("api"), build("web"))
    assert run.state.deadline is None
    assert run.tell(AdvanceDeployment(worker=WORKER, is_overdue=True)) == []


def test_an_overdue_deployment_stops_its_steps_starts_no_other_and_fails() -> None:
    run = Run(ship, later, timeout=60.0).take_up(at=NOW).start(build("api"), build("web"))
    overdue = AdvanceDeployment(worker=WORKER, is_overdue=True)
    assert run.tell(overdue) == [TimeoutReached(seconds=60.0), *cancelled("orders")]
    assert run.state.unwanted == (build("api"), build("web"))
    assert run.tell(overdue) == []
    assert run.tell(CancelDeployment()) == []
    run.abort(build("api"))
    assert run.abort(build("web")) == [*cancelled("web"), DeploymentTimedOut(seconds=60.0)]
    assert (run.state.status, run.state.failure) == (Status.FAILED, None)
    assert run.stages == [Status.CANCELLED, Status.CANCELLED]


def test_an_overdue_deployment_in_which_a_step_failed_before_fails_because_of_that() -> None:
    run = Run(ship, timeout=60.0).take_up(at=NOW).start(build("api"), build("web"))
    run.fail(build("api"))
    run.tell(AdvanceDeployment(worker=WORKER, is_overdue=True))
    assert run.abort(build("web"))[-1] == DeploymentFailed(
        stage=SHIP, service=API, phase=Phase.BUILD, reason="exit code 1"
    )


def test_an_overdue_deployment_that_was_being_cancelled_is_cancelled() -> None:
    run = Run(ship, timeout=60.0).take_up(at=NOW).start(build("api"), build("web"))
    run.tell(CancelDeployment())
    assert run.tell(AdvanceDeployment(worker=WORKER, is_overdue=True)) == [TimeoutReached(seconds=60.0)]
    run.abort(build("api"))
    assert run.abort(build("web"))[-1] == DeploymentCancelled()


def test_a_deployment_that_ends_at_its_deadline_has_not_timed_out() -> None:
    run = Run(stage("Ship", service("api", built=False)), timeout=60.0).take_up(at=NOW).start(deploy("api"))
    ended = SucceedStep(worker=WORKER, step=deploy("api"))
    run.tell(AdvanceDeployment(worker=WORKER, outcomes=(ended,), is_overdue=True))
    assert run.events[-1] == DeploymentSucceeded()
    assert not any(isinstance(event, TimeoutReached) for event in run.events)


# Replaying


def test_an_event_about_a_service_that_is_not_in_the_plan_changes_nothing() -> None:
    history = (planned(ship), DeploymentStarted(), taken, StageStarted(stage=SHIP))
    strange = (BuildStarted(service=ORDERS, attempt=1), *cancelled("orders"))
    assert given(*history, *strange).state == given(*history).state
