"""
Steps: the build or the deploy of one service in one deployment.

A step has attempts, counted from 1. The specification of the service says how often a failed step is retried.

Structs that exist by the thousand are declared with `gc=False`: they are frozen and never part of a reference cycle, so
the garbage collector need not visit them.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.instance import LastRun
from domain.deployment.plan import Endpoint, Output, PlannedService
from domain.deployment.value import Value
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceSpec

MAX_REASON = 2000
"""Maximum length of the reason of a failure, in characters; the rest is cut off."""


class Phase(StrEnum):
    BUILD = "BUILD"
    DEPLOY = "DEPLOY"
    STOP = "STOP"


class Omission(StrEnum):
    """The reason why a deployment leaves a service out when its stage runs."""

    JOB = "JOB"
    NEVER_RAN = "NEVER_RAN"
    NOT_RUNNING = "NOT_RUNNING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Status(StrEnum):
    """The status of a deployment, a stage, a service or a step."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    UNCHANGED = "UNCHANGED"

    @property
    def is_final(self) -> bool:
        return self not in OPEN


OPEN = Status.QUEUED, Status.RUNNING
DEPLOYED = Status.SUCCEEDED, Status.UNCHANGED
"""Statuses of a service that runs as planned."""

DONE = Status.SUCCEEDED, Status.SKIPPED, Status.UNCHANGED
"""Statuses of a step or a service after which the next one may start."""


