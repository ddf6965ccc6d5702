"""The fold of a deployment: the state that its events lead to."""

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

from domain.deployment import gate as gates
from domain.deployment import step as steps
from domain.deployment.effect import Effect
from domain.deployment.gate import (
    GateEvent,
)
from domain.deployment.hold import DeploymentHeld, DeploymentReleased
from domain.deployment.instance import LastRun
from domain.deployment.plan import Plan, PlannedStage
from domain.deployment.stage import StageFailed, StageRun, StageSkipped, StageStarted, StageSucceeded, index_of
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
    Failure,
    StepFailed,
    TimeoutReached,
    WholeEvent,
)
from domain.deployment.step import (
    BuildFailed,
    Phase,
    ServiceDeployFailed,
    ServiceRun,
    ServiceStopFailed,
    Status,
    StepEvent,
    StepRun,
)
from domain.deployment.wait import WaitEnded, WaitStarted
from domain.pipeline import need as needs
from domain.pipeline.ref import ServiceId, StageId


def evolve(deployment: Deployment, event: DeploymentEvent) -> Deployment:
    return fold(deployment, (event,))


def fold(deployment: Deployment, events: Iterable[DeploymentEvent]) -> Deployment:
    """Apply one event after another; the runs of services are put back into their stages together."""
    changed: dict[tuple[int, int], ServiceRun] = {}
    for event in events:
        if isinstance(event, StepEvent):
            place = deployment.places.get(event.service.int)
            if place is not None:
                run = changed.get(place) or deployment.stages[place[0]].services[place[1]]
                changed[place] = steps.evolve(run, event)
            if isinstance(event, StepFailed):
                deployment = _failed(deployment, event)
        else:
            deployment = _evolve(_with_runs(deployment, changed), event)
            changed = {}
    return _with_runs(deployment, changed)


def _evolve(deployment: Deployment, event: WholeEvent) -> Deployment:
    match event:
        case DeploymentPlanned(environment=environment, number=number, action=action, plan=plan):
            stages = tuple(_planned(stage, plan.effect) for stage in plan.stages)
            places = {
                run.service.id.int: (stage, service)
                for stage, stage_run in enumerate(stages)
                for service, run in enumerate(stage_run.services)
            }
            planned = replace(deployment, environment=environment, number=number, action=action, plan=plan)
            return replace(planned, stages=stages, places=places, needed=_needed(plan))
        case DeploymentStarted(instances=instances, last_runs=last_runs, deadline=deadline, secrets=secrets):
            inherited = {each.service.int: each for each in instances}
            versions = {each.name: each.version for each in secrets}
            started = replace(deployment, status=Status.RUNNING, inherited=inherited, secrets=versions)
            started = replace(started, deadline=deadline)
            return _with_last_runs(started, last_runs) if last_runs else started
        case DeploymentTakenUp(worker=worker):
            return replace(deployment, worker=worker, wait=None)
        case WaitStarted(cause=cause):
            return replace(deployment, wait=cause)
        case WaitEnded():
            return replace(deployment, wait=None)
        case StageStarted(stage=stage):
            return _with_stage(deployment, stage, Status.RUNNING)
        case StageSkipped(stage=stage):
            return _with_stage(deployment, stage, Status.SKIPPED)
        case StageSucceeded(stage=stage):
            return _with_stage(deployment, stage, Status.SUCCEEDED)
        case StageFailed(stage=stage):
            return _with_stage(deployment, stage, Status.FAILED)
        case DeploymentHeld():
            return replace(deployment, is_held=True)
        case DeploymentReleased():
            return replace(deployment, is_held=False)
        case CancellationRequested(forced=forced):
            return replace(deployment, cancellation=Cancellation.FORCED if forced else Cancellation.SAFE)
        case DeploymentSuperseded():
            return replace(deployment, cancellation=Cancellation.SAFE)
        case TimeoutReached():
            return replace(deployment, has_timed_out=True)
        case DeploymentSucceeded():
            return replace(deployment, status=Status.SUCCEEDED)
        case DeploymentFailed(rolls_back=rolls_back) | DeploymentTimedOut(rolls_back=rolls_back):
            return replace(_over(deployment, Status.FAILED), rolls_back=rolls_back)
        case DeploymentCancelled():
            return _over(deployment, Status.CANCELLED)
        case _:
            return _with_gate(deployment, event)


