"""Events in words, with the names that things had then."""

from typing import assert_never

from domain.deployment.plan import PlannedService, PlannedStage
from domain.deployment.state import (
    CancellationRequested,
    Deployment,
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentTakenUp,
    StageFailed,
    StageSkipped,
    StageStarted,
    StageSucceeded,
)
from domain.deployment.step import (
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    Phase,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    StepEvent,
    StepRetried,
)
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentRenamed,
    TargetChanged,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import (
    Service,
    ServiceAdded,
    ServiceConfigured,
    ServiceEvent,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageEvent,
    StageHomeChanged,
    StageMoved,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent

# Pipelines


def pipeline_words(before: Pipeline, event: PipelineEvent) -> str:
    """*event* of a pipeline that was *before*, in words: "Backend moved from APPLICATION DEFAULT to third stage"."""
    match event:  # the most frequent first, as every case that is passed over takes time
        case ServiceConfigured() | ServiceMoved() | ServiceSkipped() | ServiceUnskipped():
            return _service_words(before, event)
        case ServiceRenamed() | ServiceAdded() | ServiceRemoved():
            return _service_words(before, event)
        case StageCreated() | StageRenamed() | StageDescribed() | StageMoved() | StagePolicyChanged():
            return _stage_words(before, event)
        case StageHomeChanged() | StageDeleted():
            return _stage_words(before, event)
        case _:
            return _environment_words(before, event)


def _environment_words(before: Pipeline, event: EnvironmentEvent) -> str:
    match event:
        case EnvironmentCreated(name=name):
            return f"{name} created"
        case EnvironmentRenamed(name=name):
            return f"{before.name} renamed to {name}"
        case TargetChanged(target=target):
            return f"{before.name}: target changed from {before.target} to {target}"
        case ConcurrencyChanged(concurrency=concurrency):
            return f"{before.name}: {concurrency} at once instead of {before.concurrency}"
        case EnvironmentDeleted():
            return f"{before.name} deleted"
        case _:
            assert_never(event)


def _stage_words(before: Pipeline, event: StageEvent) -> str:
    match event:
        case StageCreated(name=name, position=position):
            return f"{name} created at position {position}"
        case StageRenamed(stage=id_, name=name):
            return f"{before.stage(id_).name} renamed to {name}"
        case StageDescribed(stage=id_, description=""):
            return f"{before.stage(id_).name}: description removed"
        case StageDescribed(stage=id_, description=description):
            return f"{before.stage(id_).name} described: {description}"
        case StageMoved(stage=id_, source=source, target=target):
            return f"{before.stage(id_).name} moved from position {source} to {target}"
        case StagePolicyChanged(stage=id_, policy=policy):
            limit = (
                "as many at once as the environment" if policy.concurrency is None else f"{policy.concurrency} at once"
            )
            return f"{before.stage(id_).name}: {limit}"
        case StageHomeChanged(stage=id_, home_of=None):
            return f"{before.stage(id_).name}: no home of new services any more"
        case StageHomeChanged(stage=id_, home_of=home_of):
            return f"{before.stage(id_).name}: home of each new {home_of}"
        case StageDeleted(stage=id_):
            return f"{before.stage(id_).name} deleted"
        case _:
            assert_never(event)


def _service_words(before: Pipeline, event: ServiceEvent) -> str:
    match event:
        case ServiceConfigured(service=id_):
            return f"{before.service(id_).name}: specification changed"
        case ServiceMoved(source=source, target=target):
            name, goal = moved(before, event).name, before.stage(target).name
            if source is None:
                return f"{name} placed in {goal}"
            if source == target:
                return f"{name} moved to the end of {goal}"
            return f"{name} moved from {before.stage(source).name} to {goal}"
        case ServiceSkipped(service=id_):
            return f"{before.service(id_).name} skipped from now on"
        case ServiceUnskipped(service=id_):
            return f"{before.service(id_).name} no longer skipped"
        case ServiceRenamed(service=id_, name=name):
            return f"{before.service(id_).name} renamed to {name}"
        case ServiceAdded(name=name):
            return f"{name} added"
        case ServiceRemoved(service=id_):
            return f"{before.service(id_).name} removed"
        case _:
            assert_never(event)


def moved(before: Pipeline, event: ServiceMoved) -> Service:
    """The service that moves, or is placed for the first time."""
    is_new = event.source is None and before.incoming is not None
    return before.incoming if is_new and before.incoming else before.service(event.service)


# Deployments


def deployment_words(deployment: Deployment, event: DeploymentEvent) -> str:
    """*event* of *deployment*, at any time after it was planned, in words: "Backend: build started"."""
    match event:
        case DeploymentPlanned(plan=plan):
            return f"deployment {deployment.number} requested, pipeline version {plan.pipeline_version}"
        case DeploymentStarted():
            return f"deployment {deployment.number} started"
        case DeploymentTakenUp(worker=worker):
            return f"deployment {deployment.number} taken up by {worker}"
        case StageStarted(stage=id_):
            return f"{planned_stage(deployment, id_).name} started"
        case StageSkipped(stage=id_):
            return f"{planned_stage(deployment, id_).name} skipped"
        case StageSucceeded(stage=id_):
            return f"{planned_stage(deployment, id_).name} succeeded"
        case StageFailed(stage=id_):
            return f"{planned_stage(deployment, id_).name} failed"
        case CancellationRequested(forced=forced):
            return "cancellation requested, by force" if forced else "cancellation requested"
        case DeploymentSucceeded():
            return f"deployment {deployment.number} succeeded"
        case DeploymentFailed(service=id_, phase=phase):
            name = planned_service(deployment, id_).name
            return f"deployment {deployment.number} failed: {name}: {_lower(phase)} failed"
        case DeploymentCancelled():
            return f"deployment {deployment.number} cancelled"
        case _:
            return f"{planned_service(deployment, event.service).name}: {_step_words(event)}"


def _step_words(event: StepEvent) -> str:
    match event:
        case BuildStarted(attempt=attempt):
            return "build started" + _again(attempt)
        case BuildSucceeded():
            return "build succeeded"
        case BuildFailed(reason=reason):
            return f"build failed: {reason}"
        case BuildSkipped():
            return "nothing to build"
        case ServiceDeployStarted(attempt=attempt):
            return "deploy started" + _again(attempt)
        case ServiceDeployed(ports=ports):
            return "deployed" + (f" on port {', '.join(map(str, ports))}" if ports else "")
        case ServiceDeployFailed(reason=reason):
            return f"deploy failed: {reason}"
        case StepRetried(phase=phase, attempt=attempt, reason=reason):
            return f"{_lower(phase)} attempt {attempt} failed and will be tried again: {reason}"
        case ServiceCancelled():
            return "cancelled"
        case _:
            assert_never(event)


def planned_stage(deployment: Deployment, id_: StageId) -> PlannedStage:
    return next(run.stage for run in deployment.stages if run.stage.id == id_)


def planned_service(deployment: Deployment, id_: ServiceId) -> PlannedService:
    return next(each.service for run in deployment.stages for each in run.services if each.service.id == id_)


def _again(attempt: int) -> str:
    return "" if attempt == 1 else f", attempt {attempt}"


def _lower(phase: Phase) -> str:
    return phase.value.lower()
