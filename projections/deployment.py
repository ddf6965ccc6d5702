"""
Deployments of an environment, newest first: what the domain says of each, and when each thing became so.

Statuses are the domain's own: an event is folded by `domain.deployment.evolve`, and what changed gets its time.
"""

from collections.abc import Callable
from datetime import datetime
from typing import cast, get_args
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.fold import evolve
from domain.deployment.plan import PlannedService, PlannedStage
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import (
    Cancellation,
    Deployment,
    DeploymentEvent,
    DeploymentPlanned,
    DeploymentStarted,
    Failure,
    StageRun,
)
from domain.deployment.step import (
    BuildFailed,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceRun,
    Status,
    StepRetried,
    StepRun,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec, ServiceType
from projections.engine.projection import Projection, Reader
from projections.engine.replay import Replay
from projections.engine.views import FIRST, ListPlace, Page, Slice, Views
from store.log import EventLog, Recorded

EVENTS = frozenset(get_args(DeploymentEvent))


class StepView(Struct, frozen=True, kw_only=True):
    """*attempt* as far as it has come; *reason* is why the last attempt that ended failed, if it did.

    What never began has no times.
    """

    status: Status
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None


class ServiceView(Struct, frozen=True, kw_only=True):
    id: ServiceId
    name: str
    type: ServiceType
    status: Status
    ports: tuple[int, ...] = ()
    build: StepView
    deploy: StepView


class StageView(Struct, frozen=True, kw_only=True):
    id: StageId
    position: int
    name: str
    status: Status
    started_at: datetime | None = None
    finished_at: datetime | None = None
    services: tuple[ServiceView, ...] = ()


class DeploymentSummary(Struct, frozen=True, kw_only=True):
    """*actor* requested it, for *reason*; *worker* carries it out."""

    id: DeploymentId
    environment: EnvironmentId
    number: int
    action: Action
    status: Status
    actor: str
    reason: str | None
    pipeline_version: int
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancellation: Cancellation | None = None
    failure: Failure | None = None
    worker: str | None = None
    version: int
    position: int


class DeploymentView(DeploymentSummary, frozen=True, kw_only=True):
    """The same with all its steps, of which there may be thousands."""

    stages: tuple[StageView, ...]


def key(recorded: Recorded) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: DeploymentView | None, recorded: Recorded) -> DeploymentView | None:
    event = cast("DeploymentEvent", recorded.event)
    if isinstance(event, DeploymentPlanned):
        return _planned(event, recorded)
    if view is None:
        return None
    at = recorded.recorded_at
    after = evolve(_state(view, getattr(event, "service", None)), event)
    return replace(
        view,
        status=after.status,
        started_at=at if isinstance(event, DeploymentStarted) else view.started_at,
        finished_at=at if after.status.is_final else None,
        cancellation=after.cancellation,
        failure=after.failure,
        worker=after.worker,
        stages=tuple(_stage(stage, run, event, at) for stage, run in zip(view.stages, after.stages, strict=True)),
        version=recorded.version,
        position=recorded.position,
    )


def place(view: DeploymentView) -> ListPlace:
    return ListPlace(parent=str(view.environment), sort=f"{view.number:010}")


projection = Projection("deployment", 3, DeploymentView, key, fold, place)


def _planned(event: DeploymentPlanned, recorded: Recorded) -> DeploymentView:
    planned = evolve(Deployment(), event)
    return DeploymentView(
        id=DeploymentId(recorded.stream),
        environment=event.environment,
        number=event.number,
        action=event.action,
        status=planned.status,
        actor=recorded.by.actor,
        reason=recorded.by.reason,
        pipeline_version=event.plan.pipeline_version,
        requested_at=recorded.recorded_at,
        stages=tuple(
            StageView(
                id=run.stage.id,
                position=position,
                name=run.stage.name,
                status=run.status,
                services=tuple(map(_service, run.services)),
            )
            for position, run in enumerate(planned.stages, 1)
        ),
        version=recorded.version,
        position=recorded.position,
    )


def _service(run: ServiceRun) -> ServiceView:
    return ServiceView(
        id=run.service.id,
        name=run.service.name,
        type=run.service.type,
        status=run.status,
        build=StepView(status=run.build.status),
        deploy=StepView(status=run.deploy.status),
    )


