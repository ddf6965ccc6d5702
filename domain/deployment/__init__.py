"""
Deployments: one run of a pinned plan, stage by stage.

Stage n+1 starts when stage n is complete. The services of a stage run side by side, and each is deployed as soon as
its own build has ended. On a failure no new step starts, running steps end, the others are cancelled, and the
deployment fails, unless a policy says otherwise: the failure is allowed, the stage continues, or a later stage always
runs. A cancellation lets running steps end, unless it is forced.

The stream is the whole durable state of a deployment. `Deployment.due` says which steps should be running now.
"""

from typing import get_args

from domain.decider import Decider
from domain.deployment.fold import evolve, fold
from domain.deployment.rules import advance, decide
from domain.deployment.state import (
    Deployment,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentSucceeded,
)

__all__ = [
    "Deployment",
    "DeploymentEvent",
    "DeploymentFailed",
    "DeploymentPlanned",
    "DeploymentSucceeded",
    "advance",
    "decide",
    "decider",
    "evolve",
    "fold",
]

decider = Decider("deployment", Deployment(), decide, evolve, get_args(DeploymentEvent), fold, advance)