def _with_last_runs(deployment: Deployment, last_runs: Iterable[LastRun]) -> Deployment:
    """Return the deployment with the specifications with which its services ran last."""
    changed = {}
    for last in last_runs:
        place = deployment.places.get(last.service.int)
        if place is not None:  # a view folds without the services
            run = deployment.stages[place[0]].services[place[1]]
            changed[place] = replace(run, service=replace(run.service, spec=last.spec), last=last)
    return _with_runs(deployment, changed)


def _planned(stage: PlannedStage, effect: Effect) -> StageRun:
    skipped = StepRun(status=Status.SKIPPED)
    services = []
    for service in stage.services:
        if service.is_skipped or service.is_done:
            over = ServiceRun(service=service, status=Status.SKIPPED, build=skipped, deploy=skipped)
            services.append(replace(over, endpoint=service.endpoint))
        elif effect is not Effect.DEPLOY:
            phase = Phase.STOP if effect.is_end else Phase.DEPLOY
            services.append(ServiceRun(service=service, build=skipped, phase=phase))
        elif service.spec.is_built:
            services.append(ServiceRun(service=service))
        else:  # the plan says that there is nothing to build, so no event does
            services.append(ServiceRun(service=service, build=skipped))
    return StageRun(stage=stage, services=tuple(services))


def _needed(plan: Plan) -> Mapping[str, ServiceId]:
    """Return the services to which others refer, by the keys of their names."""
    services = [service for stage in plan.stages for service in stage.services]
    keys = {key for service in services for key in needs.named_by(service)}
    return {key: each.id for key, each in needs.by_name(services).items() if key in keys} if keys else {}


def _failed(deployment: Deployment, event: StepFailed) -> Deployment:
    is_allowed = not isinstance(event, ServiceStopFailed) and event.is_allowed
    if deployment.failure or deployment.ending or is_allowed or deployment.current is None:
        return deployment
    stage, phase = deployment.current.stage.id, _phase(event)
    return replace(deployment, failure=Failure(stage=stage, service=event.service, phase=phase, reason=event.reason))


def _phase(event: StepFailed) -> Phase:
    match event:
        case BuildFailed():
            return Phase.BUILD
        case ServiceDeployFailed():
            return Phase.DEPLOY
        case ServiceStopFailed():
            return Phase.STOP
        case _:
            assert_never(event)


def _with_gate(deployment: Deployment, event: GateEvent) -> Deployment:
    """Return the deployment after *event*; a rejection is its failure."""
    stages = list(deployment.stages)
    place = next(place for place, run in enumerate(stages) if run.stage.id == event.stage)
    run = stages[place]
    gate = gates.evolve(run.gate, run.stage, event)
    stages[place] = replace(run, gate=gate)
    failure = deployment.failure
    if failure is None and gate.problem is not None:
        failure = Failure(stage=event.stage, reason=gate.problem)
    return replace(_with_stages(deployment, tuple(stages)), failure=failure)


def _over(deployment: Deployment, status: Status) -> Deployment:
    """Return the deployment ended with *status*; its incomplete stages are cancelled."""
    stages = tuple(run if run.status.is_final else replace(run, status=Status.CANCELLED) for run in deployment.stages)
    return replace(_with_stages(deployment, stages), status=status)


def _with_stage(deployment: Deployment, stage: StageId, status: Status) -> Deployment:
    stages = tuple(replace(run, status=status) if run.stage.id == stage else run for run in deployment.stages)
    return _with_stages(deployment, stages)


def _with_stages(deployment: Deployment, stages: tuple[StageRun, ...]) -> Deployment:
    return replace(deployment, stages=stages, index=index_of(stages))


def _with_runs(deployment: Deployment, changed: Mapping[tuple[int, int], ServiceRun]) -> Deployment:
    """Return the deployment with the runs in *changed*, which has them by the indexes of stage and service."""
    if not changed:
        return deployment
    stages, has_cancelled = list(deployment.stages), deployment.has_cancelled
    services = {place: list(stages[place].services) for place in {stage for stage, _ in changed}}
    for (stage, service), run in changed.items():
        services[stage][service] = run
        has_cancelled = has_cancelled or run.is_cancelled
    for stage, runs in services.items():
        stages[stage] = replace(stages[stage], services=tuple(runs))
    return replace(deployment, stages=tuple(stages), has_cancelled=has_cancelled)
