"""
A deployment: one run of a pinned plan, stage by stage.

Stage n+1 starts when stage n is complete. The services of a stage are worked on side by side, and each is deployed
as soon as its own build has ended. On the first failure nothing new starts; what runs is let end, what has not
begun is cancelled, and the deployment has failed. A cancellation lets end what runs, unless it is forced.

The stream is the deployment's whole durable state: `Deployment.due` says which steps ought to be running now.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import assert_never, get_args

from msgspec import Struct
from msgspec.structs import replace

from domain import step as steps
from domain.decider import Decider
from domain.errors import DeploymentNotFound, DeploymentOver, Fenced, StepNotDue
from domain.plan import Plan, PlannedStage
from domain.project import EnvironmentId
from domain.queue import Action
from domain.service import ServiceId
from domain.spec import UNSTORABLE
from domain.stage import StageId
from domain.step import (
    DONE,
    MAX_REASON,
    AbortStep,
    BuildFailed,
    BuildStarted,
    BuildSucceeded,
    FailStep,
    Phase,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceRun,
    StartStep,
    Status,
    Step,
    StepCommand,
    StepEvent,
    StepRetried,
    StepRun,
    SucceedStep,
)

# Events


class DeploymentPlanned(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment was requested, and will do what *plan* says whatever becomes of the pipeline."""

    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan


class DeploymentStarted(Struct, frozen=True, kw_only=True, gc=False): ...


class DeploymentTakenUp(Struct, frozen=True, kw_only=True, gc=False):
    """*worker* carries the deployment out from now on; whoever did before may report nothing more."""

    worker: str