def _state(view: DeploymentView, service: ServiceId | None) -> Deployment:
    """The domain's state with no service but *service*: an event changes no other, and a plan may have a thousand.

    Ids are compared as integers, which is much quicker than as UUIDs.
    """
    wanted = None if service is None else service.int
    stages = tuple(
        StageRun(
            stage=PlannedStage(id=stage.id, name=stage.name, concurrency=1),
            status=stage.status,
            services=tuple(_run(each) for each in stage.services if each.id.int == wanted),
        )
        for stage in view.stages
    )
    places = {run.service.id.int: (place, 0) for place, stage in enumerate(stages) for run in stage.services}
    return Deployment(
        environment=view.environment,
        number=view.number,
        action=view.action,
        status=view.status,
        worker=view.worker,
        stages=stages,
        places=places,
        failure=view.failure,
        cancellation=view.cancellation,
    )


def _run(view: ServiceView) -> ServiceRun:
    return ServiceRun(
        service=PlannedService(id=view.id, name=view.name, type=view.type, spec=ServiceSpec()),
        status=view.status,
        build=StepRun(status=view.build.status, attempt=view.build.attempt),
        deploy=StepRun(status=view.deploy.status, attempt=view.deploy.attempt),
    )


def _stage(stage: StageView, after: StageRun, event: DeploymentEvent, at: datetime) -> StageView:
    if after.services:
        changed = {run.service.id.int: run for run in after.services}
        services = tuple(
            _with_run(each, changed[each.id.int], event, at) if each.id.int in changed else each
            for each in stage.services
        )
        stage = replace(stage, services=services)
    if stage.status is after.status:
        return stage
    started_at, finished_at = _times(stage, after.status, at)
    return replace(stage, status=after.status, started_at=started_at, finished_at=finished_at)


def _with_run(service: ServiceView, after: ServiceRun, event: DeploymentEvent, at: datetime) -> ServiceView:
    return replace(
        service,
        status=after.status,
        ports=event.ports if isinstance(event, ServiceDeployed) else service.ports,
        build=_step(service.build, after.build, event, at),
        deploy=_step(service.deploy, after.deploy, event, at),
    )


def _step(step: StepView, after: StepRun, event: DeploymentEvent, at: datetime) -> StepView:
    if (step.status, step.attempt) == (after.status, after.attempt):
        return step
    match event:
        case BuildFailed() | ServiceDeployFailed() | StepRetried() if after.status is not Status.CANCELLED:
            reason: str | None = event.reason
        case _:
            reason = None if after.status is Status.SUCCEEDED else step.reason
    started_at, finished_at = _times(step, after.status, at)
    return StepView(
        status=after.status, attempt=after.attempt, started_at=started_at, finished_at=finished_at, reason=reason
    )


def _times(before: StageView | StepView, status: Status, at: datetime) -> tuple[datetime | None, datetime | None]:
    """When that which is now *status* was started and finished, if it was."""
    match status:
        case Status.QUEUED:
            return None, None
        case Status.RUNNING:
            return at, None
        case _:
            return before.started_at, None if before.started_at is None else at


class Deployments:
    def __init__(self, views: Views, log: EventLog) -> None:
        self._rows = Reader(views, projection)
        self._replay = Replay(log, projection)

    async def get(self, deployment: DeploymentId) -> DeploymentView | None:
        """The deployment as its row has it."""
        return await self._rows.get(deployment)

    async def read(self, deployment: DeploymentId, version: int | None = None) -> DeploymentView | None:
        """The deployment straight from the log: as new as that, or as it was at *version*."""
        return await self._replay.get(deployment, version)

    async def list(
        self, environment: EnvironmentId, part: Slice = FIRST, *, has_steps: bool = True
    ) -> Page[DeploymentSummary]:
        """The newest first, as `DeploymentView` or without their steps, which takes a fraction of the time.

        Raises `InvalidArgument` for what is no cursor.
        """
        decode: Callable[[bytes], DeploymentSummary] = projection.decode if has_steps else _summaries.decode
        return await self._rows.read_list(str(environment), part, decode, is_descending=True)


_summaries = msgspec.json.Decoder(DeploymentSummary)
