"""The rules of a deployment: which events answer a command, and what follows by itself."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from domain import name as names
from domain.deployment import gate as gates
from domain.deployment import review as reviews
from domain.deployment import wait as waits
from domain.deployment.action import omissions, since
from domain.deployment.converge import known_before, replaced, unchanged_jobs
from domain.deployment.effect import Effect
from domain.deployment.fold import evolve, fold
from domain.deployment.gate import ApproveStage, GateEvent, RejectStage, Review
from domain.deployment.hold import (
    DeploymentHeld,
    DeploymentReleased,
    HoldCommand,
    HoldDeployment,
    HoldEvent,
    ReleaseDeployment,
)
from domain.deployment.instance import Instance
from domain.deployment.queue import Action
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    Cancellation,
    CancellationRequested,
    CancelServices,
    Deployment,
    DeploymentCancelled,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentTakenUp,
    DeploymentTimedOut,
    PlanDeployment,
    SupersedeDeployment,
    TakeUpDeployment,
    TimeoutReached,
)
from domain.deployment.step import (
    MAX_REASON,
    AbortStep,
    BuildFailed,
    BuildStarted,
    BuildSucceeded,
    FailStep,
    InstanceDeleted,
    KeepStep,
    OldInstanceLost,
    OldInstanceRestarted,
    Omission,
    Phase,
    ServiceCancellationRequested,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceOmitted,
    ServiceRun,
    ServiceStopFailed,
    ServiceStopped,
    ServiceStopStarted,
    ServiceUnchanged,
    StartStep,
    Status,
    Step,
    StepCommand,
    StepRetried,
    SucceedStep,
    retry_at,
)
from domain.deployment.wait import RecordWait
from domain.errors import DeploymentNotFound, DeploymentOver, Fenced, ServiceNotFound, StepNotDue
from domain.pipeline.ref import ServiceRef
from domain.pipeline.stage import OnFailure
from domain.spec import UNSTORABLE

UNDOABLE = Action.DEPLOY, Action.REDEPLOY, Action.RETRY
"""Actions after whose failure the server may roll back."""

Decided = tuple[list[DeploymentEvent], Deployment]
"""Events, and the deployment after them."""


def decide(deployment: Deployment, command: DeploymentCommand) -> list[DeploymentEvent]:
    """Return the events that answer *command*; raises `Refused`."""
    return advance(deployment, command)[0]


def advance(deployment: Deployment, command: DeploymentCommand) -> Decided:
    """Return the events of `decide` and the deployment after them; raises `Refused`."""
    if isinstance(command, PlanDeployment):
        if deployment.plan is not None:
            return [], deployment
        planned = DeploymentPlanned(
            environment=command.environment,
            number=command.number,
            action=command.action,
            plan=command.plan,
            trace=command.trace,
        )
        return [planned], evolve(deployment, planned)
    if deployment.plan is None:
        raise DeploymentNotFound(deployment="")
    if isinstance(command, AdvanceDeployment):
        return _report(deployment, command)
    events = _decide(deployment, command)
    return _with_consequences(events, fold(deployment, events))


def _report(deployment: Deployment, command: AdvanceDeployment) -> Decided:
    if deployment.worker not in (None, command.worker):
        raise Fenced(worker=deployment.worker)
    events: list[DeploymentEvent] = []
    ended: list[DeploymentEvent] = []  # not folded in yet
    services: set[int] = set()
    for outcome in command.outcomes:
        service = outcome.step.service.int
        if not isinstance(outcome, SucceedStep) or service in services:  # it depends on the events before it
            deployment, ended = fold(deployment, ended), []
        services.add(service)
        with suppress(StepNotDue):
            ended += (decided := _decide_step(deployment, outcome))
            events += decided
    events, deployment = _with_consequences(events, fold(deployment, ended))
    if command.is_overdue and (overdue := _overdue(deployment)):
        overdue, deployment = _with_consequences(overdue, fold(deployment, overdue))
        events += overdue
    while gate := _gate_event(deployment, command):
        more, deployment = _with_consequences([gate], fold(deployment, [gate]))
        events += more
    ready = [step for step in deployment.startable if step in command.waited or not deployment.retry_at(step)]
    started = [_started(deployment, step) for step in ready]
    return events + started, fold(deployment, started)


def _overdue(deployment: Deployment) -> list[DeploymentEvent]:
    """Return the event of the deadline, once, unless the deployment has ended."""
    is_running = deployment.status is Status.RUNNING and not deployment.has_timed_out
    timeout = None if deployment.plan is None or deployment.deadline is None else deployment.plan.timeout
    return [] if timeout is None or not is_running else [TimeoutReached(seconds=timeout)]


def _gate_event(deployment: Deployment, command: AdvanceDeployment) -> GateEvent | None:
    """Return the event that opens the gate in front of the next stage, or ends it when its time is over."""
    run, gate = deployment.next_stage, deployment.gate
    if run is None or gate is None:
        return None
    if deployment.is_gate_closed:
        return gates.opened(run.stage, gate.kind, command.at)
    outcome = next((each for each in command.checks if each.gate == gate), None)
    if outcome is not None:
        return gates.checked(run.gate, run.stage, outcome, command.at)
    return gates.elapsed(run.stage, gate.kind) if gate in command.waited else None


def _started(deployment: Deployment, step: Step) -> DeploymentEvent:
    """Return the start of *step*, with the values of the references of its service."""
    if step.phase is Phase.STOP:
        return ServiceStopStarted(service=step.service, attempt=step.attempt)
    started = BuildStarted if step.phase is Phase.BUILD else ServiceDeployStarted
    run = deployment.run_of(step.service)
    values = () if run is None else deployment.values(run)
    return started(service=step.service, attempt=step.attempt, values=values)


def _decide(
    deployment: Deployment,
    command: TakeUpDeployment
    | StepCommand
    | CancelDeployment
    | CancelServices
    | SupersedeDeployment
    | RecordWait
    | Review
    | HoldCommand,
) -> list[DeploymentEvent]:
    match command:
        case TakeUpDeployment(worker=worker, instances=instances, last_runs=last_runs, secrets=secrets, at=at):
            if deployment.status.is_final:
                raise DeploymentOver(status=deployment.status.value.lower())
            if deployment.worker == worker:
                return [*waits.decide(deployment.wait, None)]
            taken = DeploymentTakenUp(worker=worker)
            if deployment.status is Status.RUNNING:
                return [taken]
            relevant, deadline = _relevant(deployment, instances), _deadline(deployment, at)
            started = DeploymentStarted(instances=relevant, last_runs=last_runs, deadline=deadline, secrets=secrets)
            return [started, taken]
        case CancelDeployment(forced=forced):
            if deployment.status.is_final:
                raise DeploymentOver(status=deployment.status.value.lower())
            if deployment.ending is Cancellation.FORCED or (deployment.cancellation and not forced):
                return []
            return [CancellationRequested(forced=forced)]
        case CancelServices(services=services, forced=forced):
            if deployment.status.is_final:
                raise DeploymentOver(status=deployment.status.value.lower())
            return _cancelled_services(deployment, services, forced)
        case SupersedeDeployment(number=number):
            is_waiting = deployment.status is Status.QUEUED and deployment.cancellation is None
            return [DeploymentSuperseded(number=number)] if is_waiting else []
        case RecordWait(cause=cause):
            return [] if deployment.status.is_final else [*waits.decide(deployment.wait, cause)]
        case HoldDeployment() | ReleaseDeployment():
            return [*_hold(deployment, command)]
        case ApproveStage() | RejectStage():
            return [*reviews.decide(deployment, command)]
        case StartStep() | SucceedStep() | KeepStep() | FailStep() | AbortStep():
            if deployment.worker not in (None, command.worker):
                raise Fenced(worker=deployment.worker)
            return _decide_step(deployment, command)
        case _:
            assert_never(command)


def _hold(deployment: Deployment, command: HoldCommand) -> list[HoldEvent]:
    """Return the event of *command*, none if nothing new starts anyway; raises `DeploymentOver`."""
    if deployment.status.is_final:
        raise DeploymentOver(status=deployment.status.value.lower())
    match command:
        case HoldDeployment():
            return [] if deployment.is_held or deployment.ending else [DeploymentHeld()]
        case ReleaseDeployment():
            return [DeploymentReleased()] if deployment.is_held else []
        case _:
            assert_never(command)


def _decide_step(deployment: Deployment, command: StepCommand) -> list[DeploymentEvent]:
    step = command.step
    run = deployment.run_of(step.service)
    if run is None or step != run.next or not (run.is_busy or step in deployment.due()):
        raise _not_due(step, run)
    is_running = run.step(step.phase).status is Status.RUNNING
    service, attempt = step.service, step.attempt
    match command:
        case StartStep():
            if is_running:
                return []
            return [_started(deployment, step)]
        case _ if not is_running:
            raise _not_due(step, run)
        case SucceedStep():
            return [_succeeded(deployment, command)]
        case KeepStep():
            unchanged = known_before(deployment, step)
            if unchanged is None:
                raise _not_due(step, run)
            plan = deployment.plan
            if plan is not None and plan.effect is Effect.START:
                return [ServiceOmitted(service=service, cause=Omission.RUNNING, number=unchanged.number)]
            is_by_image = plan is not None and plan.revision is None
            return [ServiceUnchanged(service=service, number=unchanged.number, is_by_image=is_by_image)]
        case FailStep():
            reason, old = _storable(command.reason), _old_instance(command)
            if run.is_cancelled:
                return [ServiceCancelled(service=service), *old]
            if attempt <= run.service.spec.retries and not deployment.is_stopping:
                at = retry_at(run.service.spec, command)
                again = StepRetried(service=service, phase=step.phase, attempt=attempt, reason=reason, retry_at=at)
                return [again, *old]
            if step.phase is Phase.STOP:
                return [ServiceStopFailed(service=service, attempt=attempt, reason=reason)]
            failed = BuildFailed if step.phase is Phase.BUILD else ServiceDeployFailed
            is_allowed = run.service.spec.allow_failure
            return [failed(service=service, attempt=attempt, reason=reason, is_allowed=is_allowed), *old]
        case AbortStep():
            if deployment.ending is not Cancellation.FORCED and not run.is_stopped:
                raise _not_due(step, run)
            return [ServiceCancelled(service=service), *_old_instance(command)]
        case _:
            assert_never(command)


def _cancelled_services(
    deployment: Deployment, services: tuple[ServiceRef, ...], forced: bool
) -> list[DeploymentEvent]:
    """Return the events that cancel *services*, without those that have ended; raises `ServiceNotFound`."""
    runs = [run for stage in deployment.stages for run in stage.services]
    events: list[DeploymentEvent] = []
    for ref in dict.fromkeys(services):
        key = ref if isinstance(ref, UUID) else names.key(ref)
        run = next((each for each in runs if key in (each.service.id, names.key(each.service.name))), None)
        if run is None:
            raise ServiceNotFound(service=str(ref))
        if not run.status.is_final and not (run.is_stopped or (run.is_cancelled and not forced)):
            events.append(ServiceCancellationRequested(service=run.service.id, forced=forced))
    return events


def _deadline(deployment: Deployment, at: datetime | None) -> datetime | None:
    timeout = None if deployment.plan is None else deployment.plan.timeout
    return None if timeout is None or at is None else at + timedelta(seconds=timeout)


def _succeeded(deployment: Deployment, command: SucceedStep) -> DeploymentEvent:
    step, image = command.step, command.image
    service, attempt = step.service, step.attempt
    match step.phase:
        case Phase.BUILD:
            return BuildSucceeded(service=service, attempt=attempt, image=image)
        case Phase.DEPLOY:
            ports, outputs = command.ports, command.outputs
            return ServiceDeployed(service=service, attempt=attempt, ports=ports, outputs=outputs, image=image)
        case Phase.STOP:
            is_delete = deployment.plan is not None and deployment.plan.effect is Effect.DELETE
            return (InstanceDeleted if is_delete else ServiceStopped)(service=service, attempt=attempt)
        case _:
            assert_never(step.phase)


def _relevant(deployment: Deployment, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return the instances of services that exist: the plan has all of them, unless it is partial or an earlier one."""
    if deployment.plan is None or deployment.plan.is_partial or deployment.plan.is_repeat:
        return instances
    return tuple([each for each in instances if each.service.int in deployment.places])


