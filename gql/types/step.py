"""Steps of a service: their phases and statuses."""

from domain.deployment.step import Phase, Status
from gql.contract import enum

__all__ = ["Phase", "Status"]

enum.describe(
    Status,
    "The status of a deployment, a stage, a service or a step.",
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
    BUILD="The service is built.",
    DEPLOY="The service is started; a job runs to its end.",
)
