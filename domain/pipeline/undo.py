"""
Undo of one change that keeps the later changes.

The result is the pipeline before the change with the later events applied. A later event is a conflict if it depends on
the change (it concerns a stage that the change created), or if it changed the same thing again.
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
    """Return *before* with *later* applied but without *change*, and the conflicts as indexes into *later*.

    The pipeline is only meaningful if there are no conflicts.
    """
    undone = {_aspect(event) for event in change}
    pipeline = before
    conflicts = []
    for place, event in enumerate(later):
        if _aspect(event) in undone or not _applies(pipeline, event):
            conflicts.append(place)
        else:
            pipeline = pipelines.evolve(pipeline, event)
    return pipeline, tuple(conflicts)


def _aspect(event: PipelineEvent) -> Aspect:
    """Return the stage or service that *event* concerns, and the property that it changes."""
    thing = getattr(event, "service", None) or getattr(event, "stage", None)
    match event:
        case ServiceSkipped() | ServiceUnskipped():
            return thing, "skipped"
        case ServiceAdded() | ServiceRemoved() | StageCreated() | StageDeleted():
            return thing, "existence"
        case _:
            return thing, type(event).__name__


def _applies(pipeline: Pipeline, event: PipelineEvent) -> bool:
    """Return whether *event* can be applied: its subjects exist, and what it creates does not."""
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
