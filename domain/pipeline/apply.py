"""
The command that replaces a whole pipeline by the fewest events.

Restoring, undoing, applying a document and cloning all use it; they differ in where the wanted pipeline comes from.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain import pipeline as pipelines
from domain.decider import Decider
from domain.errors import EnvironmentNotFound, LastStage, LimitReached, NameTaken
from domain.pipeline.diff import diff
from domain.pipeline.service import MAX_SERVICES, Service
from domain.pipeline.stage import MAX_STAGES, Stage
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.spec import checked


class ApplyPipeline(Struct, frozen=True, kw_only=True):
    """Make the pipeline equal to *wanted*, but keep its name, which the project's stream holds.

    An environment that does not exist yet is created.
    """

    wanted: Pipeline


def decide(pipeline: Pipeline, command: ApplyPipeline) -> list[PipelineEvent]:
    """Return the fewest events that lead to the wanted pipeline; raises `Refused`."""
    wanted = command.wanted
    if pipeline.is_deleted or (pipeline.project or wanted.project) is None:
        raise EnvironmentNotFound(environment=pipeline.name)
    if pipeline.exists:
        wanted = replace(wanted, project=pipeline.project, name=pipeline.name)
    return diff(pipeline, _checked(replace(wanted, is_deleted=False)))


def _checked(wanted: Pipeline) -> Pipeline:
    """Return *wanted* with trimmed names; raises the refusal of the command that would lead there."""
    if not wanted.stages:
        raise LastStage(stage=wanted.name)
    for things, limit, what in (
        (wanted.stages, MAX_STAGES, "stages in a pipeline"),
        (wanted.services, MAX_SERVICES, "services in an environment"),
    ):
        if len(things) > limit:
            raise LimitReached(limit=limit, what=what)
    stages = tuple(_checked_stage(stage) for stage in wanted.stages)
    _unique(stages, "stage")
    _unique([service for stage in stages for service in stage.services], "service")
    return replace(wanted, name=names.checked(wanted.name), stages=stages)


def _checked_stage(stage: Stage) -> Stage:
    if stage.policy.concurrency is not None:
        pipelines.checked_concurrency(stage.policy.concurrency)
    return replace(
        stage,
        name=names.checked(stage.name),
        description=names.checked_description(stage.description),
        services=tuple(
            replace(service, name=names.checked(service.name), spec=checked(service.spec)) for service in stage.services
        ),
    )


def _unique(things: Sequence[Stage | Service], kind: str) -> None:
    taken: set[str] = set()
    for thing in things:
        key = names.key(thing.name)
        if key in taken:
            raise NameTaken(kind=kind, name=thing.name)
        taken.add(key)


decider: Decider[Pipeline, ApplyPipeline, PipelineEvent] = Decider(
    pipelines.decider.name,
    pipelines.decider.initial,
    decide,
    pipelines.evolve,
    pipelines.decider.events,
)
