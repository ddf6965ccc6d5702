"""Steps of a service: their phases and statuses, and how they are cancelled."""

from domain.deployment.state import Cancellation
from domain.deployment.step import Phase, Status
from gql.contract import enum

__all__ = ["Cancellation", "Phase", "Status"]

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
