"""A deployment's state, with its events and commands."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial

from msgspec import Struct

from domain import name as names
from domain.deployment.gate import CheckOutcome, GateEvent, Review, StageGate
from domain.deployment.hold import HoldCommand, HoldEvent
from domain.deployment.instance import Instance, LastRun
from domain.deployment.plan import Endpoint, Plan, PlannedService
from domain.deployment.queue import Action
from domain.deployment.stage import StageEvent, StageIndex, StageRun
from domain.deployment.step import (
    DONE,
    BuildFailed,
    Phase,
    ServiceDeployFailed,
    ServiceRun,
    ServiceStopFailed,
    Status,
    Step,
    StepCommand,
    StepEvent,
)
from domain.deployment.value import Known, Lookup, SecretVersion, Value
from domain.deployment.wait import RecordWait, WaitCause, WaitEnded, WaitReason, WaitStarted
from domain.pipeline.ref import ServiceId, ServiceRef, StageId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec, refers


class DeploymentPlanned(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deployment was requested with *plan*; later changes of the pipeline don't affect it.

    *trace* is the W3C `traceparent` of the request, if it was traced; the rules know nothing of it.
    """

    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan
    trace: str | None = None


class DeploymentStarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deployment started; *instances* are those of the services then, as far as earlier deployments know.

    *last_runs* are those of the services that are started as they ran last. At its *deadline* it times out, if its
    plan has a timeout. *secrets* are the versions of the secrets that its services refer to.
    """

    instances: tuple[Instance, ...] = ()
    last_runs: tuple[LastRun, ...] = ()
    deadline: datetime | None = None
    secrets: tuple[SecretVersion, ...] = ()


class DeploymentTakenUp(Struct, frozen=True, kw_only=True, gc=False):
    """*worker* carries out the deployment from now on; reports of the former worker are refused."""

    worker: str


class CancellationRequested(Struct, frozen=True, kw_only=True, gc=False):
    """No new step starts; if *forced*, running steps are stopped as well."""

    forced: bool


class DeploymentSuperseded(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment with *number* was requested while this one waited, and does what it would have done."""

    number: int


