"""A deployment's state, with its events and commands."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from domain.deployment.plan import Plan, PlannedStage
from domain.deployment.queue import Action
from domain.deployment.step import (
    DONE,
    BuildFailed,
    Phase,
    ServiceDeployFailed,
    ServiceRun,
    Status,
    Step,
    StepCommand,
    StepEvent,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId


class DeploymentPlanned(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment was requested with *plan*; later changes of the pipeline don't affect it."""

    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan


class DeploymentStarted(Struct, frozen=True, kw_only=True, gc=False): ...


class DeploymentTakenUp(Struct, frozen=True, kw_only=True, gc=False):
    """*worker* carries out the deployment from now on; reports of the former worker are refused."""

    worker: str


class StageStarted(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageSkipped(Struct, frozen=True, kw_only=True, gc=False):
    """The stage has no services, or all of them are skipped."""

    stage: StageId


class StageSucceeded(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageFailed(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class CancellationRequested(Struct, frozen=True, kw_only=True, gc=False):
    """No new step starts; if *forced*, running steps are stopped as well."""

    forced: bool


class DeploymentSucceeded(Struct, frozen=True, kw_only=True, gc=False): ...


class DeploymentFailed(Struct, frozen=True, kw_only=True, gc=False):
    """*phase* of *service* was the first step that failed, with *reason*."""

    stage: StageId
    service: ServiceId
    phase: Phase
    reason: str


class DeploymentCancelled(Struct, frozen=True, kw_only=True, gc=False): ...


WholeEvent = (
    DeploymentPlanned
    | DeploymentStarted
    | DeploymentTakenUp
    | StageStarted
    | StageSkipped
    | StageSucceeded
    | StageFailed
    | CancellationRequested
    | DeploymentSucceeded
    | DeploymentFailed
    | DeploymentCancelled
)
"""The events that concern no single service."""

DeploymentEvent = WholeEvent | StepEvent

StepFailed = BuildFailed | ServiceDeployFailed


class PlanDeployment(Struct, frozen=True, kw_only=True, gc=False):
    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan


class TakeUpDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Hand the deployment to *worker*, and start it if it has not started."""

    worker: str


class AdvanceDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Report the outcomes of steps, and start the steps that are due then; late outcomes are ignored.

    Steps in *held* are not started yet: they wait before they are tried again.
    """

    worker: str
    outcomes: tuple[StepCommand, ...] = ()
    held: tuple[Step, ...] = ()


class CancelDeployment(Struct, frozen=True, kw_only=True, gc=False):
    forced: bool = False


DeploymentCommand = PlanDeployment | TakeUpDeployment | StepCommand | AdvanceDeployment | CancelDeployment


class StageRun(Struct, frozen=True, kw_only=True, gc=False):
    stage: PlannedStage
    status: Status = Status.QUEUED
    services: tuple[ServiceRun, ...] = ()

    @property
    def is_complete(self) -> bool:
        return all(run.status in DONE for run in self.services)


class Failure(Struct, frozen=True, kw_only=True, gc=False):
    """The first step that failed."""

    stage: StageId
    service: ServiceId
    phase: Phase
    reason: str


class Cancellation(StrEnum):
    SAFE = "SAFE"
    FORCED = "FORCED"


class Deployment(Struct, frozen=True, kw_only=True, gc=False):
    """A deployment; `environment` is None until it is planned, and `worker` carries it out.

    `places` maps each service's id, as an integer, to the indexes of its stage and of itself in that stage.
    """

    environment: EnvironmentId | None = None
    number: int = 0
    action: Action = Action.DEPLOY
    plan: Plan | None = None
    status: Status = Status.QUEUED
    worker: str | None = None
    stages: tuple[StageRun, ...] = ()
    places: Mapping[int, tuple[int, int]] = {}
    failure: Failure | None = None
    cancellation: Cancellation | None = None

    @property
    def current(self) -> StageRun | None:
        """The running stage, if any."""
        return next((run for run in self.stages if run.status is Status.RUNNING), None)

    @property
    def is_stopping(self) -> bool:
        return self.failure is not None or self.cancellation is not None

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that have started and not ended."""
        stage = self.current
        return tuple([step for run in stage.services if run.is_busy and (step := run.next)]) if stage else ()

    def due(self) -> tuple[Step, ...]:
        """Return the steps that should be running: those that are, and those that may start now."""
        return tuple([step for run in self._due if (step := run.next)])

    @property
    def startable(self) -> tuple[Step, ...]:
        """The steps that are due and not running yet."""
        return tuple([step for run in self._due if not run.is_busy and (step := run.next)])

    @property
    def _due(self) -> list[ServiceRun]:
        stage = self.current
        if stage is None or self.cancellation is Cancellation.FORCED:
            return []
        if self.is_stopping:
            return [run for run in stage.services if run.is_busy]
        begun = [run for run in stage.services if run.status is Status.RUNNING]
        queued = [run for run in stage.services if run.status is Status.QUEUED]
        free = max(0, stage.stage.concurrency - len(begun))
        return begun + queued[:free]

    def before(self, service: ServiceId) -> StageRun | ServiceRun | None:
        """Return the stage or the service that must end before *service* starts; None if it waits for neither."""
        place, stage = self.places.get(service.int), self.current
        if place is None or stage is None or self.is_stopping:
            return None
        own = self.stages[place[0]]
        run, due = own.services[place[1]], self._due
        if run.status is not Status.QUEUED or run in due:
            return None
        return stage if own is not stage else next((each for each in due if each is not run), None)

    @property
    def unwanted(self) -> tuple[Step, ...]:
        """The steps that are running but no longer due."""
        return self.running if self.cancellation is Cancellation.FORCED else ()

    def run_of(self, service: ServiceId) -> ServiceRun | None:
        place = self.places.get(service.int)
        return self.stages[place[0]].services[place[1]] if place else None
