"""Words and subject of the events of a deployment."""

from datetime import UTC, datetime
from typing import assert_never

from domain.deployment.action import omission_words
from domain.deployment.effect import Effect
from domain.deployment.gate import (
    GateEvent,
    StageApprovalRequested,
    StageApprovalTimedOut,
    StageApproved,
    StageCheckAnswered,
    StageCheckFailed,
    StageCheckPassed,
    StageCheckStarted,
    StageRejected,
    StageWaitEnded,
    StageWaitStarted,
)
from domain.deployment.hold import DeploymentHeld, DeploymentReleased
from domain.deployment.queue import Action
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    Cancellation,
    CancellationRequested,
    Deployment,
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentTakenUp,
    DeploymentTimedOut,
    TimeoutReached,
)
from domain.deployment.step import (
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    InstanceDeleted,
    OldInstanceLost,
    OldInstanceRestarted,
    Phase,
    ServiceCancellationRequested,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceOmitted,
    ServiceStopFailed,
    ServiceStopped,
    ServiceStopStarted,
    ServiceUnchanged,
    StepEvent,
    StepRetried,
)
from domain.deployment.wait import WaitCause, WaitEnded, WaitReason, WaitStarted
from domain.pipeline.gate import Approval, OnTimeout
from domain.pipeline.ref import ServiceId, StageId
from projections.step import unchanged_words
from projections.words.subject import EventSubject, EventWords, NamedService, NamedStage


def deployment_event_words(deployment: Deployment, event: DeploymentEvent) -> EventWords:
    """Describe *event* of *deployment*, which may be at any state after it was planned: "Backend: build started"."""
    match event:
        case DeploymentPlanned(plan=plan, action=action):
            text = f"deployment {deployment.number} requested, pipeline version {plan.pipeline_version}"
            if plan.revision is not None:
                text += f", revision {plan.revision}"
            if plan.renew:
                text += ", to renew services, changed or not"
            if plan.undoes is not None:
                text += f": rollback after the failure of deployment {plan.undoes}"
            if plan.effect is not Effect.DEPLOY:
                text += f", to {plan.effect.lower()} services"
            return EventWords(text if plan.source is None else f"{text}: {_repeat_words(action)} {plan.source}")
        case DeploymentStarted():
            return EventWords(f"deployment {deployment.number} started")
        case DeploymentTakenUp(worker=worker):
            return EventWords(f"deployment {deployment.number} taken up by {worker}", EventSubject(worker=worker))
        case WaitStarted(cause=cause):
            return EventWords(f"waits: {cause_words(cause)}", EventSubject(wait_reason=cause.reason))
        case WaitEnded(cause=cause):
            end = "a worker runs" if cause.machine is None else f"the workers of machine {cause.machine} answer again"
            return EventWords(f"waits no longer: {end}", EventSubject(wait_reason=cause.reason))
        case StageStarted():
            return _stage_run_words(deployment, event.stage, "started")
        case StageSkipped():
            return _stage_run_words(deployment, event.stage, "skipped")
        case StageSucceeded():
            return _stage_run_words(deployment, event.stage, "succeeded")
        case StageFailed():
            return _stage_run_words(deployment, event.stage, "failed")
        case StageApprovalRequested() | StageApproved() | StageRejected() | StageApprovalTimedOut():
            return _gate_words(deployment, event)
        case StageWaitStarted() | StageWaitEnded() | StageCheckStarted() | StageCheckPassed() | StageCheckFailed():
            return _gate_words(deployment, event)
        case StageCheckAnswered():
            return _gate_words(deployment, event)
        case DeploymentHeld():
            return EventWords("held", EventSubject(wait_reason=WaitReason.HOLD))
        case DeploymentReleased():
            return EventWords("released", EventSubject(wait_reason=WaitReason.HOLD))
        case CancellationRequested(forced=True):
            return EventWords("cancellation requested, by force", EventSubject(cancellation=Cancellation.FORCED))
        case CancellationRequested():
            return EventWords("cancellation requested", EventSubject(cancellation=Cancellation.SAFE))
        case DeploymentSuperseded(number=number):
            return EventWords(f"superseded by deployment {number}", EventSubject(cancellation=Cancellation.SAFE))
        case TimeoutReached(seconds=seconds):
            return EventWords(f"not ended after {seconds:g} s, its timeout: running steps are stopped")
        case DeploymentSucceeded():
            return EventWords(f"deployment {deployment.number} succeeded")
        case DeploymentFailed():
            return _failure_words(deployment, event)
        case DeploymentTimedOut(seconds=seconds, rolls_back=rolls_back):
            reason = f"it had not ended after {seconds:g} s, its timeout"
            message = f"deployment {deployment.number} failed: {reason}"
            return EventWords(message + _undone(rolls_back), EventSubject(failure_reason=reason))
        case DeploymentCancelled():
            return EventWords(f"deployment {deployment.number} cancelled")
        case _:
            text, subject = _step_event_words(deployment, event)
            return EventWords(f"{_name(subject)}: {text}", subject)


