"""Steps and services of a deployment, with their times."""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.action import omission_words
from domain.deployment.plan import PlannedService
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
    ServiceRun,
    ServiceStopFailed,
    ServiceStopped,
    ServiceStopStarted,
    ServiceUnchanged,
    Status,
    StepEvent,
    StepRetried,
    StepRun,
    UsedImage,
)
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceSpec, ServiceType


class AttemptView(Struct, frozen=True, kw_only=True):
    """An attempt of a step that failed and was retried, with its error."""

    attempt: int
    started_at: datetime | None
    finished_at: datetime
    reason: str


class StepView(Struct, frozen=True, kw_only=True):
    """A step at its newest *attempt*.

    *reason* is the error of the last attempt that ended, if it failed, or why the service is unchanged or left out.

    *retried* are the earlier attempts, oldest first.

    A step that never started has no times. *retry_at* is the time until which it waits for its retry.
    """

    status: Status
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    retried: tuple[AttemptView, ...] = ()
    retry_at: datetime | None = None
    image: UsedImage | None = None

    @property
    def first_start(self) -> datetime | None:
        """The start of the first attempt."""
        return next((each.started_at for each in self.retried if each.started_at is not None), self.started_at)


class ServiceView(Struct, frozen=True, kw_only=True):
    """A service of a deployment, with its two steps; *ports* are those that it listens on.

    *source* is the number of the deployment whose specification it has, if it was rolled back after a failure.
    *phase* is that of the step after the build, `deploy`: STOP if the deployment ends the service.
    """

    id: ServiceId
    name: str
    type: ServiceType
    status: Status
    ports: tuple[int, ...] = ()
    source: int | None = None
    build: StepView
    deploy: StepView
    phase: Phase = Phase.DEPLOY


def planned(run: ServiceRun) -> ServiceView:
    """Return the view of a service that was just planned."""
    return ServiceView(
        id=run.service.id,
        name=run.service.name,
        type=run.service.type,
        status=run.status,
        source=run.service.source,
        build=StepView(status=run.build.status),
        deploy=StepView(status=run.deploy.status),
        phase=run.phase,
    )


def run_of(view: ServiceView) -> ServiceRun:
    """Return the state of a service. Its specification is missing: no fold of an event reads it."""
    return ServiceRun(
        service=PlannedService(id=view.id, name=view.name, type=view.type, spec=ServiceSpec()),
        status=view.status,
        build=_step_run(view.build),
        deploy=_step_run(view.deploy),
        phase=view.phase,
    )


def _step_run(view: StepView) -> StepRun:
    return StepRun(status=view.status, attempt=view.attempt, retry_at=view.retry_at)


def fold(view: ServiceView, after: ServiceRun, event: StepEvent, at: datetime) -> ServiceView:
    """Return the view of a service that *event* brought to the state *after*."""
    return replace(
        view,
        status=after.status,
        ports=event.ports if isinstance(event, ServiceDeployed) else view.ports,
        build=_fold_step(view.build, after.build, event, at),
        deploy=_fold_step(view.deploy, after.deploy, event, at),
    )


def _fold_step(step: StepView, after: StepRun, event: StepEvent, at: datetime) -> StepView:
    if (step.status, step.attempt) == (after.status, after.attempt):
        return step
    started_at, finished_at = times(step.started_at, after.status, at)
    return StepView(
        status=after.status,
        attempt=after.attempt,
        started_at=started_at,
        finished_at=finished_at,
        reason=_reason(step, after, event),
        retried=(*step.retried, _retried(step, event, at)) if isinstance(event, StepRetried) else step.retried,
        retry_at=after.retry_at,
        image=event.image if isinstance(event, BuildSucceeded | ServiceDeployed) else step.image,
    )


def _retried(step: StepView, event: StepRetried, at: datetime) -> AttemptView:
    return AttemptView(attempt=event.attempt, started_at=step.started_at, finished_at=at, reason=event.reason)


def _reason(step: StepView, after: StepRun, event: StepEvent) -> str | None:
    match event:
        case BuildFailed() | ServiceDeployFailed() | ServiceStopFailed() | StepRetried():
            # A failed build cancels its deploy, which keeps its own reason.
            return step.reason if after.status is Status.CANCELLED else event.reason
        case (
            BuildStarted()
            | ServiceDeployStarted()
            | ServiceStopStarted()
            | BuildSkipped()
            | ServiceCancelled()
            | ServiceCancellationRequested()
        ):
            return step.reason
        case OldInstanceRestarted() | OldInstanceLost():
            return step.reason
        case ServiceUnchanged():
            return unchanged_words(event)
        case ServiceOmitted(cause=cause, number=number):
            return omission_words(cause, number)
        case BuildSucceeded() | ServiceDeployed() | ServiceStopped() | InstanceDeleted():
            return None
        case _:
            assert_never(event)


def unchanged_words(event: ServiceUnchanged) -> str:
    """Return the reason why a service is unchanged."""
    return f"same specification and {'image' if event.is_by_image else 'revision'} as in deployment {event.number}"


def times(started_at: datetime | None, status: Status, at: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the start and end of a step or stage that got *status* at *at*; *started_at* is its start before."""
    match status:
        case Status.QUEUED:
            return None, None
        case Status.RUNNING:
            return at, None
        case Status.SUCCEEDED | Status.FAILED | Status.SKIPPED | Status.CANCELLED | Status.UNCHANGED:
            return started_at, None if started_at is None else at
        case _:
            assert_never(status)