class TimeoutReached(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment has run for *seconds*, its timeout: no new step starts, and running steps are stopped."""

    seconds: float


class DeploymentSucceeded(Struct, frozen=True, kw_only=True, gc=False): ...


class DeploymentFailed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*phase* of *service* was the first step that failed, with *reason*; without a service, *stage* did not start.

    If it *rolls_back*, another deployment brings back the services that this one renewed.
    """

    stage: StageId
    service: ServiceId | None = None
    phase: Phase | None = None
    reason: str
    rolls_back: bool = False


class DeploymentTimedOut(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deployment failed, because it had not ended after *seconds*; *rolls_back* as in `DeploymentFailed`."""

    seconds: float
    rolls_back: bool = False


class DeploymentCancelled(Struct, frozen=True, kw_only=True, gc=False): ...


WholeEvent = (
    DeploymentPlanned
    | DeploymentStarted
    | DeploymentTakenUp
    | WaitStarted
    | WaitEnded
    | StageEvent
    | CancellationRequested
    | DeploymentSuperseded
    | TimeoutReached
    | DeploymentSucceeded
    | DeploymentFailed
    | DeploymentTimedOut
    | DeploymentCancelled
    | GateEvent
    | HoldEvent
)
"""The events that concern no single service."""

DeploymentEvent = WholeEvent | StepEvent

StepFailed = BuildFailed | ServiceDeployFailed | ServiceStopFailed


class PlanDeployment(Struct, frozen=True, kw_only=True, gc=False):
    environment: EnvironmentId
    number: int
    action: Action
    plan: Plan
    trace: str | None = None


class TakeUpDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Hand the deployment to *worker*, and start it if it has not started, at the time *at*.

    *instances* and *last_runs* are those of the services, and *secrets* the versions of the secrets that these refer
    to.
    """

    worker: str
    instances: tuple[Instance, ...] = ()
    last_runs: tuple[LastRun, ...] = ()
    at: datetime | None = None
    secrets: tuple[SecretVersion, ...] = ()


class AdvanceDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Report the outcomes of steps, and start the steps that are due then; late outcomes are ignored.

    A step that waits for its retry starts only if it is in *waited*: its wait is over. So does a gate end that has a
    deadline. A gate that is due opens at the time *at*, and *checks* are those of gates that are over or have a new
    answer. With *is_overdue* the deadline of the deployment has passed.
    """

    worker: str
    outcomes: tuple[StepCommand, ...] = ()
    waited: tuple[Step | StageGate, ...] = ()
    is_overdue: bool = False
    checks: tuple[CheckOutcome, ...] = ()
    at: datetime | None = None


class CancelDeployment(Struct, frozen=True, kw_only=True, gc=False):
    forced: bool = False


class CancelServices(Struct, frozen=True, kw_only=True, gc=False):
    """Cancel *services*, by their ids or the names in the plan; the others go on."""

    services: tuple[ServiceRef, ...]
    forced: bool = False


class SupersedeDeployment(Struct, frozen=True, kw_only=True, gc=False):
    """Cancel the deployment, which waits, because that with *number* makes it needless."""

    number: int


DeploymentCommand = (
    PlanDeployment
    | TakeUpDeployment
    | StepCommand
    | AdvanceDeployment
    | CancelDeployment
    | CancelServices
    | SupersedeDeployment
    | RecordWait
    | Review
    | HoldCommand
)


class Failure(Struct, frozen=True, kw_only=True, gc=False):
    """The first step that failed and may not fail; without a service, *stage* did not start."""

    stage: StageId
    service: ServiceId | None = None
    phase: Phase | None = None
    reason: str


class Cancellation(StrEnum):
    SAFE = "SAFE"
    FORCED = "FORCED"


class Deployment(Struct, frozen=True, kw_only=True, gc=False):
    """A deployment; `environment` is None until it is planned, `worker` carries it out, and it waits because of `wait`.

    `index` has the stages that are looked for at each event. Without `has_cancelled` nobody cancelled a service.
    `inherited` has the instances at the start by the service's id, as an integer. `places` maps each service's id, as
    an integer, to the indexes of its stage and of itself in that stage. `needed` are the services to which others
    refer, by the keys of their names. `secrets` has the versions of secrets at the start, by name. It times out at its
    `deadline`, and `has_timed_out` then. If it `rolls_back`, another deployment brings back the services that it
    renewed. Nothing new starts while it `is_held`.
    """

    environment: EnvironmentId | None = None
    number: int = 0
    action: Action = Action.DEPLOY
    plan: Plan | None = None
    status: Status = Status.QUEUED
    worker: str | None = None
    stages: tuple[StageRun, ...] = ()
    index: StageIndex = StageIndex()
    has_cancelled: bool = False
    places: Mapping[int, tuple[int, int]] = {}
    inherited: Mapping[int, Instance] = {}
    needed: Mapping[str, ServiceId] = {}
    secrets: Mapping[str, str] = {}
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    is_held: bool = False
    deadline: datetime | None = None
    has_timed_out: bool = False
    rolls_back: bool = False
    wait: WaitCause | None = None

    @property
    def current(self) -> StageRun | None:
        """The running stage, if any."""
        return None if self.index.current is None else self.stages[self.index.current]

    @property
    def refused(self) -> StageRun | None:
        """The first stage that does not start and whose failure is not recorded yet."""
        return None if self.index.refused is None else self.stages[self.index.refused]

    @property
    def ending(self) -> Cancellation | None:
        """The way in which the deployment is ended before its time, by a request or by its timeout."""
        return Cancellation.FORCED if self.has_timed_out else self.cancellation

    @property
    def is_stopping(self) -> bool:
        """Whether no further step of the running stage starts."""
        return self.ending is not None or (self.current is not None and self.current.is_halted)

    @property
    def waiting(self) -> tuple[StageRun, ...]:
        """The stages that are still to run, in order: after a failure that stops, those that always run."""
        queued = tuple([run for run in self.stages if run.status is Status.QUEUED and not run.is_refused])
        return tuple([run for run in queued if run.stage.always]) if self._is_halted else queued

    @property
    def next_stage(self) -> StageRun | None:
        """The stage that starts now, unless something is in front of it."""
        if self.status is not Status.RUNNING or self.current is not None or self.ending:
            return None
        for run in self.waiting:
            if any(not each.status.is_final for each in run.services):
                return run
        return None

    @property
    def gate(self) -> StageGate | None:
        """The gate in front of the next stage, if any."""
        run = self.next_stage
        kind = None if run is None else run.gate.ahead(run.stage)
        return None if run is None or kind is None else StageGate(stage=run.stage.id, kind=kind)

    @property
    def is_gate_closed(self) -> bool:
        """Whether the gate in front of the next stage opens now."""
        run = self.next_stage
        return run is not None and not self.is_held and run.gate.open is None and run.gate.ahead(run.stage) is not None

    @property
    def cause(self) -> WaitCause | None:
        """The cause for which the deployment does not go on, although a worker carries it out."""
        if self.is_held and not (self.ending or self.status.is_final):
            return WaitCause(reason=WaitReason.HOLD)
        run = self.next_stage
        return None if run is None else run.cause

    @property
    def doomed(self) -> tuple[ServiceRun, ...]:
        """The services that have not ended and never go on, because of a failure or a cancellation.

        It is asked at each event of a plan that may have thousands of services, so most often none is looked at.
        """
        is_halted, is_ending, found = self._is_halted, self.ending is not None, list[ServiceRun]()
        if not (is_halted or is_ending or self.has_cancelled):
            return ()
        for run in [run for run in self.stages if not run.status.is_final]:
            is_skipped = is_halted and run.status is Status.QUEUED and not run.stage.always
            services = run.services
            if not (is_ending or is_skipped or run.is_halted):
                services = tuple([each for each in services if each.is_cancelled])
            found += [each for each in services if not (each.status.is_final or each.is_busy)]
        return tuple(found)

    @property
    def _is_halted(self) -> bool:
        return self.index.is_halted or (self.current is not None and self.current.is_halted)

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
        """The steps that are due and not running yet, also those that wait for their retry."""
        return tuple([step for run in self._due if not run.is_busy and (step := run.next)])

    @property
    def _due(self) -> list[ServiceRun]:
        stage = self.current
        if stage is None or self.ending is Cancellation.FORCED:
            return []
        if self.is_stopping or self.is_held:
            return [run for run in stage.services if run.is_busy]
        begun = [run for run in stage.services if run.status is Status.RUNNING]
        queued = [run for run in stage.services if run.status is Status.QUEUED]
        if self.plan is not None and self.plan.build_barrier:
            unbuilt = {run.service.id.int for run in (*begun, *queued) if run.build.status not in DONE}
            if unbuilt:
                begun, queued = ([run for run in some if run.service.id.int in unbuilt] for some in (begun, queued))
            elif len(begun) > stage.stage.concurrency:  # they were built one after another
                begun = sorted(begun, key=lambda run: not run.is_busy)[: stage.stage.concurrency]
        free = max(0, stage.stage.concurrency - len(begun))
        return begun + queued[:free]

    def before(self, service: ServiceId) -> StageRun | ServiceRun | None:
        """Return the stage or the service that must end before *service* starts; None if it waits for neither."""
        place, stage = self.places.get(service.int), self.current
        if place is None or stage is None or self.is_stopping or self.is_held:
            return None
        own = self.stages[place[0]]
        run, due = own.services[place[1]], self._due
        if run.status is not Status.QUEUED or run in due:
            return None
        return stage if own is not stage else next((each for each in due if each is not run), None)

    @property
    def unwanted(self) -> tuple[Step, ...]:
        """The steps that are running but no longer due."""
        services = () if self.current is None else self.current.services
        is_forced = self.ending is Cancellation.FORCED
        return tuple([step for run in services if run.is_busy and (is_forced or run.is_stopped) and (step := run.next)])

    def retry_at(self, step: Step) -> datetime | None:
        """Return the time until which *step* waits for its retry, if it does."""
        run = self.run_of(step.service)
        return None if run is None else run.step(step.phase).retry_at

    def values(self, run: ServiceRun) -> tuple[Value, ...]:
        """Return the known values of the references of a service that starts now."""
        kept = () if run.last is None else run.last.values
        if not refers(run.service.spec):  # most often
            return kept
        names_of = {value.reference for value in kept}
        found = self._lookup(run).values(run.service.spec)
        return (*kept, *(value for value in found if value.reference not in names_of))

    def _lookup(self, run: ServiceRun) -> Lookup:
        """Return the values to which the service of *run* may refer now."""
        assert self.plan is not None, "the deployment was planned"
        last = run.last
        known = self._known if last is None else partial(self._known_before, last)
        return Lookup(plan=self.plan, number=self.number, service=known, secrets=self.secrets)

    def _known(self, name: str) -> Known | None:
        needed = self.needed.get(names.key(name))
        run = None if needed is None else self.run_of(needed)
        return None if run is None else Known(service=run.service, endpoint=self.endpoint_of(run))

    def _known_before(self, last: LastRun, name: str) -> Known | None:
        """Return the service that had *name* at the *last* run; the plan need not have it."""
        key = names.key(name)
        need = next((each for each in last.needs if each.key == key), None)
        if need is None:
            return None
        run = self.run_of(need.service)
        if run is not None:
            return Known(service=run.service, endpoint=self.endpoint_of(run))
        service = PlannedService(id=need.service, name=name, type=need.type, spec=ServiceSpec())
        return Known(service=service, endpoint=self._inherited_endpoint(need.service))

    def endpoint_of(self, run: ServiceRun) -> Endpoint | None:
        """Return what a service offers: as it was deployed, or as it was left by an earlier deployment."""
        is_left = run.status is Status.UNCHANGED or run.service.is_skipped or run.omission is not None
        return self._inherited_endpoint(run.service.id) if run.endpoint is None and is_left else run.endpoint

    def _inherited_endpoint(self, service: ServiceId) -> Endpoint | None:
        left = self.inherited.get(service.int)
        return Endpoint(ports=left.ports, outputs=left.outputs) if left is not None and left.is_running else None

    def filled(self, step: Step, opened: Mapping[str, str] = {}) -> ServiceSpec:
        """Return the specification with which the running *step* is carried out; raises as `filled_with` does."""
        run = self.run_of(step.service)
        assert run is not None, "the step is one of the plan"
        return self.filled_with(run, run.step(step.phase).values, opened)

    def filled_with(self, run: ServiceRun, values: tuple[Value, ...], opened: Mapping[str, str] = {}) -> ServiceSpec:
        """Return the specification of a service with the *values* of its references, and with the *opened* secrets.

        Raises `UnmetReference` if the value of a reference is not among them, or `InvalidSpec`.
        """
        assert self.plan is not None, "the deployment was planned"
        variables = self.plan.variables if run.last is None else run.last.variables
        if not (variables or refers(run.service.spec)):
            return run.service.spec
        return self._lookup(run).filled(run.service, values, variables, opened)

    def run_of(self, service: ServiceId) -> ServiceRun | None:
        place = self.places.get(service.int)
        return self.stages[place[0]].services[place[1]] if place else None