def _old_instance(command: FailStep | AbortStep) -> list[DeploymentEvent]:
    """Return the event that says whether the old instance runs again, if the attempt had stopped one."""
    old, service, attempt = command.old, command.step.service, command.step.attempt
    if old is None:
        return []
    if old.problem is None:
        return [OldInstanceRestarted(service=service, attempt=attempt, number=old.number, ports=old.ports)]
    reason = _storable(old.problem)
    return [OldInstanceLost(service=service, attempt=attempt, number=old.number, reason=reason)]


def _storable(reason: str) -> str:
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", reason[:MAX_REASON])


def _not_due(step: Step, run: ServiceRun | None) -> StepNotDue:
    name = run.service.name if run else str(step.service)
    return StepNotDue(phase=step.phase.value, service=name, attempt=step.attempt)


def _with_consequences(events: list[DeploymentEvent], deployment: Deployment) -> Decided:
    """Return *events* and all that follow from them, and the deployment after all of these."""
    events = list(events)
    while events and (more := list(_next(deployment))):
        events += more
        deployment = fold(deployment, more)
    return events, deployment


def _next(deployment: Deployment) -> Iterator[DeploymentEvent]:
    if deployment.status.is_final:
        return
    stage = deployment.current
    is_between = stage is None and deployment.status is Status.RUNNING
    waiting = deployment.waiting if is_between else ()
    if doomed := deployment.doomed:
        yield from (ServiceCancelled(service=run.service.id) for run in doomed)
    elif refused := deployment.refused:
        yield StageFailed(stage=refused.stage.id)
    elif left := omissions(deployment):
        yield from (_omitted(deployment, run, cause) for run, cause in left)
    elif jobs := unchanged_jobs(deployment):
        yield from (ServiceUnchanged(service=job.service, number=job.number) for job in jobs)
    elif stage and stage.is_complete:
        yield StageSucceeded(stage=stage.stage.id)
    elif stage and stage.is_over and stage.has_failed and deployment.failure:
        yield StageFailed(stage=stage.stage.id)
    elif is_between and not waiting:
        yield _end(deployment, DeploymentSucceeded())
    elif is_between and waiting[0].stage.is_skipped:
        yield StageSkipped(stage=waiting[0].stage.id)
    elif deployment.ending:
        if not deployment.running:
            yield _end(deployment, DeploymentCancelled())
    elif is_between and deployment.gate is None and not deployment.is_held:
        yield StageStarted(stage=waiting[0].stage.id)


