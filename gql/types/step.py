"""Steps of a service: their states and attempts, how they are cancelled, and what keeps them waiting."""

from datetime import datetime

import strawberry

from domain.deployment.state import Cancellation
from domain.deployment.step import Phase, Status
from domain.deployment.wait import WaitReason
from gql.contract import enum
from gql.types.ref import ServiceRef, StageRef, service_ref, stage_ref
from projections.deployment import DeploymentView
from projections.step import StepView

__all__ = ["Cancellation", "Phase", "Status", "Step", "StepAttempt", "StepFailure", "WaitReason"]

enum.describe(
    Status,
    "The status of a deployment, a stage, a service or a step.",
    name="RunStatus",
    QUEUED="Waiting for its turn.",
    RUNNING="In progress.",
    SUCCEEDED="Ended successfully.",
    FAILED="Failed, with no retry left.",
    SKIPPED="Left out: skipped in the pipeline, or nothing to do.",
    CANCELLED="Cancelled before it ended.",
    UNCHANGED="Left as it is: the specification and the revision are the same, and the service is healthy.",
)
enum.describe(
    Phase,
    "A step of a service.",
    name="StepPhase",
    BUILD="The service is built.",
    DEPLOY="The service is started; a job runs to its end.",
    STOP="The service is stopped.",
)
enum.describe(
    Cancellation,
    "The kind of cancellation of a deployment.",
    SAFE="No step starts any more; running steps are finished.",
    FORCED="Running steps are stopped, too.",
)
enum.describe(
    WaitReason,
    "The reason why an open deployment does not go on.",
    APPROVAL="A stage waits for people to approve it.",
    DEPLOYMENT="Another deployment of the environment comes before it.",
    HOLD="It is held until somebody releases it.",
    FREEZE="The environment is frozen.",
    MACHINE="The workers of the machine that its environment is bound to are silent.",
    TIME="A stage waits for the time of its policy.",
    CHECK="A stage waits until its check passes.",
    WORKER="No worker runs.",
)


@strawberry.type(description="The first failed step of a deployment, or the stage that was rejected.")
class StepFailure:
    stage: StageRef = strawberry.field(description="The stage.")
    service: ServiceRef | None = strawberry.field(description="The service; null if the stage was rejected.")
    phase: Phase | None = strawberry.field(description="The step; null if the stage was rejected.")
    failure_reason: str = strawberry.field(description="The reason of the failure.")


@strawberry.type(description="An attempt of a step.")
class StepAttempt:
    attempt: int = strawberry.field(description="Number of the attempt, from 1.")
    status: Status = strawberry.field(description="Status of the attempt; FAILED also if the step was retried.")
    started_at: datetime | None = strawberry.field(description="When the attempt started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the attempt ended; null if it has not.")
    failure_reason: str | None = strawberry.field(description="The reason why the attempt failed, if it did.")


@strawberry.type(description="The image of a step.")
class UsedImage:
    digest: str = strawberry.field(
        description="The digest of its content: with its repository if it is of a registry, so that it can be pulled."
    )
    is_reused: bool = strawberry.field(description="Whether nothing had to be built, because nothing has changed.")


@strawberry.type(description="The progress of one step of a service.")
class Step:
    phase: Phase = strawberry.field(description="The kind of step.")
    status: Status = strawberry.field(description="Status of the step.")
    attempt: int = strawberry.field(description="Number of the current attempt, from 1.")
    started_at: datetime | None = strawberry.field(description="When the step started; null if it has not.")
    finished_at: datetime | None = strawberry.field(description="When the step ended; null if it has not.")
    failure_reason: str | None = strawberry.field(description="The reason why the last attempt failed.")
    unchanged_reason: str | None = strawberry.field(description="The reason why the step is UNCHANGED, if it is.")
    skipped_reason: str | None = strawberry.field(
        description="The reason why the deployment has nothing to do with the service, if it is left out for one."
    )
    image: UsedImage | None = strawberry.field(
        description="The image that the step built or ran, once it has succeeded; null on a target without images."
    )
    attempts: list[StepAttempt] = strawberry.field(description="All attempts, oldest first, with the current one.")
    retry_at: datetime | None = strawberry.field(
        description="When the failed step is tried again; null if it does not wait for that."
    )


def failure_of(view: DeploymentView) -> StepFailure | None:
    """Return the first failed step of a deployment, if any."""
    failure = view.failure
    if failure is None:
        return None
    stage = next(stage for stage in view.stages if stage.id == failure.stage)
    service = next((service for service in stage.services if service.id == failure.service), None)
    return StepFailure(
        stage=stage_ref(stage.id, stage.name),
        service=None if service is None else service_ref(service.id, service.name, service.type),
        phase=failure.phase,
        failure_reason=failure.reason,
    )


def from_view(view: StepView, phase: Phase) -> Step:
    has_failed = view.status not in (Status.UNCHANGED, Status.SKIPPED)
    return Step(
        phase=phase,
        status=view.status,
        attempt=view.attempt,
        started_at=view.started_at,
        finished_at=view.finished_at,
        failure_reason=view.reason if has_failed else None,
        unchanged_reason=view.reason if view.status is Status.UNCHANGED else None,
        skipped_reason=view.reason if view.status is Status.SKIPPED else None,
        attempts=_attempts(view),
        retry_at=view.retry_at,
        image=None if view.image is None else UsedImage(digest=view.image.digest, is_reused=view.image.is_reused),
    )


def _attempts(view: StepView) -> list[StepAttempt]:
    retried = [
        StepAttempt(
            attempt=each.attempt,
            status=Status.FAILED,
            started_at=each.started_at,
            finished_at=each.finished_at,
            failure_reason=each.reason,
        )
        for each in view.retried
    ]
    current = StepAttempt(
        attempt=view.attempt,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        failure_reason=view.reason if view.status is Status.FAILED else None,
    )
    return [*retried, current]
