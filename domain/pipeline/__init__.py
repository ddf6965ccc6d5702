"""An environment's pipeline: its stages in order, and where each service stands."""

from typing import get_args

from domain.decider import Decider
from domain.pipeline.fold import evolve
from domain.pipeline.rules import check_policy, checked_concurrency, decide
from domain.pipeline.stage import Stage
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent

__all__ = [
    "Pipeline",
    "PipelineCommand",
    "PipelineEvent",
    "Stage",
    "check_policy",
    "checked_concurrency",
    "decide",
    "decider",
    "evolve",
]

decider = Decider("pipeline", Pipeline(), decide, evolve, get_args(PipelineEvent))
