"""Steps of a service: their phases and statuses, how they are cancelled, and what keeps them waiting."""

from domain.deployment.state import Cancellation
from domain.deployment.step import Phase, Status
from domain.deployment.wait import WaitReason
from gql.contract import enum

__all__ = ["Cancellation", "Phase", "Status", "WaitReason"]

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
    DEPLOYMENT="Another deployment of the environment comes before it.",
    MACHINE="The workers of the machine that its environment is bound to are silent.",
    WORKER="No worker runs.",
)