class StageStarted(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageSkipped(Struct, frozen=True, kw_only=True, gc=False):
    """The stage is empty, or all of its services are skipped."""

    stage: StageId


class StageSucceeded(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class StageFailed(Struct, frozen=True, kw_only=True, gc=False):
    stage: StageId


class CancellationRequested(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing new starts; *forced*: what runs is stopped as well."""

    forced: bool


class DeploymentSucceeded(Struct, frozen=True, kw_only=True, gc=False): ...


class DeploymentFailed(Struct, frozen=True, kw_only=True, gc=False):
    """*reason* is why *phase* of *service*, the first step that failed, did."""

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
"""What is of no single service."""

DeploymentEvent = WholeEvent | StepEvent

StepFailed = BuildFailed | ServiceDeployFailed


# Commands


class PlanDeployment(Struct, frozen=True, kw_only=True, gc=False):
    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan


class TakeUpDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """*worker* carries it out from now on, and starts it if nobody has."""

    worker: str


class AdvanceDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Reports what became of steps, and starts those that are due with that; an outcome that came too late is none."""

    worker: str
    outcomes: tuple[StepCommand, ...] = ()


class CancelDeployment(Struct, frozen=True, kw_only=True, gc=False):
    forced: bool = False


DeploymentCommand = PlanDeployment | TakeUpDeployment | StepCommand | AdvanceDeployment | CancelDeployment


# State


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
    """`environment` is None until the deployment was planned; `worker` carries it out.

    `places` are those of stages, and of services in them, by the services' ids: as integers, which is much quicker.
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
        """The stage that is being carried out."""
        return next((run for run in self.stages if run.status is Status.RUNNING), None)

    @property
    def is_stopping(self) -> bool:
        return self.failure is not None or self.cancellation is not None

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that were started and have not ended."""
        stage = self.current
        return tuple([step for run in stage.services if run.is_busy and (step := run.next)]) if stage else ()

    def due(self) -> tuple[Step, ...]:
        """The steps that ought to be running: those that are, and those that may start now."""
        return tuple([step for run in self._due if (step := run.next)])

    @property
    def startable(self) -> tuple[Step, ...]:
        """The steps that are due and don't run yet."""
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

    @property
    def unwanted(self) -> tuple[Step, ...]:
        """The steps that run and aren't due any more."""
        return self.running if self.cancellation is Cancellation.FORCED else ()

    def run_of(self, service: ServiceId) -> ServiceRun | None:
        place = self.places.get(service.int)
        return self.stages[place[0]].services[place[1]] if place else None


# Rules


Decided = tuple[list[DeploymentEvent], Deployment]
"""Events, and the deployment with them."""


def decide(deployment: Deployment, command: DeploymentCommand) -> list[DeploymentEvent]:
    return advance(deployment, command)[0]


def advance(deployment: Deployment, command: DeploymentCommand) -> Decided:
    """What `decide` says, and the deployment with it: that is known by then."""
    if isinstance(command, PlanDeployment):
        if deployment.plan is not None:
            return [], deployment
        planned = DeploymentPlanned(
            environment=command.environment, number=command.number, action=command.action, plan=command.plan
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
    ended: list[DeploymentEvent] = []  # what is still to be folded in
    services: set[int] = set()
    for outcome in command.outcomes:
        service = outcome.step.service.int
        if not isinstance(outcome, SucceedStep) or service in services:  # it depends on what came before
            deployment, ended = fold(deployment, ended), []
        services.add(service)
        with suppress(StepNotDue):
            ended += (decided := _decide_step(deployment, outcome))
            events += decided
    events, deployment = _with_consequences(events, fold(deployment, ended))
    started = [_started(step) for step in deployment.startable]
    return events + started, fold(deployment, started)


def _started(step: Step) -> DeploymentEvent:
    started = BuildStarted if step.phase is Phase.BUILD else ServiceDeployStarted
    return started(service=step.service, attempt=step.attempt)


def _decide(
    deployment: Deployment, command: TakeUpDeployment | StepCommand | CancelDeployment
) -> list[DeploymentEvent]:
    match command:
        case TakeUpDeployment(worker=worker):
            if deployment.status.is_final:
                raise DeploymentOver(status=deployment.status.value.lower())
            if deployment.worker == worker:
                return []
            taken = DeploymentTakenUp(worker=worker)
            return [taken] if deployment.status is Status.RUNNING else [DeploymentStarted(), taken]
        case CancelDeployment(forced=forced):
            if deployment.status.is_final:
                raise DeploymentOver(status=deployment.status.value.lower())
            if deployment.cancellation is Cancellation.FORCED or (deployment.cancellation and not forced):
                return []
            return [CancellationRequested(forced=forced)]
        case StartStep() | SucceedStep() | FailStep() | AbortStep():
            if deployment.worker not in (None, command.worker):
                raise Fenced(worker=deployment.worker)
            return _decide_step(deployment, command)
        case _:
            assert_never(command)


def _decide_step(deployment: Deployment, command: StepCommand) -> list[DeploymentEvent]:
    step = command.step
    run = deployment.run_of(step.service)
    if run is None or step != run.next or not (run.is_busy or step in deployment.due()):
        raise _not_due(step, run)
    is_running = run.step(step.phase).status is Status.RUNNING
    is_build = step.phase is Phase.BUILD
    service, attempt = step.service, step.attempt
    match command:
        case StartStep():
            if is_running:
                return []
            return [_started(step)]
        case _ if not is_running:
            raise _not_due(step, run)
        case SucceedStep(ports=ports):
            if is_build:
                return [BuildSucceeded(service=service, attempt=attempt)]
            return [ServiceDeployed(service=service, attempt=attempt, ports=ports)]
        case FailStep():
            reason = UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", command.reason[:MAX_REASON])
            if attempt <= run.service.spec.retries and not deployment.is_stopping:
                return [StepRetried(service=service, phase=step.phase, attempt=attempt, reason=reason)]
            failed = BuildFailed if is_build else ServiceDeployFailed
            return [failed(service=service, attempt=attempt, reason=reason)]
        case AbortStep():
            if deployment.cancellation is not Cancellation.FORCED:
                raise _not_due(step, run)
            return [ServiceCancelled(service=service)]
        case _:
            assert_never(command)


def _not_due(step: Step, run: ServiceRun | None) -> StepNotDue:
    name = run.service.name if run else str(step.service)
    return StepNotDue(phase=step.phase.value, service=name, attempt=step.attempt)


def _with_consequences(events: list[DeploymentEvent], deployment: Deployment) -> Decided:
    """With what follows by itself from the state that *events* led to, until nothing more does."""
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
    waiting = [run for run in deployment.stages if run.status is Status.QUEUED]
    if stage and stage.is_complete:
        yield StageSucceeded(stage=stage.stage.id)
    elif is_between and not waiting:
        yield DeploymentSucceeded()
    elif is_between and waiting[0].stage.is_skipped:
        yield StageSkipped(stage=waiting[0].stage.id)
    elif deployment.is_stopping:
        yield from _stop(deployment)
    elif is_between:
        yield StageStarted(stage=waiting[0].stage.id)


def _stop(deployment: Deployment) -> Iterator[DeploymentEvent]:
    """Cancels what has not begun, and ends the deployment when nothing runs any more."""
    running = {step.service for step in deployment.running}
    for stage in deployment.stages:
        for run in stage.services:
            if not run.status.is_final and run.service.id not in running:
                yield ServiceCancelled(service=run.service.id)
    if running:
        return
    failure = deployment.failure
    if failure is None:
        yield DeploymentCancelled()
        return
    yield StageFailed(stage=failure.stage)
    yield DeploymentFailed(stage=failure.stage, service=failure.service, phase=failure.phase, reason=failure.reason)


def evolve(deployment: Deployment, event: DeploymentEvent) -> Deployment:
    return fold(deployment, (event,))


def fold(deployment: Deployment, events: Iterable[DeploymentEvent]) -> Deployment:
    """Folds one event after another in; the runs of services are put into their stages together."""
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
            stages = tuple(_planned(stage) for stage in plan.stages)
            places = {
                run.service.id.int: (stage, service)
                for stage, stage_run in enumerate(stages)
                for service, run in enumerate(stage_run.services)
            }
            planned = replace(deployment, environment=environment, number=number, action=action, plan=plan)
            return replace(planned, stages=stages, places=places)
        case DeploymentStarted():
            return replace(deployment, status=Status.RUNNING)
        case DeploymentTakenUp(worker=worker):
            return replace(deployment, worker=worker)
        case StageStarted(stage=stage):
            return _with_stage(deployment, stage, Status.RUNNING)
        case StageSkipped(stage=stage):
            return _with_stage(deployment, stage, Status.SKIPPED)
        case StageSucceeded(stage=stage):
            return _with_stage(deployment, stage, Status.SUCCEEDED)
        case StageFailed(stage=stage):
            return _with_stage(deployment, stage, Status.FAILED)
        case CancellationRequested(forced=forced):
            return replace(deployment, cancellation=Cancellation.FORCED if forced else Cancellation.SAFE)
        case DeploymentSucceeded():
            return replace(deployment, status=Status.SUCCEEDED)
        case DeploymentFailed():
            return _over(deployment, Status.FAILED)
        case DeploymentCancelled():
            return _over(deployment, Status.CANCELLED)
        case _:
            assert_never(event)


def _planned(stage: PlannedStage) -> StageRun:
    skipped = StepRun(status=Status.SKIPPED)
    services = []
    for service in stage.services:
        if service.is_skipped:
            services.append(ServiceRun(service=service, status=Status.SKIPPED, build=skipped, deploy=skipped))
        elif service.spec.is_built:
            services.append(ServiceRun(service=service))
        else:  # the plan says that there is nothing to build, so no event has to
            services.append(ServiceRun(service=service, build=skipped))
    return StageRun(stage=stage, services=tuple(services))


def _failed(deployment: Deployment, event: StepFailed) -> Deployment:
    if deployment.is_stopping or deployment.current is None:
        return deployment
    stage, phase = deployment.current.stage.id, Phase.BUILD if isinstance(event, BuildFailed) else Phase.DEPLOY
    return replace(deployment, failure=Failure(stage=stage, service=event.service, phase=phase, reason=event.reason))


def _over(deployment: Deployment, status: Status) -> Deployment:
    """The deployment ended as *status*; the stages that it never completed were cancelled."""
    stages = tuple(run if run.status.is_final else replace(run, status=Status.CANCELLED) for run in deployment.stages)
    return replace(deployment, status=status, stages=stages)


def _with_stage(deployment: Deployment, stage: StageId, status: Status) -> Deployment:
    stages = tuple(replace(run, status=status) if run.stage.id == stage else run for run in deployment.stages)
    return replace(deployment, stages=stages)


def _with_runs(deployment: Deployment, changed: Mapping[tuple[int, int], ServiceRun]) -> Deployment:
    """*changed* are by their stage's place, and by their own in it."""
    if not changed:
        return deployment
    stages = list(deployment.stages)
    services = {place: list(stages[place].services) for place in {stage for stage, _ in changed}}
    for (stage, service), run in changed.items():
        services[stage][service] = run
    for stage, runs in services.items():
        stages[stage] = replace(stages[stage], services=tuple(runs))
    return replace(deployment, stages=tuple(stages))


decider = Decider("deployment", Deployment(), decide, evolve, get_args(DeploymentEvent), fold, advance)
