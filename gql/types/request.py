"""The reaction to a further request, described for the schema."""

from domain.pipeline.environment import OnRequest
from gql.contract import enum

__all__ = ["OnRequest"]

enum.describe(
    OnRequest,
    "What a further request of a deployment does while one of the environment runs.",
    WAIT="It waits for its turn, and each one gets one.",
    MERGE="It merges into a waiting one of the same actor that does the same, if there is one; else it waits.",
    SUPERSEDE="As MERGE, and a request of DEPLOY or REDEPLOY also cancels those that wait and would do no more. The"
    " deployment that runs is not cancelled.",
)
