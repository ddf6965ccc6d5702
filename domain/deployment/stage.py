"""Stages: the progress of the stages of one deployment, which run one after another."""

from msgspec import Struct

from domain.deployment.gate import GateRun
from domain.deployment.plan import PlannedStage
from domain.deployment.step import DONE, ServiceRun, Status
from domain.deployment.wait import WaitCause, WaitReason
from domain.pipeline.gate import Approval, GateKind
from domain.pipeline.ref import StageId
from domain.pipeline.stage import OnFailure


class StageStarted(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageSkipped(Struct, frozen=True, kw_only=True, gc=False):
    """The stage has no services, or all of them are skipped."""

    stage: StageId


class StageSucceeded(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageFailed(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


StageEvent = StageStarted | StageSkipped | StageSucceeded | StageFailed


class StageRun(Struct, frozen=True, kw_only=True, gc=False):
    stage: PlannedStage
    status: Status = Status.QUEUED
    services: tuple[ServiceRun, ...] = ()
    gate: GateRun = GateRun()

    @property
    def is_refused(self) -> bool:
        """Whether the stage does not start, and its failure is not recorded yet."""
        return self.status is Status.QUEUED and self.gate.problem is not None

    @property
    def cause(self) -> WaitCause | None:
        """The cause for which the stage waits at a gate, if it does."""
        if self.gate.open is None:
            return None
        approval, check = self.stage.approval or Approval(), self.stage.check
        is_approval = self.gate.open is GateKind.APPROVAL
        return WaitCause(
            reason=WaitReason[self.gate.open.name],
            stage=self.stage.name,
            missing=approval.count - len(self.gate.approvals) if is_approval else 0,
            needs_others=is_approval and not approval.self_approval,
            url="" if check is None or self.gate.open is not GateKind.CHECK else check.url,
            deadline=self.gate.deadline,
            answer=self.gate.answer or "",
            answered_at=self.gate.answered_at,
        )

    @property
    def is_complete(self) -> bool:
        """Whether every service succeeded, was skipped, failed as it may, or was cancelled by somebody."""
        return all(
            run.status in DONE
            or (run.status is Status.FAILED and run.is_allowed)
            or (run.status is Status.CANCELLED and run.is_cancelled)
            for run in self.services
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return all(run.status.is_final for run in self.services)

    @property
    def has_failed(self) -> bool:
        return any(run.status is Status.FAILED and not run.is_allowed for run in self.services)

    @property
    def is_halted(self) -> bool:
        """Whether a failure or a rejection stops the stage, and with it the later ones."""
        if self.gate.problem is not None:
            return True
        if self.status is not Status.FAILED and self.status is not Status.RUNNING:  # most often
            return False
        if self.stage.on_failure is OnFailure.CONTINUE:
            return False
        return self.status is Status.FAILED or self.has_failed


class StageIndex(Struct, frozen=True, gc=False):
    """The stages that each event of a deployment asks for, so that it need not look at all of them.

    *current* is the index of the running stage, and *refused* that of the first one that does not start and whose
    failure is not recorded yet. With *is_halted* a stage that does not run stops the later ones.
    """

    current: int | None = None
    refused: int | None = None
    is_halted: bool = False


def index_of(stages: tuple[StageRun, ...]) -> StageIndex:
    """Return the index of *stages*; the services of those that do not run have no part in it."""
    return StageIndex(
        current=next((place for place, run in enumerate(stages) if run.status is Status.RUNNING), None),
        refused=next((place for place, run in enumerate(stages) if run.is_refused), None),
        is_halted=any(run.is_halted for run in stages if run.status is not Status.RUNNING),
    )
