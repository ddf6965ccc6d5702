"""The approval and the rejection of a stage that waits for it."""

from datetime import datetime

from domain import name as names
from domain.deployment.gate import ApproveStage, GateEvent, Review, StageApproved, StageRejected
from domain.deployment.stage import StageRun
from domain.deployment.state import Deployment
from domain.errors import DeploymentOver, SelfApproval, StageNotFound, StageNotWaiting
from domain.pipeline.gate import Approval, GateKind
from domain.pipeline.ref import StageRef
from domain.role import forbidden


def decide(deployment: Deployment, command: Review) -> list[GateEvent]:
    """Return the event of a review, none for a second approval by the same actor.

    Raises `StageNotFound`, `DeploymentOver`, `StageNotWaiting`, `Forbidden` or `SelfApproval`.
    """
    run = _stage(deployment, command.stage)
    if isinstance(command, ApproveStage) and command.actor in run.gate.approvals:
        return []
    if deployment.status.is_final:
        raise DeploymentOver(status=deployment.status.value.lower())
    if run.gate.open is not GateKind.APPROVAL or deployment.ending:
        raise StageNotWaiting(stage=run.stage.name, number=deployment.number, why=_why_not(deployment, run))
    if run.gate.deadline is not None and command.at >= run.gate.deadline:
        why = f"its time was over at {_moment(run.gate.deadline)}"
        raise StageNotWaiting(stage=run.stage.name, number=deployment.number, why=why)
    if isinstance(command, ApproveStage):
        approval = run.stage.approval or Approval()
        if not command.role.includes(approval.role):
            raise forbidden(approval.role, f"to approve stage {run.stage.name!r}", command.role)
        if command.is_requester and not approval.self_approval:
            raise SelfApproval(stage=run.stage.name, actor=command.actor)
        return [StageApproved(stage=run.stage.id, actor=command.actor)]
    return [StageRejected(stage=run.stage.id, actor=command.actor, comment=command.comment)]


def _stage(deployment: Deployment, ref: StageRef) -> StageRun:
    for run in deployment.stages:
        if run.stage.id == ref or (isinstance(ref, str) and names.key(run.stage.name) == names.key(ref)):
            return run
    raise StageNotFound(stage=str(ref))


def _why_not(deployment: Deployment, run: StageRun) -> str:
    if run.stage.approval is None:
        return "it needs none"
    if deployment.ending:
        return "the deployment is being ended"
    if GateKind.APPROVAL in run.gate.passed:
        return "it is approved already"
    if run.gate.problem is not None:
        return f"it was {run.gate.problem}"
    return "it is not its turn yet"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
