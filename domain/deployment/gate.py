"""
Gates before the stages of a deployment, which it meets one after another.

A gate opens when its stage would start. The runner opens it, because the runner knows the time; its deadline is an
event, so that it survives a restart.
"""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.plan import PlannedStage
from domain.pipeline.gate import MAX_WAIT, Approval, GateKind, OnTimeout
from domain.pipeline.ref import StageId, StageRef
from domain.role import Role


class StageApprovalRequested(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The stage waits for its approval, until *deadline* if there is one."""

    stage: StageId
    deadline: datetime | None = None


class StageApproved(Struct, frozen=True, kw_only=True, gc=False):
    """*actor* approved the stage; it may need more approvals."""

    stage: StageId
    actor: str


class StageRejected(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*actor* rejected the stage, which does not start."""

    stage: StageId
    actor: str
    comment: str | None = None


class StageApprovalTimedOut(Struct, frozen=True, kw_only=True, gc=False):
    """The stage had not enough approvals at the deadline; the plan says whether that approves or rejects it."""

    stage: StageId


class StageWaitStarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The stage waits for the time of its policy, until *until*."""

    stage: StageId
    until: datetime | None = None


class StageWaitEnded(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageCheckStarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The stage waits until its check passes, until *deadline* at the latest."""

    stage: StageId
    deadline: datetime | None = None


class StageCheckAnswered(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The check did not pass because of *problem* from the time *at* on; it is tried again."""

    stage: StageId
    problem: str
    at: datetime | None = None


class StageCheckPassed(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageCheckFailed(Struct, frozen=True, kw_only=True, gc=False):
    """The check did not pass in time; *reason* is that of the last try. The stage does not start."""

    stage: StageId
    reason: str


GateEvent = (
    StageApprovalRequested
    | StageApproved
    | StageRejected
    | StageApprovalTimedOut
    | StageWaitStarted
    | StageWaitEnded
    | StageCheckStarted
    | StageCheckAnswered
    | StageCheckPassed
    | StageCheckFailed
)


class ApproveStage(Struct, frozen=True, kw_only=True, gc=False):
    """Approve *stage* at the time *at*; *actor* requested the deployment if it *is_requester*.

    *role* is that of the actor in the environment.
    """

    stage: StageRef
    actor: str
    is_requester: bool
    at: datetime
    role: Role


class RejectStage(Struct, frozen=True, kw_only=True, gc=False):
    """Reject *stage* at the time *at*."""

    stage: StageRef
    actor: str
    at: datetime
    comment: str | None = None


Review = ApproveStage | RejectStage


class StageGate(Struct, frozen=True, kw_only=True, gc=False):
    """The identity of a gate."""

    stage: StageId
    kind: GateKind


class CheckOutcome(Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of the check at *gate*; *problem* is why it did not pass in time, if so.

    If it *is_tried* again, *problem* is why it has not passed yet.
    """

    gate: StageGate
    problem: str | None = None
    is_tried: bool = False


class GateRun(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The progress of a stage through its gates.

    The gate *open* waits, until *deadline* if there is one. *approvals* are the actors who approved. A check has not
    passed because of *answer*, since *answered_at*. *problem* is why the stage does not start, if so.
    """

    open: GateKind | None = None
    deadline: datetime | None = None
    approvals: tuple[str, ...] = ()
    passed: tuple[GateKind, ...] = ()
    answer: str | None = None
    answered_at: datetime | None = None
    problem: str | None = None

    def ahead(self, stage: PlannedStage) -> GateKind | None:
        """Return the first gate of *stage* that it has not passed."""
        return next((kind for kind in stage.gates if kind not in self.passed), None)


def opened(stage: PlannedStage, kind: GateKind, now: datetime | None) -> GateEvent:
    """Return the event that opens the gate *kind* of *stage*."""
    match kind:
        case GateKind.APPROVAL:
            return StageApprovalRequested(stage=stage.id, deadline=_later(now, _approval(stage).timeout))
        case GateKind.TIME:
            return StageWaitStarted(stage=stage.id, until=_later(now, stage.wait))
        case GateKind.CHECK:
            return StageCheckStarted(stage=stage.id, deadline=_later(now, limit(stage, kind)))
        case _:
            assert_never(kind)


def elapsed(stage: PlannedStage, kind: GateKind) -> GateEvent:
    """Return the event of the time of the open gate *kind* of *stage* being over."""
    match kind:
        case GateKind.APPROVAL:
            return StageApprovalTimedOut(stage=stage.id)
        case GateKind.TIME:
            return StageWaitEnded(stage=stage.id)
        case GateKind.CHECK:
            return StageCheckFailed(stage=stage.id, reason=f"it did not pass within {limit(stage, kind):g} s")
        case _:
            assert_never(kind)


def checked(run: GateRun, stage: PlannedStage, outcome: CheckOutcome, now: datetime | None) -> GateEvent | None:
    """Return the event of the *outcome* of the check of *stage*, if it is news."""
    if outcome.problem is None:
        return StageCheckPassed(stage=stage.id)
    if outcome.is_tried:
        is_news = outcome.problem != run.answer
        return StageCheckAnswered(stage=stage.id, problem=outcome.problem, at=now) if is_news else None
    return StageCheckFailed(stage=stage.id, reason=outcome.problem)


def limit(stage: PlannedStage, kind: GateKind) -> float:
    """Return the maximum time between the opening of the gate *kind* of *stage* and its deadline, in seconds."""
    match kind:
        case GateKind.APPROVAL:
            return _approval(stage).timeout or MAX_WAIT
        case GateKind.TIME:
            return stage.wait or 0.0
        case GateKind.CHECK:
            return 0.0 if stage.check is None else stage.check.timeout
        case _:
            assert_never(kind)


def evolve(run: GateRun, stage: PlannedStage, event: GateEvent) -> GateRun:
    """Return *run*, of *stage*, after *event*."""
    match event:
        case StageApprovalRequested(deadline=deadline):
            return replace(run, open=GateKind.APPROVAL, deadline=deadline)
        case StageApproved(actor=actor):
            run = replace(run, approvals=(*run.approvals, actor))
            return _passed(run) if len(run.approvals) >= _approval(stage).count else run
        case StageRejected(comment=comment):
            return _refused(run, "rejected" if comment is None else f"rejected: {comment}")
        case StageApprovalTimedOut():
            approval = _approval(stage)
            if approval.on_timeout is OnTimeout.APPROVE:
                return _passed(run)
            return _refused(run, f"not approved within {approval.timeout or 0:g} s")
        case StageWaitStarted(until=until):
            return replace(run, open=GateKind.TIME, deadline=until)
        case StageCheckStarted(deadline=deadline):
            return replace(run, open=GateKind.CHECK, deadline=deadline)
        case StageCheckAnswered(problem=problem, at=at):
            return replace(run, answer=problem, answered_at=at)
        case StageWaitEnded() | StageCheckPassed():
            return _passed(run)
        case StageCheckFailed(reason=reason):
            return _refused(run, f"its check failed: {reason}")
        case _:
            assert_never(event)


def _passed(run: GateRun) -> GateRun:
    passed = run.passed if run.open is None else (*run.passed, run.open)
    return replace(run, open=None, deadline=None, passed=passed, answer=None, answered_at=None)


def _refused(run: GateRun, problem: str) -> GateRun:
    return replace(run, open=None, deadline=None, problem=problem, answer=None, answered_at=None)


def _later(now: datetime | None, seconds: float | None) -> datetime | None:
    return None if now is None or seconds is None else now + timedelta(seconds=seconds)


def _approval(stage: PlannedStage) -> Approval:
    return stage.approval or Approval()