class Step(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at one phase of one service: the identity of an effect, on whichever worker."""

    service: ServiceId
    phase: Phase
    attempt: int


class BuildStarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The build started; *values* are those of the references of the service."""

    service: ServiceId
    attempt: int
    values: tuple[Value, ...] = ()


class UsedImage(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The image of a step, by the *digest* of its content; if it *is_reused*, nothing had to be built."""

    digest: str
    is_reused: bool = False


class BuildSucceeded(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The service was built, on some targets as an *image*."""

    service: ServiceId
    attempt: int
    image: UsedImage | None = None


class BuildFailed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The build failed for good with *reason*; if *is_allowed*, the deployment goes on as if it had succeeded."""

    service: ServiceId
    attempt: int
    reason: str
    is_allowed: bool = False


class BuildSkipped(Struct, frozen=True, kw_only=True, gc=False):
    """The service has nothing to build. Only old logs have this event; now the plan says it."""

    service: ServiceId


class ServiceDeployStarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deploy started; *values* are those of the references of the service."""

    service: ServiceId
    attempt: int
    values: tuple[Value, ...] = ()


class ServiceDeployed(Struct, frozen=True, kw_only=True, gc=False):
    """The service is healthy and listens on *ports*; a JOB has run to its end and wrote *outputs*.

    On a target of containers it runs *image*.
    """

    service: ServiceId
    attempt: int
    ports: tuple[int, ...] = ()
    outputs: tuple[Output, ...] = ()
    image: UsedImage | None = None


class ServiceDeployFailed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deploy failed for good with *reason*; if *is_allowed*, the deployment goes on as if it had succeeded."""

    service: ServiceId
    attempt: int
    reason: str
    is_allowed: bool = False


class StepRetried(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """*attempt* failed with *reason*; the step is retried at *retry_at*, at once if it is None."""

    service: ServiceId
    phase: Phase
    attempt: int
    reason: str
    retry_at: datetime | None = None


class ServiceCancellationRequested(Struct, frozen=True, kw_only=True, gc=False):
    """No further step of the service starts; if *forced*, its running step is stopped. The others go on."""

    service: ServiceId
    forced: bool


class ServiceCancelled(Struct, frozen=True, kw_only=True, gc=False):
    """The remaining steps of the service are cancelled."""

    service: ServiceId


class ServiceUnchanged(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The service is as planned since deployment *number*, with the same specification and revision, and healthy.

    If it *is_by_image*, there is no revision: the target found that its image is the same.
    """

    service: ServiceId
    number: int
    is_by_image: bool = False


class ServiceOmitted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The deployment has nothing to do with the service, because of what deployment *number* did to it, if any did."""

    service: ServiceId
    cause: Omission
    number: int | None = None


class ServiceStopStarted(Struct, frozen=True, kw_only=True, gc=False):
    service: ServiceId
    attempt: int


class ServiceStopped(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing runs of the service any more, until it is started or deployed."""

    service: ServiceId
    attempt: int


class InstanceDeleted(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing runs of the service any more, and its instance is forgotten."""

    service: ServiceId
    attempt: int


class ServiceStopFailed(Struct, frozen=True, kw_only=True, gc=False):
    """The service may run still, for *reason*."""

    service: ServiceId
    attempt: int
    reason: str


class OldInstanceRestarted(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance of deployment *number* runs again: *attempt*, which had stopped it first, brought no healthy one."""

    service: ServiceId
    attempt: int
    number: int
    ports: tuple[int, ...] = ()


class OldInstanceLost(Struct, frozen=True, kw_only=True, gc=False):
    """The instance of deployment *number*, which *attempt* had stopped first, did not become healthy again."""

    service: ServiceId
    attempt: int
    number: int
    reason: str


StepEvent = (
    BuildStarted
    | BuildSucceeded
    | BuildFailed
    | BuildSkipped
    | ServiceDeployStarted
    | ServiceDeployed
    | ServiceDeployFailed
    | StepRetried
    | ServiceCancellationRequested
    | ServiceCancelled
    | ServiceUnchanged
    | ServiceOmitted
    | ServiceStopStarted
    | ServiceStopped
    | InstanceDeleted
    | ServiceStopFailed
    | OldInstanceRestarted
    | OldInstanceLost
)


class StartStep(Struct, frozen=True, kw_only=True, gc=False):
    worker: str
    step: Step


class SucceedStep(Struct, frozen=True, kw_only=True, gc=False):
    """Report that *step* succeeded, with *image*; a deployed service listens on *ports*, and a JOB wrote *outputs*."""

    worker: str
    step: Step
    ports: tuple[int, ...] = ()
    outputs: tuple[Output, ...] = ()
    image: UsedImage | None = None


class KeepStep(Struct, frozen=True, kw_only=True, gc=False):
    """Report that *step* has nothing to do: the known instance of its service is healthy."""

    worker: str
    step: Step


class OldInstance(Struct, frozen=True, kw_only=True, gc=False):
    """The instance of deployment *number* after it was started again; *problem* says why it is not healthy, if so."""

    number: int
    ports: tuple[int, ...] = ()
    problem: str | None = None


class FailStep(Struct, frozen=True, kw_only=True, gc=False):
    """Report that *step* failed at the time *at*. *chance*, between 0 and 1, is the luck of the wait before a retry.

    *old* is the instance that the attempt had stopped first, if any.
    """

    worker: str
    step: Step
    reason: str
    at: datetime | None = None
    chance: float = 0.0
    old: OldInstance | None = None


class AbortStep(Struct, frozen=True, kw_only=True, gc=False):
    """Report that *step* was stopped by a forced cancellation; *old* as in `FailStep`."""

    worker: str
    step: Step
    old: OldInstance | None = None


StepCommand = StartStep | SucceedStep | KeepStep | FailStep | AbortStep


class StepRun(Struct, frozen=True, kw_only=True, gc=False):
    """The progress of a step; it waits until *retry_at* before it is retried.

    *values* are those of the service's references when the newest attempt started.
    """

    status: Status = Status.QUEUED
    attempt: int = 1
    retry_at: datetime | None = None
    values: tuple[Value, ...] = ()


class ServiceRun(Struct, frozen=True, kw_only=True, gc=False):
    """The progress of a planned service; `status` is that of the service as a whole.

    *deploy* is the step after the build: with *phase* STOP it ends the service. *last* is how the service ran last, if
    it is started that way again. With an *omission*, the deployment has nothing to do.

    With *is_lost* nothing healthy runs of it any more: an attempt stopped the old instance. *ports* are those of a new
    one. `endpoint` is what it offers to later stages, None until it is deployed. Somebody cancelled it if it
    `is_cancelled`, by force if it `is_stopped`. *image* is the digest of what runs, on a target of containers.
    """

    service: PlannedService
    status: Status = Status.QUEUED
    build: StepRun = StepRun()
    deploy: StepRun = StepRun()
    is_lost: bool = False
    ports: tuple[int, ...] = ()
    endpoint: Endpoint | None = None
    is_cancelled: bool = False
    is_stopped: bool = False
    phase: Phase = Phase.DEPLOY
    last: LastRun | None = None
    omission: Omission | None = None
    image: str | None = None

    def step(self, phase: Phase) -> StepRun:
        return self.build if phase is Phase.BUILD else self.deploy

    @property
    def next(self) -> Step | None:
        """The step that is running or comes next; None if nothing is left to do."""
        if self.status.is_final:
            return None
        phase = self.phase if self.build.status in DONE else Phase.BUILD
        return Step(service=self.service.id, phase=phase, attempt=self.step(phase).attempt)

    @property
    def is_allowed(self) -> bool:
        """Whether nothing that matters failed: the service may fail, or has not failed."""
        return self.status is not Status.FAILED or self.service.spec.allow_failure

    @property
    def is_busy(self) -> bool:
        return Status.RUNNING in (self.build.status, self.deploy.status)


def evolve(run: ServiceRun, event: StepEvent) -> ServiceRun:
    """Return *run* after *event*, which concerns the same service."""
    match event:
        case BuildStarted(attempt=attempt, values=values):
            build = StepRun(status=Status.RUNNING, attempt=attempt, values=values)
            return replace(run, status=Status.RUNNING, build=build)
        case BuildSucceeded(attempt=attempt):
            build = StepRun(status=Status.SUCCEEDED, attempt=attempt, values=run.build.values)
            return replace(run, status=Status.RUNNING, build=build)
        case BuildFailed(attempt=attempt):
            build = StepRun(status=Status.FAILED, attempt=attempt, values=run.build.values)
            return replace(run, status=Status.FAILED, build=build, deploy=StepRun(status=Status.CANCELLED))
        case BuildSkipped():
            return replace(run, status=Status.QUEUED, build=StepRun(status=Status.SKIPPED))
        case ServiceDeployStarted(attempt=attempt, values=values):
            deploy = StepRun(status=Status.RUNNING, attempt=attempt, values=values)
            return replace(run, status=Status.RUNNING, deploy=deploy)
        case ServiceDeployed(attempt=attempt, ports=ports, outputs=outputs, image=image):
            deploy = StepRun(status=Status.SUCCEEDED, attempt=attempt, values=run.deploy.values)
            endpoint = Endpoint(ports=ports, outputs=outputs)
            over = replace(run, status=Status.SUCCEEDED, deploy=deploy, is_lost=False, ports=ports)
            return replace(over, endpoint=endpoint, image=None if image is None else image.digest)
        case ServiceDeployFailed(attempt=attempt):
            deploy = StepRun(status=Status.FAILED, attempt=attempt, values=run.deploy.values)
            return replace(run, status=Status.FAILED, deploy=deploy)
        case StepRetried(phase=phase, attempt=attempt, retry_at=retry_at):
            again = StepRun(attempt=attempt + 1, retry_at=retry_at, values=run.step(phase).values)
            return replace(run, status=Status.RUNNING, **{"build" if phase is Phase.BUILD else "deploy": again})
        case ServiceCancellationRequested(forced=forced):
            return replace(run, is_cancelled=True, is_stopped=run.is_stopped or forced)
        case ServiceCancelled():
            return replace(run, status=Status.CANCELLED, build=_cancelled(run.build), deploy=_cancelled(run.deploy))
        case ServiceUnchanged():
            unchanged = StepRun(status=Status.UNCHANGED)
            build = run.build if run.build.status is Status.SKIPPED else unchanged
            return replace(run, status=Status.UNCHANGED, build=build, deploy=unchanged)
        case ServiceOmitted(cause=cause):
            skipped = StepRun(status=Status.SKIPPED)
            return replace(run, status=Status.SKIPPED, build=skipped, deploy=skipped, omission=cause)
        case ServiceStopStarted(attempt=attempt):
            return replace(run, status=Status.RUNNING, deploy=StepRun(status=Status.RUNNING, attempt=attempt))
        case ServiceStopped(attempt=attempt) | InstanceDeleted(attempt=attempt):
            return replace(run, status=Status.SUCCEEDED, deploy=StepRun(status=Status.SUCCEEDED, attempt=attempt))
        case ServiceStopFailed(attempt=attempt):
            return replace(run, status=Status.FAILED, deploy=StepRun(status=Status.FAILED, attempt=attempt))
        case OldInstanceRestarted():
            return replace(run, is_lost=False)
        case OldInstanceLost():
            return replace(run, is_lost=True)
        case _:
            assert_never(event)


def _cancelled(step: StepRun) -> StepRun:
    return step if step.status.is_final else replace(step, status=Status.CANCELLED, retry_at=None)


def retry_at(spec: ServiceSpec, failed: FailStep) -> datetime | None:
    """Return the time of the retry after the attempt that *failed* reports; None if its time is unknown."""
    wait = spec.backoff.wait(failed.step.attempt, failed.chance)
    return None if failed.at is None else failed.at + timedelta(seconds=wait)