def _omitted(deployment: Deployment, run: ServiceRun, cause: Omission) -> ServiceOmitted:
    id_ = run.service.id
    return ServiceOmitted(service=id_, cause=cause, number=since(cause, deployment.inherited.get(id_.int)))


def _end(deployment: Deployment, otherwise: DeploymentSucceeded | DeploymentCancelled) -> DeploymentEvent:
    """Return the failure of *deployment*, or *otherwise*."""
    failure, plan = deployment.failure, deployment.plan
    if failure is None and isinstance(otherwise, DeploymentCancelled) and deployment.cancellation is None:
        seconds = 0.0 if plan is None or plan.timeout is None else plan.timeout
        return DeploymentTimedOut(seconds=seconds, rolls_back=_rolls_back(deployment))
    if failure is None:
        return otherwise
    return DeploymentFailed(
        stage=failure.stage,
        service=failure.service,
        phase=failure.phase,
        reason=failure.reason,
        rolls_back=_rolls_back(deployment),
    )


def _rolls_back(deployment: Deployment) -> bool:
    """Return whether the failure of *deployment* is to be undone, and something can be.

    A rollback that fails is not rolled back, and neither is a deployment that somebody cancelled.
    """
    plan = deployment.plan
    if deployment.action not in UNDOABLE or plan is None or plan.effect is not Effect.DEPLOY or deployment.cancellation:
        return False
    failed = [run.stage.on_failure for run in deployment.stages if run.has_failed]
    if deployment.has_timed_out:
        failed.append(plan.on_failure)
    return OnFailure.ROLL_BACK in failed and bool(replaced(deployment))
