"""Targets: the places where steps run."""

from domain.pipeline.environment import Target
from gql.contract import enum

__all__ = ["Target"]

enum.describe(
    Target,
    "The place where the steps of a deployment run.",
    name="EnvironmentTarget",
    PROCESS="Processes on a machine of Stageline.",
    DOCKER="Containers of a Docker engine.",
    KUBERNETES="Workloads of a Kubernetes cluster.",
)