def cause_words(cause: WaitCause) -> str:
    """Describe the cause of a wait: "no worker runs"."""
    match cause.reason:
        case WaitReason.APPROVAL:
            more = "an approval" if cause.missing == 1 else f"{cause.missing} approvals"
            others = " by others than its requester" if cause.needs_others else ""
            return f"stage {cause.stage} needs {more}{others}{_until(cause.deadline)}"
        case WaitReason.DEPLOYMENT:
            more = f" and {cause.more} more" if cause.more else ""
            return f"deployment {cause.number}{more} of the environment must end first"
        case WaitReason.TIME:
            return f"stage {cause.stage} waits{_until(cause.deadline)}"
        case WaitReason.CHECK:
            since = f" since {cause.answered_at.astimezone(UTC):%H:%M:%S} UTC" if cause.answered_at else ""
            last = f"; last: {cause.answer}{since}" if cause.answer else ""
            return f"stage {cause.stage} waits for its check of {cause.url}{_until(cause.deadline)}{last}"
        case WaitReason.HOLD:
            return "it is held, until somebody releases it"
        case WaitReason.FREEZE:
            return f"the environment is frozen until {cause.deadline:%Y-%m-%d %H:%M} UTC"
        case WaitReason.MACHINE:
            return f"the workers of machine {cause.machine} are silent"
        case WaitReason.WORKER:
            return "no worker runs"
        case _:
            assert_never(cause.reason)


def _until(deadline: datetime | None) -> str:
    return "" if deadline is None else f" until {deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _gate_words(deployment: Deployment, event: GateEvent) -> EventWords:
    run = next(run for run in deployment.stages if run.stage.id == event.stage)
    stage, approval = NamedStage(id=event.stage, name=run.stage.name), run.stage.approval or Approval()
    match event:
        case StageApprovalRequested(deadline=deadline):
            more = "an approval" if approval.count == 1 else f"{approval.count} approvals"
            subject = EventSubject(stage=stage, wait_reason=WaitReason.APPROVAL)
            return EventWords(f"{stage.name} needs {more}{_until(deadline)}", subject)
        case StageApproved():
            return EventWords(f"{stage.name} approved", EventSubject(stage=stage))
        case StageRejected(comment=comment):
            reason = "rejected" if comment is None else f"rejected: {comment}"
            return EventWords(f"{stage.name} {reason}", EventSubject(stage=stage, failure_reason=reason))
        case StageApprovalTimedOut():
            text = "not approved in time"
            if approval.on_timeout is OnTimeout.APPROVE:
                return EventWords(f"{stage.name} {text}; it starts all the same", EventSubject(stage=stage))
            return EventWords(f"{stage.name} {text}", EventSubject(stage=stage, failure_reason=text))
        case StageWaitStarted(until=until):
            subject = EventSubject(stage=stage, wait_reason=WaitReason.TIME)
            return EventWords(f"{stage.name} waits{_until(until)}", subject)
        case StageWaitEnded():
            return EventWords(f"{stage.name} has waited", EventSubject(stage=stage, wait_reason=WaitReason.TIME))
        case StageCheckStarted(deadline=deadline):
            url = "" if run.stage.check is None else f" of {run.stage.check.url}"
            subject = EventSubject(stage=stage, wait_reason=WaitReason.CHECK)
            return EventWords(f"{stage.name} waits for its check{url}{_until(deadline)}", subject)
        case StageCheckAnswered(problem=problem):
            subject = EventSubject(stage=stage, wait_reason=WaitReason.CHECK)
            return EventWords(f"{stage.name}: its check has not passed yet: {problem}", subject)
        case StageCheckPassed():
            subject = EventSubject(stage=stage, wait_reason=WaitReason.CHECK)
            return EventWords(f"{stage.name}: its check passed", subject)
        case StageCheckFailed(reason=reason):
            subject = EventSubject(stage=stage, failure_reason=reason)
            return EventWords(f"{stage.name}: its check failed: {reason}", subject)
        case _:
            assert_never(event)


def _failure_words(deployment: Deployment, event: DeploymentFailed) -> EventWords:
    text = f"deployment {deployment.number} failed"
    if event.service is None or event.phase is None:
        stage = next(run.stage for run in deployment.stages if run.stage.id == event.stage)
        subject = EventSubject(stage=NamedStage(id=stage.id, name=stage.name), failure_reason=event.reason)
        return EventWords(f"{text}: {stage.name} {event.reason}{_undone(event.rolls_back)}", subject)
    subject = _step_subject(deployment, event.service, phase=event.phase, failure_reason=event.reason)
    message = f"{text}: {_name(subject)}: {_lower(event.phase)} failed"
    return EventWords(message + _undone(event.rolls_back), subject)


