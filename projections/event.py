"""Events told: each with its words and with what it speaks of, by the names that things had then."""

from typing import assert_never, cast

from msgspec import Struct

from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.deployment.plan import PlannedService, PlannedStage
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
    StepRetried,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import (
    Service,
    ServiceAdded,
    ServiceConfigured,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    Stage,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.spec import ServiceType
from projections.words import deployment_words, moved, pipeline_words, planned_service, planned_stage
from store.log import Recorded


class NamedStage(Struct, frozen=True, kw_only=True):
    id: StageId
    name: str


class NamedService(Struct, frozen=True, kw_only=True):
    id: ServiceId
    name: str
    type: ServiceType


class About(Struct, frozen=True, kw_only=True):
    """What an event speaks of; *detail* is why a step failed, who took up, or how it is to be cancelled.

    A stage or service that gets a new name has it already.
    """

    stage: NamedStage | None = None
    service: NamedService | None = None
    phase: Phase | None = None
    attempt: int | None = None
    detail: str | None = None
    ports: tuple[int, ...] | None = None


class Told(Struct, frozen=True, kw_only=True):
    """An event with its words; *number* is that of the deployment it happened in, 0 for one of a pipeline."""

    recorded: Recorded
    message: str
    about: About
    number: int = 0


class PipelineStory:
    """Tells the events of one pipeline in their order, after the state *before* the first of them."""

    def __init__(self, before: Pipeline = pipelines.decider.initial) -> None:
        self._state = before

    def tell(self, recorded: Recorded) -> Told:
        event = cast("PipelineEvent", recorded.event)
        before, self._state = self._state, pipelines.evolve(self._state, event)
        about = pipeline_about(before, event)
        return Told(recorded=recorded, message=pipeline_words(before, event), about=about)


class DeploymentStory:
    """Tells the events of one deployment, any of them: all their names are in the first one, *planned*."""

    def __init__(self, planned: DeploymentPlanned) -> None:
        self._deployment = deployments.evolve(deployments.decider.initial, planned)

    def tell(self, recorded: Recorded) -> Told:
        event = cast("DeploymentEvent", recorded.event)
        about = deployment_about(self._deployment, event)
        message = deployment_words(self._deployment, event)
        return Told(recorded=recorded, message=message, about=about, number=self._deployment.number)


def pipeline_about(before: Pipeline, event: PipelineEvent) -> About:
    """What *event* of a pipeline that was *before* speaks of; a service that moves stands in its new stage."""
    match event:
        case StageCreated(stage=id_, name=name) | StageRenamed(stage=id_, name=name):
            return About(stage=NamedStage(id=id_, name=name))
        case StageDescribed() | StageMoved() | StagePolicyChanged() | StageHomeChanged() | StageDeleted():
            return About(stage=_named_stage(before.stage(event.stage)))
        case ServiceAdded(service=id_, name=name, type=type_):
            return About(service=NamedService(id=id_, name=name, type=type_))
        case ServiceMoved(target=target):
            service, stage = moved(before, event), before.stage(target)
            return About(stage=_named_stage(stage), service=_named_service(service))
        case ServiceRenamed() | ServiceConfigured() | ServiceSkipped() | ServiceUnskipped() | ServiceRemoved():
            service, stage = before.service(event.service), before.stage_of(event.service)
            name = event.name if isinstance(event, ServiceRenamed) else service.name
            return About(stage=_named_stage(stage), service=NamedService(id=service.id, name=name, type=service.type))
        case _:
            return About()


def deployment_about(deployment: Deployment, event: DeploymentEvent) -> About:
    """What *event* of *deployment*, at any time after it was planned, speaks of."""
    match event:
        case DeploymentTakenUp(worker=worker):
            return About(detail=worker)
        case CancellationRequested(forced=forced):
            return About(detail=Cancellation.FORCED if forced else Cancellation.SAFE)
        case StageStarted() | StageSkipped() | StageSucceeded() | StageFailed():
            return About(stage=_named_stage(planned_stage(deployment, event.stage)))
        case DeploymentPlanned() | DeploymentStarted() | DeploymentSucceeded() | DeploymentCancelled():
            return About()
        case DeploymentFailed(phase=phase, reason=reason):
            return _about_step(deployment, event.service, phase=phase, detail=reason)
        case BuildStarted(attempt=attempt) | BuildSucceeded(attempt=attempt):
            return _about_step(deployment, event.service, phase=Phase.BUILD, attempt=attempt)
        case BuildFailed(attempt=attempt, reason=reason):
            return _about_step(deployment, event.service, phase=Phase.BUILD, attempt=attempt, detail=reason)
        case BuildSkipped():
            return _about_step(deployment, event.service, phase=Phase.BUILD)
        case ServiceDeployStarted(attempt=attempt):
            return _about_step(deployment, event.service, phase=Phase.DEPLOY, attempt=attempt)
        case ServiceDeployed(attempt=attempt, ports=ports):
            return _about_step(deployment, event.service, phase=Phase.DEPLOY, attempt=attempt, ports=ports)
        case ServiceDeployFailed(attempt=attempt, reason=reason):
            return _about_step(deployment, event.service, phase=Phase.DEPLOY, attempt=attempt, detail=reason)
        case StepRetried(phase=phase, attempt=attempt, reason=reason):
            return _about_step(deployment, event.service, phase=phase, attempt=attempt, detail=reason)
        case ServiceCancelled():
            return _about_step(deployment, event.service)
        case _:
            assert_never(event)


def _about_step(
    deployment: Deployment,
    service: ServiceId,
    phase: Phase | None = None,
    attempt: int | None = None,
    detail: str | None = None,
    ports: tuple[int, ...] | None = None,
) -> About:
    stage = next(run.stage for run in deployment.stages for each in run.services if each.service.id == service)
    return About(
        stage=_named_stage(stage),
        service=_named_service(planned_service(deployment, service)),
        phase=phase,
        attempt=attempt,
        detail=detail,
        ports=ports,
    )


def _named_stage(stage: Stage | PlannedStage) -> NamedStage:
    return NamedStage(id=stage.id, name=stage.name)


def _named_service(service: Service | PlannedService) -> NamedService:
    return NamedService(id=service.id, name=service.name, type=service.type)
