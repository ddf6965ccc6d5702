"""Stages that wait for an approval before they start."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from domain import deployment
from domain import pipeline as pipelines
from domain.deployment.gate import (
    ApproveStage,
    CheckOutcome,
    RejectStage,
    StageApprovalRequested,
    StageApprovalTimedOut,
    StageApproved,
    StageCheckAnswered,
    StageCheckFailed,
    StageCheckPassed,
    StageCheckStarted,
    StageGate,
    StageRejected,
    StageWaitEnded,
    StageWaitStarted,
)
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    CancellationRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentTakenUp,
)
from domain.deployment.step import ServiceCancelled, ServiceDeployed, ServiceDeployStarted, Status, SucceedStep
from domain.deployment.wait import WaitCause, WaitReason
from domain.errors import DeploymentOver, Forbidden, InvalidPolicy, SelfApproval, StageNotFound, StageNotWaiting
from domain.pipeline.gate import MAX_APPROVALS, MAX_URL, MAX_WAIT, Approval, GateKind, OnTimeout, StageCheck, both
from domain.pipeline.stage import EditStage, OnFailure, StagePolicy, StagePolicyChanged
from domain.role import Role
from tests.domain.example import BUILD, build, created
from tests.domain.given import Given, History
from tests.domain.run import WORKER, Run, deploy, planned, service, service_id, stage, stage_id

given = Given(deployment.decider)
pipeline = Given(pipelines.decider)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DATA, SHIP, CLEAN = stage_id("Data"), stage_id("Ship"), stage_id("Clean")
DB, API, REPORT = service_id("db"), service_id("api"), service_id("report")

taken = DeploymentStarted(), DeploymentTakenUp(worker=WORKER)
data_done = (
    StageStarted(stage=DATA),
    ServiceDeployStarted(service=DB, attempt=1),
    ServiceDeployed(service=DB, attempt=1),
    StageSucceeded(stage=DATA),
)


def before_ship(
    approval: Approval, *more: object, on_failure: OnFailure = OnFailure.STOP, always: bool = False
) -> History:  # type: ignore[type-arg]
    """The history of a deployment whose second stage needs *approval*, up to that stage."""
    plan = planned(
        stage("Data", service("db", built=False)),
        stage("Ship", service("api", built=False), approval=approval, on_failure=on_failure, always=always),
        stage("Clean", service("report", built=False), always=True),
    )
    return given(plan, *taken, *data_done, *more)


def report(**given: object) -> AdvanceDeployment:
    return AdvanceDeployment(worker=WORKER, at=NOW, **given)  # type: ignore[arg-type]


def approve(
    actor: str = "ann",
    stage: str = "Ship",
    is_requester: bool = False,
    at: datetime = NOW,
    role: Role = Role.DEPLOYER,
) -> ApproveStage:
    return ApproveStage(stage=stage, actor=actor, is_requester=is_requester, at=at, role=role)


def reject(comment: str | None = None, at: datetime = NOW) -> RejectStage:
    return RejectStage(stage=SHIP, actor="ann", at=at, comment=comment)


rejected = StageFailed(stage=SHIP), StageStarted(stage=CLEAN)
requested = StageApprovalRequested(stage=SHIP)


def test_an_approval_is_requested_when_its_stage_would_start_and_only_then() -> None:
    run = Run(
        stage("Data", service("db", built=False)), stage("Ship", service("api", built=False), approval=Approval())
    ).take_up()
    assert run.tell(report()) == [ServiceDeployStarted(service=DB, attempt=1)]
    done = report(outcomes=(SucceedStep(worker=WORKER, step=deploy("db")),))
    assert run.tell(done)[-2:] == [StageSucceeded(stage=DATA), requested]
    assert run.tell(report()) == []
    assert run.state.due() == ()
    assert run.stages == [Status.SUCCEEDED, Status.QUEUED]


def test_a_stage_without_a_due_service_needs_no_approval() -> None:
    empty = stage("Ship", service("api", skipped=True), approval=Approval())
    run = Run(empty, stage("Clean", service("report", built=False))).take_up()
    assert [StageSkipped(stage=SHIP), StageStarted(stage=CLEAN)] == run.events[-2:]


def test_the_last_approval_that_is_needed_starts_the_stage() -> None:
    waits = before_ship(Approval(count=2), requested)
    waits.when(approve("ann")).then(StageApproved(stage=SHIP, actor="ann"))
    first = before_ship(Approval(count=2), requested, StageApproved(stage=SHIP, actor="ann"))
    first.when(approve("bob")).then(StageApproved(stage=SHIP, actor="bob"), StageStarted(stage=SHIP))


def test_an_actor_approves_once() -> None:
    first = before_ship(Approval(count=2), requested, StageApproved(stage=SHIP, actor="ann"))
    first.when(approve("ann")).then()
    started = before_ship(Approval(), requested, StageApproved(stage=SHIP, actor="ann"), StageStarted(stage=SHIP))
    started.when(approve("ann")).then()


def test_the_requester_approves_only_where_the_policy_says_so() -> None:
    before_ship(Approval(), requested).when(approve(is_requester=True)).then(
        StageApproved(stage=SHIP, actor="ann"), StageStarted(stage=SHIP)
    )
    strict = before_ship(Approval(self_approval=False), requested)
    strict.when(approve(is_requester=True)).refused(SelfApproval(stage="Ship", actor="ann"))
    strict.when(approve("bob")).then(StageApproved(stage=SHIP, actor="bob"), StageStarted(stage=SHIP))


@pytest.mark.parametrize("needed", [Role.DEPLOYER, Role.EDITOR, Role.ADMIN])
def test_only_those_with_the_role_of_the_policy_approve(needed: Role) -> None:
    waits = before_ship(Approval(role=needed), requested)
    for role in Role:
        if role.includes(needed):
            waits.when(approve(role=role)).then(StageApproved(stage=SHIP, actor="ann"), StageStarted(stage=SHIP))
        else:
            own = f"are {role.lower()}"
            refused = Forbidden(needed=needed.lower(), place="to approve stage 'Ship'", own=own)
            waits.when(approve(role=role)).refused(refused)


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_rejection_fails_the_stage_and_only_stages_that_always_run_go_on(on_failure: OnFailure) -> None:
    waits = before_ship(Approval(), requested, on_failure=on_failure)
    state = waits.when(reject("too late")).then(
        StageRejected(stage=SHIP, actor="ann", comment="too late"), ServiceCancelled(service=API), *rejected
    )
    run = Run.of_state(state)
    run.start(deploy("report"))
    assert run.succeed(deploy("report"))[1:] == [
        StageSucceeded(stage=CLEAN),
        DeploymentFailed(stage=SHIP, reason="rejected: too late"),
    ]
    assert run.stages == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED]


def test_a_rejected_stage_that_always_runs_does_not_start() -> None:
    waits = before_ship(Approval(), requested, always=True)
    waits.when(reject()).then(StageRejected(stage=SHIP, actor="ann"), ServiceCancelled(service=API), *rejected)


def test_a_stage_may_be_rejected_after_it_was_approved_by_too_few() -> None:
    waits = before_ship(Approval(count=2), requested, StageApproved(stage=SHIP, actor="ann"))
    waits.when(reject()).then(StageRejected(stage=SHIP, actor="ann"), ServiceCancelled(service=API), *rejected)


def test_the_deadline_counts_from_the_request() -> None:
    waits = before_ship(Approval(timeout=60))
    waits.when(report()).then(StageApprovalRequested(stage=SHIP, deadline=NOW + timedelta(seconds=60)))


ship_gate = StageGate(stage=SHIP, kind=GateKind.APPROVAL)
timely = StageApprovalRequested(stage=SHIP, deadline=NOW + timedelta(seconds=60))


def test_too_few_approvals_in_time_reject_the_stage() -> None:
    waits = before_ship(Approval(timeout=60), timely)
    waits.when(report()).then()
    state = waits.when(report(waited=(ship_gate,))).then(
        StageApprovalTimedOut(stage=SHIP),
        ServiceCancelled(service=API),
        *rejected,
        ServiceDeployStarted(service=REPORT, attempt=1),
    )
    assert state.failure is not None
    assert state.failure.reason == "not approved within 60 s"


def test_too_few_approvals_in_time_approve_the_stage_where_the_policy_says_so() -> None:
    waits = before_ship(Approval(timeout=60, on_timeout=OnTimeout.APPROVE), timely)
    waits.when(report(waited=(ship_gate,))).then(
        StageApprovalTimedOut(stage=SHIP), StageStarted(stage=SHIP), ServiceDeployStarted(service=API, attempt=1)
    )


def test_a_deadline_that_is_over_ends_nothing_twice() -> None:
    waits = before_ship(Approval(timeout=60), timely, StageApproved(stage=SHIP, actor="ann"), StageStarted(stage=SHIP))
    waits.when(report(waited=(ship_gate,))).then(ServiceDeployStarted(service=API, attempt=1))


@pytest.mark.parametrize("review", [approve, reject])
def test_a_review_after_the_deadline_is_refused_also_if_no_worker_noticed_it(review: object) -> None:
    waits = before_ship(Approval(timeout=60), timely)
    late = review(at=NOW + timedelta(seconds=60))  # type: ignore[operator]
    why = "its time was over at 2026-01-02 00:01:00 UTC"
    waits.when(late).refused(StageNotWaiting(stage="Ship", number=1, why=why))


def test_only_a_stage_that_waits_can_be_approved() -> None:
    def refused(history: History, why: str, stage: str = "Ship") -> None:  # type: ignore[type-arg]
        history.when(approve(stage=stage)).refused(StageNotWaiting(stage=stage, number=1, why=why))

    refused(before_ship(Approval()), "it is not its turn yet")
    refused(before_ship(Approval(), requested), "it needs none", "Data")
    bob = before_ship(Approval(), requested, StageApproved(stage=SHIP, actor="bob"), StageStarted(stage=SHIP))
    refused(bob, "it is approved already")
    no = before_ship(Approval(), requested, StageRejected(stage=SHIP, actor="bob"), ServiceCancelled(service=API))
    refused(no, "it was rejected")
    before_ship(Approval(), requested).when(approve(stage="Nope")).refused(StageNotFound(stage="Nope"))
    over = before_ship(Approval(), requested, CancellationRequested(forced=False), DeploymentCancelled())
    over.when(approve()).refused(DeploymentOver(status="cancelled"))


def test_a_cancellation_ends_the_wait_for_an_approval() -> None:
    state = (
        before_ship(Approval(), requested)
        .when(CancelDeployment())
        .then(
            CancellationRequested(forced=False),
            ServiceCancelled(service=API),
            ServiceCancelled(service=REPORT),
            DeploymentCancelled(),
        )
    )
    assert (state.gate, state.cause) == (None, None)


def test_a_deployment_says_whose_approval_it_waits_for() -> None:
    approval = Approval(count=2, timeout=60, self_approval=False)
    assert before_ship(approval).state.cause is None
    waits = before_ship(approval, timely, StageApproved(stage=SHIP, actor="ann")).state
    assert waits.cause == WaitCause(
        reason=WaitReason.APPROVAL,
        stage="Ship",
        missing=1,
        needs_others=True,
        deadline=NOW + timedelta(seconds=60),
    )


# Times and checks

CHECK = StageCheck(url="https://example.org/up", timeout=60)


def gates_of(*more: object, wait: float | None = None, check: StageCheck | None = None) -> History:  # type: ignore[type-arg]
    """The history of a deployment whose only stage waits, up to that stage."""
    plan = planned(stage("Ship", service("api", built=False), wait=wait, check=check))
    return given(plan, *taken, *more)


def test_a_stage_waits_for_its_time() -> None:
    started = StageWaitStarted(stage=SHIP, until=NOW + timedelta(seconds=60))
    gates_of(wait=60).when(report()).then(started)
    gates_of(started, wait=60).when(report()).then()
    gate = StageGate(stage=SHIP, kind=GateKind.TIME)
    gates_of(started, wait=60).when(report(waited=(gate,))).then(
        StageWaitEnded(stage=SHIP), StageStarted(stage=SHIP), ServiceDeployStarted(service=API, attempt=1)
    )


check_gate = StageGate(stage=SHIP, kind=GateKind.CHECK)
checking = StageCheckStarted(stage=SHIP, deadline=NOW + timedelta(seconds=60))


def test_a_stage_starts_when_its_check_passes() -> None:
    gates_of(check=CHECK).when(report()).then(checking)
    gates_of(checking, check=CHECK).when(report(checks=(CheckOutcome(gate=check_gate),))).then(
        StageCheckPassed(stage=SHIP), StageStarted(stage=SHIP), ServiceDeployStarted(service=API, attempt=1)
    )


def test_a_check_that_does_not_pass_in_time_fails_the_stage() -> None:
    outcome = CheckOutcome(gate=check_gate, problem="the status was 503")
    state = (
        gates_of(checking, check=CHECK)
        .when(report(checks=(outcome,)))
        .then(
            StageCheckFailed(stage=SHIP, reason="the status was 503"),
            ServiceCancelled(service=API),
            StageFailed(stage=SHIP),
            DeploymentFailed(stage=SHIP, reason="its check failed: the status was 503"),
        )
    )
    assert state.stages[0].status is Status.FAILED


def test_an_answer_of_a_check_is_recorded_when_it_is_another_one_than_before() -> None:
    away = CheckOutcome(gate=check_gate, problem="the status was 503", is_tried=True)
    answered = StageCheckAnswered(stage=SHIP, problem="the status was 503", at=NOW)
    gates_of(checking, check=CHECK).when(report(checks=(away,))).then(answered)
    known = gates_of(checking, answered, check=CHECK)
    known.when(report(checks=(away,))).then()
    other = replace(away, problem="no connection")
    known.when(report(checks=(other,))).then(StageCheckAnswered(stage=SHIP, problem="no connection", at=NOW))
    assert known.state.cause == WaitCause(
        reason=WaitReason.CHECK,
        stage="Ship",
        url=CHECK.url,
        deadline=NOW + timedelta(seconds=60),
        answer="the status was 503",
        answered_at=NOW,
    )
    passed = gates_of(checking, answered, StageCheckPassed(stage=SHIP), check=CHECK).state.stages[0].gate
    assert (passed.answer, passed.answered_at) == (None, None)


def test_an_outcome_of_a_check_that_is_over_changes_nothing() -> None:
    over = gates_of(checking, StageCheckPassed(stage=SHIP), StageStarted(stage=SHIP), check=CHECK)
    outcome = CheckOutcome(gate=check_gate, problem="the status was 503")
    over.when(report(checks=(outcome,))).then(ServiceDeployStarted(service=API, attempt=1))


def test_people_come_before_times_and_these_before_checks() -> None:
    run = Run(stage("Ship", service("api", built=False), approval=Approval(), wait=5, check=CHECK)).take_up()
    run.tell(report())
    assert run.state.cause is not None
    assert run.tell(approve()) == [StageApproved(stage=SHIP, actor="ann")]
    assert run.tell(report()) == [StageWaitStarted(stage=SHIP, until=NOW + timedelta(seconds=5))]
    waited = report(waited=(StageGate(stage=SHIP, kind=GateKind.TIME),))
    assert run.tell(waited) == [StageWaitEnded(stage=SHIP), checking]
    assert run.state.cause == WaitCause(
        reason=WaitReason.CHECK, stage="Ship", url=CHECK.url, deadline=NOW + timedelta(seconds=60)
    )
    assert run.tell(report(checks=(CheckOutcome(gate=check_gate),)))[:2] == [
        StageCheckPassed(stage=SHIP),
        StageStarted(stage=SHIP),
    ]


# The policy


def test_the_approval_of_a_stage_is_a_part_of_its_policy() -> None:
    policy = StagePolicy(approval=Approval(count=2, timeout=3600))
    changed = StagePolicyChanged(stage=BUILD, policy=policy)
    pipeline(created, build).when(EditStage(stage=BUILD, policy=policy)).then(changed)
    pipeline(created, build, changed).when(EditStage(stage=BUILD, policy=policy)).then()


@pytest.mark.parametrize(
    ("approval", "field", "why"),
    [
        (Approval(count=0), "approval.count", "0 is not between 1 and 20"),
        (Approval(count=MAX_APPROVALS + 1), "approval.count", "21 is not between 1 and 20"),
        (Approval(timeout=0), "approval.timeoutSeconds", "0 is not between 0.01 and 2,592,000 seconds"),
        (
            Approval(timeout=MAX_WAIT + 1),
            "approval.timeoutSeconds",
            "2,592,001 is not between 0.01 and 2,592,000 seconds",
        ),
        (Approval(timeout=float("nan")), "approval.timeoutSeconds", "nan is not between 0.01 and 2,592,000 seconds"),
        (Approval(on_timeout=OnTimeout.APPROVE), "approval.onTimeout", "it needs timeoutSeconds"),
    ],
)
def test_an_approval_has_limits(approval: Approval, field: str, why: str) -> None:
    edit = EditStage(stage=BUILD, policy=StagePolicy(approval=approval))
    pipeline(created, build).when(edit).refused(InvalidPolicy(field=field, why=why))


NO_URL = "an address that begins with http:// or https://, without a user and a password, is required"


@pytest.mark.parametrize(
    ("policy", "field", "why"),
    [
        (StagePolicy(wait=0), "waitSeconds", "0 is not between 0.01 and 2,592,000 seconds"),
        *(
            (StagePolicy(check=StageCheck(url=url)), "check.url", NO_URL)
            for url in (
                "",
                "example.org",
                "file:///etc/passwd",
                "ftp://example.org",
                "http://",
                "http://ann:secret@example.org",
                "http://example.org:99999",
                "http://exa mple.org",
                "http://example.org/\r\nX: y",
                "http://ex\u00e4mple.org",
            )
        ),
        (
            StagePolicy(check=StageCheck(url=f"http://{'a' * MAX_URL}")),
            "check.url",
            "2,007 characters; at most 2,000 are allowed",
        ),
        (
            StagePolicy(check=StageCheck(url="http://a", interval=0)),
            "check.intervalSeconds",
            "0 is not between 0.01 and 2,592,000 seconds",
        ),
        (
            StagePolicy(check=StageCheck(url="http://a", timeout=0)),
            "check.timeoutSeconds",
            "0 is not between 0.01 and 2,592,000 seconds",
        ),
    ],
)
def test_times_and_checks_have_limits(policy: StagePolicy, field: str, why: str) -> None:
    pipeline(created, build).when(EditStage(stage=BUILD, policy=policy)).refused(InvalidPolicy(field=field, why=why))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Approval(count=2), Approval(role=Role.EDITOR), Approval(count=2, role=Role.EDITOR)),
        (Approval(timeout=60), Approval(timeout=30), Approval(timeout=30)),
        (Approval(timeout=60, on_timeout=OnTimeout.APPROVE), Approval(), Approval()),
        (Approval(timeout=30, on_timeout=OnTimeout.APPROVE), Approval(timeout=60), Approval(timeout=60)),
        (
            Approval(timeout=30, on_timeout=OnTimeout.APPROVE),
            Approval(timeout=60, on_timeout=OnTimeout.APPROVE),
            Approval(timeout=60, on_timeout=OnTimeout.APPROVE),
        ),
        (Approval(), None, Approval()),
        (None, None, None),
    ],
)
def test_the_approval_that_meets_two_is_as_strict_as_both(
    first: Approval | None, second: Approval | None, expected: Approval | None
) -> None:
    assert both(first, second) == both(second, first) == expected
