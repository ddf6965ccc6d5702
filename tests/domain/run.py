"""A deployment carried out by a test: it takes what is due and reports, as the runner does."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain import deployment
from domain.deployment.effect import Effect
from domain.deployment.instance import Instance
from domain.deployment.plan import Plan, PlannedService, PlannedStage
from domain.deployment.queue import Action
from domain.deployment.stage import index_of
from domain.deployment.state import (
    Deployment,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentPlanned,
    PlanDeployment,
    TakeUpDeployment,
)
from domain.deployment.step import AbortStep, FailStep, Phase, StartStep, Status, Step, SucceedStep
from domain.pipeline.environment import Target
from domain.pipeline.gate import Approval, StageCheck
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.stage import OnFailure
from domain.project import EnvironmentId
from domain.spec import Backoff, ServiceSpec, ServiceType

ENVIRONMENT = EnvironmentId(UUID(int=1))
WORKER = "worker-1"
BACKOFF = Backoff()


def stage_id(name: str) -> StageId:
    return StageId(uuid5(ENVIRONMENT, f"stage {name}"))


def service_id(name: str) -> ServiceId:
    return ServiceId(uuid5(ENVIRONMENT, f"service {name}"))


def service(
    name: str,
    *,
    built: bool = True,
    skipped: bool = False,
    retries: int = 0,
    allow_failure: bool = False,
    backoff: Backoff = BACKOFF,
) -> PlannedService:
    spec = ServiceSpec(
        build=("make",) if built else (),
        run="./serve",
        retries=retries,
        allow_failure=allow_failure,
        backoff=backoff,
    )
    return PlannedService(
        id=service_id(name),
        name=name,
        type=ServiceType.APPLICATION,
        spec=spec,
        is_skipped=skipped,
    )


def stage(
    name: str,
    *services: PlannedService,
    concurrency: int = 8,
    on_failure: OnFailure = OnFailure.STOP,
    always: bool = False,
    approval: Approval | None = None,
    wait: float | None = None,
    check: StageCheck | None = None,
) -> PlannedStage:
    return PlannedStage(
        id=stage_id(name),
        name=name,
        concurrency=concurrency,
        services=services,
        on_failure=on_failure,
        always=always,
        approval=approval,
        wait=wait,
        check=check,
    )


def plan(*stages: PlannedStage, build_barrier: bool = False, timeout: float | None = None) -> Plan:
    return Plan(pipeline_version=5, target=Target.PROCESS, stages=stages, build_barrier=build_barrier, timeout=timeout)


def planned(*stages: PlannedStage) -> DeploymentPlanned:
    return DeploymentPlanned(environment=ENVIRONMENT, number=1, action=Action.DEPLOY, plan=plan(*stages))


def build(name: str, attempt: int = 1) -> Step:
    return Step(service=service_id(name), phase=Phase.BUILD, attempt=attempt)


def deploy(name: str, attempt: int = 1) -> Step:
    return Step(service=service_id(name), phase=Phase.DEPLOY, attempt=attempt)


class Run:
    """Keeps a deployment's state and every event of it, as the log would."""

    def __init__(
        self,
        *stages: PlannedStage,
        build_barrier: bool = False,
        revision: str | None = None,
        timeout: float | None = None,
        action: Action = Action.DEPLOY,
        on_failure: OnFailure = OnFailure.STOP,
        effect: Effect = Effect.DEPLOY,
    ) -> None:
        self.events: list[DeploymentEvent] = []
        self.state = Deployment()
        pinned = plan(*stages, build_barrier=build_barrier, timeout=timeout)
        pinned = replace(pinned, revision=revision, on_failure=on_failure, effect=effect)
        self.tell(PlanDeployment(environment=ENVIRONMENT, number=1, action=action, plan=pinned))

    @classmethod
    def of_state(cls, state: Deployment) -> "Run":
        """Return the run of a deployment that has come to *state*; it has no events yet."""
        run = cls()
        run.events, run.state = [], state
        return run

    def tell(self, command: DeploymentCommand) -> list[DeploymentEvent]:
        decided, led_to = deployment.advance(self.state, command)
        assert led_to == deployment.decider.replay(decided, self.state)
        self.events += decided
        self.state = deployment.decider.replay(decided, self.state)
        check_index(self.state)
        return decided

    def take_up(self, worker: str = WORKER, at: datetime | None = None, instances: tuple[Instance, ...] = ()) -> "Run":
        self.tell(TakeUpDeployment(worker=worker, at=at, instances=instances))
        return self

    def start(self, *steps: Step) -> "Run":
        for step in steps:
            self.tell(StartStep(worker=WORKER, step=step))
        return self

    def succeed(self, *steps: Step) -> list[DeploymentEvent]:
        return [event for step in steps for event in self.tell(SucceedStep(worker=WORKER, step=step))]

    def fail(self, step: Step, reason: str = "exit code 1") -> list[DeploymentEvent]:
        return self.tell(FailStep(worker=WORKER, step=step, reason=reason))

    def abort(self, step: Step) -> list[DeploymentEvent]:
        return self.tell(AbortStep(worker=WORKER, step=step))

    def carry_out(self, fails: Callable[[Step], bool] = lambda step: False) -> "Run":
        """Starts all that is due, lets it end in that order, and so on until nothing is due."""
        while steps := self.state.due():
            self.start(*steps)
            for step in steps:
                if fails(step):
                    self.fail(step)
                else:
                    self.succeed(step)
        return self

    def of(self, name: str) -> Status:
        run = self.state.run_of(service_id(name))
        assert run is not None
        return run.status

    def step(self, step: Step) -> Status:
        run = self.state.run_of(step.service)
        assert run is not None
        return run.step(step.phase).status

    @property
    def stages(self) -> list[Status]:
        return [run.status for run in self.state.stages]


def check_index(state: Deployment) -> None:
    """What the fold notes of the stages is what a walk over them finds."""
    assert state.index == index_of(state.stages)
    assert state.has_cancelled == any(run.is_cancelled for each in state.stages for run in each.services)
