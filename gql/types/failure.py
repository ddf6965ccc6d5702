"""The reaction to a failure, described for the schema."""

from domain.pipeline.stage import OnFailure
from gql.contract import enum

__all__ = ["OnFailure"]

enum.describe(
    OnFailure,
    "The reaction of a deployment when a service fails and may not fail.",
    STOP="No further step starts, also of later stages; running steps are finished.",
    CONTINUE="The other services and the later stages go on; the deployment fails at its end.",
    ROLL_BACK="As STOP; then the server requests a deployment that brings back the services that this one renewed, with"
    " the specifications of the deployments before. Jobs and new services stay as they are. A rollback that fails is"
    " not rolled back.",
)