def _step_event_words(deployment: Deployment, event: StepEvent) -> tuple[str, EventSubject]:
    def subject(
        phase: Phase | None = None,
        attempt: int | None = None,
        failure_reason: str | None = None,
        ports: tuple[int, ...] | None = None,
    ) -> EventSubject:
        return _step_subject(deployment, event.service, phase, attempt, failure_reason, ports)

    match event:
        case BuildStarted(attempt=attempt):
            return "build started" + _again(attempt), subject(Phase.BUILD, attempt)
        case BuildSucceeded(attempt=attempt, image=image):
            is_reused = image is not None and image.is_reused
            text = "nothing to build: the image is unchanged" if is_reused else "build succeeded"
            return text, subject(Phase.BUILD, attempt)
        case BuildFailed(attempt=attempt, reason=reason, is_allowed=is_allowed):
            return f"build failed{_allowed(is_allowed)}: {reason}", subject(Phase.BUILD, attempt, reason)
        case BuildSkipped():
            return "nothing to build", subject(Phase.BUILD)
        case ServiceDeployStarted(attempt=attempt):
            return "deploy started" + _again(attempt), subject(Phase.DEPLOY, attempt)
        case ServiceDeployed(attempt=attempt, ports=ports):
            return f"deployed{_on(ports)}", subject(Phase.DEPLOY, attempt, ports=ports)
        case ServiceDeployFailed(attempt=attempt, reason=reason, is_allowed=is_allowed):
            return f"deploy failed{_allowed(is_allowed)}: {reason}", subject(Phase.DEPLOY, attempt, reason)
        case StepRetried(phase=phase, attempt=attempt, reason=reason):
            text = f"{_lower(phase)} attempt {attempt} failed and will be tried again: {reason}"
            return text, subject(phase, attempt, reason)
        case ServiceCancellationRequested(forced=forced):
            return f"cancellation requested{', by force' if forced else ''}", subject()
        case ServiceCancelled():
            return "cancelled", subject()
        case ServiceUnchanged():
            return f"unchanged: {unchanged_words(event)}", subject()
        case ServiceOmitted(cause=cause, number=number):
            return f"left out: {omission_words(cause, number)}", subject()
        case ServiceStopStarted(attempt=attempt):
            return "stop started" + _again(attempt), subject(Phase.STOP, attempt)
        case ServiceStopped(attempt=attempt):
            return "stopped", subject(Phase.STOP, attempt)
        case InstanceDeleted(attempt=attempt):
            return "stopped, and its instance deleted", subject(Phase.STOP, attempt)
        case ServiceStopFailed(attempt=attempt, reason=reason):
            return f"stop failed: {reason}", subject(Phase.STOP, attempt, reason)
        case OldInstanceRestarted(attempt=attempt, number=number, ports=ports):
            text = f"the old instance, of deployment {number}, runs again{_on(ports)}"
            return text, subject(Phase.DEPLOY, attempt, ports=ports)
        case OldInstanceLost(attempt=attempt, number=number, reason=reason):
            text = f"the old instance, of deployment {number}, did not become healthy again: {reason}"
            return text, subject(Phase.DEPLOY, attempt, reason)
        case _:
            assert_never(event)


def _stage_run_words(deployment: Deployment, id_: StageId, text: str) -> EventWords:
    stage = next(run.stage for run in deployment.stages if run.stage.id == id_)
    named = NamedStage(id=id_, name=stage.name)
    return EventWords(f"{stage.name} {text}", EventSubject(stage=named))


def _step_subject(
    deployment: Deployment,
    id_: ServiceId,
    phase: Phase | None = None,
    attempt: int | None = None,
    failure_reason: str | None = None,
    ports: tuple[int, ...] | None = None,
) -> EventSubject:
    stage, service = next(
        (run.stage, each.service) for run in deployment.stages for each in run.services if each.service.id == id_
    )
    return EventSubject(
        stage=NamedStage(id=stage.id, name=stage.name),
        service=NamedService(id=service.id, name=service.name, type=service.type),
        phase=phase,
        attempt=attempt,
        failure_reason=failure_reason,
        ports=ports,
    )


def _name(subject: EventSubject) -> str:
    assert subject.service is not None, "a step is one of a service"
    return subject.service.name


def _on(ports: tuple[int, ...]) -> str:
    return f" on port {', '.join(map(str, ports))}" if ports else ""


def _again(attempt: int) -> str:
    return "" if attempt == 1 else f", attempt {attempt}"


def _repeat_words(action: Action) -> str:
    return "retry of deployment" if action is Action.RETRY else "rollback to deployment"


def _undone(rolls_back: bool) -> str:
    return "; the services that it renewed are rolled back" if rolls_back else ""


def _allowed(is_allowed: bool) -> str:
    return ", which is allowed" if is_allowed else ""


def _lower(phase: Phase) -> str:
    return phase.value.lower()
