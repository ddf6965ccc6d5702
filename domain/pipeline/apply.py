"""
The command that replaces a whole pipeline by the fewest events.

Restoring, undoing, applying a document and cloning all use it; they differ in where the wanted pipeline comes from.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain import pipeline as pipelines
from domain.decider import Decider
from domain.errors import EnvironmentNotFound, LastStage, LimitReached, NameTaken
from domain.pipeline import need as needs
from domain.pipeline.diff import diff
from domain.pipeline.environment import checked_policy
from domain.pipeline.service import MAX_SERVICES, Service
from domain.pipeline.stage import MAX_STAGES, Stage
from domain.pipeline.state import Pipeline, PipelineEvent, Thing
from domain.validation import checked


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
    return diff(pipeline, _checked(replace(wanted, is_deleted=False), pipeline))


def _checked(wanted: Pipeline, now: Pipeline) -> Pipeline:
    """Return *wanted* with trimmed names; raises the refusal of the command that would lead there.

    Texts that are the same in *now* are not checked again: an old log may have some that a later rule refuses.
    """
    if not wanted.stages:
        raise LastStage(stage=wanted.name)
    for things, limit, what in (
        (wanted.stages, MAX_STAGES, "stages in a pipeline"),
        (wanted.services, MAX_SERVICES, "services in an environment"),
    ):
        if len(things) > limit:
            raise LimitReached(limit=limit, what=what)
    stages = {stage.id.int: stage for stage in now.stages}
    services = {service.id.int: service for service in now.services}
    checked_stages = tuple(
        replace(
            _checked_stage(stage, stages.get(stage.id.int)),
            services=tuple(_checked_service(service, services.get(service.id.int)) for service in stage.services),
        )
        for stage in wanted.stages
    )
    _unique(checked_stages, stages, "stage")
    _unique([service for stage in checked_stages for service in stage.services], services, "service")
    needs.check(checked_stages)
    if wanted.policy != now.policy:
        checked_policy(wanted.policy)
    name = wanted.name if wanted.name == now.name else names.checked(wanted.name)
    return replace(wanted, name=name, stages=checked_stages)


def _checked_stage(stage: Stage, known: Stage | None) -> Stage:
    pipelines.check_policy(stage.policy)
    if known is None or stage.name != known.name:
        stage = replace(stage, name=names.checked(stage.name))
    if known is None or stage.description != known.description:
        stage = replace(stage, description=names.checked_description(stage.description))
    return stage


def _checked_service(service: Service, known: Service | None) -> Service:
    if known is None or service.name != known.name:
        service = replace(service, name=names.checked(service.name))
    if known is None or service.spec != known.spec:
        service = replace(service, spec=checked(service.spec, service.type))
    return service


def _unique(things: Sequence[Thing], known: Mapping[int, Thing], kind: str) -> None:
    """Raise `NameTaken` if two of *things* have the same name, unless both already have it."""
    taken: dict[str, bool] = {}
    for thing in things:
        key = names.key(thing.name)
        before = known.get(thing.id.int)
        is_kept = before is not None and before.name == thing.name
        if key in taken and not (is_kept and taken[key]):
            raise NameTaken(kind=kind, name=thing.name)
        taken[key] = is_kept


decider: Decider[Pipeline, ApplyPipeline, PipelineEvent] = Decider(
    pipelines.decider.name,
    pipelines.decider.initial,
    decide,
    pipelines.evolve,
    pipelines.decider.events,
)
