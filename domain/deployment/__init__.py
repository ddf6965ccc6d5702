"""Deployments: a pinned plan, carried out stage by stage."""

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
