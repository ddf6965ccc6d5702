"""The fold of a pipeline: the state that its events lead to."""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentRenamed,
    TargetChanged,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import (
    Service,
    ServiceAdded,
    ServiceConfigured,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    Stage,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent


def evolve(pipeline: Pipeline, event: PipelineEvent) -> Pipeline:
    """An event that changes or moves but one service leaves all the others untouched: that is quicker."""
    match event:
        case ServiceConfigured(service=id_, spec=spec):
            return _with_service(pipeline, id_, spec=spec)
        case ServiceSkipped(service=id_):
            return _with_service(pipeline, id_, is_skipped=True)
        case ServiceUnskipped(service=id_):
            return _with_service(pipeline, id_, is_skipped=False)
        case ServiceRenamed(service=id_, name=name):
            return _with_service(pipeline, id_, name=name)
        case ServiceMoved(source=source) if source is not None:
            return _moved(pipeline, event.service.int, event.target.int)
        case _:
            return fold(pipeline, (event,))


def _with_service(pipeline: Pipeline, id_: ServiceId, **changes: object) -> Pipeline:
    wanted = id_.int
    for number, stage in enumerate(pipeline.stages):
        for index, service in enumerate(stage.services):
            if service.id.int == wanted:
                services = (*stage.services[:index], replace(service, **changes), *stage.services[index + 1 :])
                changed = replace(stage, services=services)
                return replace(pipeline, stages=(*pipeline.stages[:number], changed, *pipeline.stages[number + 1 :]))
    raise KeyError(wanted)


def _moved(pipeline: Pipeline, id_: int, target: int) -> Pipeline:
    stages = {stage.id.int: stage for stage in pipeline.stages}
    for source in pipeline.stages:
        for service in source.services:
            if service.id.int == id_:
                left = tuple([each for each in source.services if each is not service])
                stages[source.id.int] = replace(source, services=left)
                goal = stages[target]
                stages[target] = replace(goal, services=(*goal.services, service))
                return replace(pipeline, stages=tuple(stages.values()))
    raise KeyError(id_)


def fold(pipeline: Pipeline, events: Iterable[PipelineEvent]) -> Pipeline:
    draft = _Draft(pipeline)
    draft.add(events)
    return draft.done()


class _Draft:
    """A pipeline that events are being folded into, where a service is found at once.

    A service that comes into a stage is its last one: so the order in which they came is their order in every stage.
    Ids are compared as integers, which is much quicker than as UUIDs.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._incoming = pipeline.incoming
        self._stages = [*pipeline.stages]
        self._services = {service.id.int: service for service in pipeline.services}
        self._stage_of = {service.id.int: stage.id.int for stage in pipeline.stages for service in stage.services}

    def done(self) -> Pipeline:
        services: dict[int, list[Service]] = {stage.id.int: [] for stage in self._stages}
        for id_, service in self._services.items():
            services[self._stage_of[id_]].append(service)
        stages = [replace(stage, services=tuple(services[stage.id.int])) for stage in self._stages]
        return replace(self._pipeline, incoming=self._incoming, stages=tuple(stages))

    def add(self, events: Iterable[PipelineEvent]) -> None:
        services = self._services
        for event in events:
            match event:  # the most frequent first, as every case that is passed over takes time
                case ServiceConfigured():
                    services[event.service.int] = replace(services[event.service.int], spec=event.spec)
                case ServiceMoved():
                    moved = self._incoming if event.source is None else services.pop(event.service.int)
                    if moved is not None:
                        services[event.service.int] = moved
                        self._stage_of[event.service.int] = event.target.int
                        self._incoming = None
                case ServiceSkipped():
                    services[event.service.int] = replace(services[event.service.int], is_skipped=True)
                case ServiceUnskipped():
                    services[event.service.int] = replace(services[event.service.int], is_skipped=False)
                case ServiceRenamed():
                    services[event.service.int] = replace(services[event.service.int], name=event.name)
                case ServiceAdded(service=id_, name=name, type=type_, spec=spec):
                    self._incoming = Service(id=id_, name=name, type=type_, spec=spec)
                case ServiceRemoved():
                    del services[event.service.int]
                case StageRenamed():
                    self._change_stage(event.stage, name=event.name)
                case StageDescribed():
                    self._change_stage(event.stage, description=event.description)
                case StageMoved():
                    self._stages.insert(event.target - 1, self._stages.pop(self._index(event.stage)))
                case StageCreated(stage=stage, name=name, description=description, home_of=home_of, position=position):
                    new = Stage(id=stage, name=name, description=description, home_of=home_of)
                    self._stages.insert(position - 1, new)
                case StagePolicyChanged():
                    self._change_stage(event.stage, policy=event.policy)
                case StageHomeChanged():
                    self._change_stage(event.stage, home_of=event.home_of)
                case StageDeleted():
                    del self._stages[self._index(event.stage)]
                case _:
                    self._pipeline = _evolve_environment(self._pipeline, event)

    def _change_stage(self, id_: StageId, **changes: object) -> None:
        index = self._index(id_)
        self._stages[index] = replace(self._stages[index], **changes)

    def _index(self, id_: StageId) -> int:
        wanted = id_.int
        return next(index for index, stage in enumerate(self._stages) if stage.id.int == wanted)


def _evolve_environment(pipeline: Pipeline, event: EnvironmentEvent) -> Pipeline:
    match event:
        case EnvironmentCreated(project=project, name=name, target=target, concurrency=concurrency):
            return replace(pipeline, project=project, name=name, target=target, concurrency=concurrency)
        case EnvironmentRenamed(name=name):
            return replace(pipeline, name=name)
        case TargetChanged(target=target):
            return replace(pipeline, target=target)
        case ConcurrencyChanged(concurrency=concurrency):
            return replace(pipeline, concurrency=concurrency)
        case EnvironmentDeleted():
            return replace(pipeline, is_deleted=True)
        case _:
            assert_never(event)
