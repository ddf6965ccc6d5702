"""
Taking one change of a pipeline back, and leaving the later ones.

The pipeline without a change is what the later events make of the pipeline before it. That has no meaning when one of
them stands on the change (it speaks of a stage that was only made then), or has changed the same thing once more.
"""

from collections.abc import Sequence

from domain import pipeline as pipelines
from domain.pipeline.service import ServiceAdded, ServiceMoved, ServiceRemoved, ServiceSkipped, ServiceUnskipped
from domain.pipeline.stage import StageCreated, StageDeleted
from domain.pipeline.state import Pipeline, PipelineEvent

Aspect = tuple[object, str]


def without(
    before: Pipeline, change: Sequence[PipelineEvent], later: Sequence[PipelineEvent]
) -> tuple[Pipeline, tuple[int, ...]]:
    """What *before* and *later* come to without the *change* between, and which of *later* stand in the way.

    Those are given by their places in *later*; the pipeline is only worth something if there are none.
    """
    taken_back = {_aspect(event) for event in change}
    pipeline = before
    conflicts = []
    for place, event in enumerate(later):
        if _aspect(event) in taken_back or not _has_meaning(pipeline, event):
            conflicts.append(place)
        else:
            pipeline = pipelines.evolve(pipeline, event)
    return pipeline, tuple(conflicts)


def _aspect(event: PipelineEvent) -> Aspect:
    """What an event is about, and what of that it changes."""
    thing = getattr(event, "service", None) or getattr(event, "stage", None)
    match event:
        case ServiceSkipped() | ServiceUnskipped():
            return thing, "skipped"
        case ServiceAdded() | ServiceRemoved() | StageCreated() | StageDeleted():
            return thing, "existence"
        case _:
            return thing, type(event).__name__


def _has_meaning(pipeline: Pipeline, event: PipelineEvent) -> bool:
    """Whether all that *event* speaks of is there, and nothing that it makes is there already."""
    stages = {stage.id: stage for stage in pipeline.stages}
    services = {service.id for service in pipeline.services}
    match event:
        case StageCreated():
            return event.stage not in stages
        case StageDeleted():
            return event.stage in stages and not stages[event.stage].services
        case ServiceAdded():
            return event.service not in services
        case ServiceMoved(source=None):
            is_incoming = pipeline.incoming is not None and pipeline.incoming.id == event.service
            return is_incoming and event.target in stages
        case ServiceMoved():
            return event.service in services and event.target in stages
        case _:
            stage, service = getattr(event, "stage", None), getattr(event, "service", None)
            return (stage is None or stage in stages) and (service is None or service in services)
