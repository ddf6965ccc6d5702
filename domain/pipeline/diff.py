"""
The difference between two pipelines: the fewest events that lead from one to the other.

- A moved service goes to the end of its stage, even when it moves within it. So the services that begin their stage's
  new order stay, and the others move.
- The longest run of stages that are already in order stays, and the others move.
- Stages are deleted last, after their services have left. So two stages or services may have the same name for a
  moment, between two events of one append.
- A stage or service that is in both pipelines is edited. Deleting and creating it could take one event less, but would
  say something else.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

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
    ServiceEvent,
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
    StageEvent,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent


def diff(source: Pipeline, target: Pipeline) -> list[PipelineEvent]:
    """Return the events that turn *source* into *target*; deleted things come back with their old ids."""
    kept = _kept(source, target)
    stages = {stage.id for stage in target.stages}
    return [
        *_environment(source, target),
        *(ServiceRemoved(service=service.id) for service in source.services if service.id not in kept),
        *_stages(source, target),
        *_services(source, target, kept),
        *(StageDeleted(stage=stage.id) for stage in source.stages if stage.id not in stages),
        *([EnvironmentDeleted()] if target.is_deleted and not source.is_deleted else []),
    ]


def _kept(source: Pipeline, target: Pipeline) -> dict[ServiceId, Service]:
    """Return the services of *source* that are also in *target* with the same type."""
    types = {service.id: service.type for service in target.services}
    return {service.id: service for service in source.services if types.get(service.id) is service.type}


def _environment(source: Pipeline, target: Pipeline) -> Iterator[EnvironmentEvent]:
    if source.project is None:
        if target.project is not None:
            yield EnvironmentCreated(
                project=target.project, name=target.name, target=target.target, concurrency=target.concurrency
            )
        return
    if source.name != target.name:
        yield EnvironmentRenamed(name=target.name)
    if source.target != target.target:
        yield TargetChanged(target=target.target)
    if source.concurrency != target.concurrency:
        yield ConcurrencyChanged(concurrency=target.concurrency)


def _stages(source: Pipeline, target: Pipeline) -> Iterator[StageEvent]:
    known = {stage.id: stage for stage in source.stages}
    for stage in target.stages:
        if stage.id in known:
            yield from _edited(known[stage.id], stage)
    order = [stage.id for stage in source.stages]
    staying = _staying(order, [stage.id for stage in target.stages if stage.id in known])
    before: StageId | None = None
    for stage in target.stages:
        if stage.id not in known:
            position = _behind(order, before)
            order.insert(position, stage.id)
            yield StageCreated(
                stage=stage.id,
                name=stage.name,
                description=stage.description,
                position=position + 1,
                home_of=stage.home_of,
            )
            if stage.policy != StagePolicy():
                yield StagePolicyChanged(stage=stage.id, policy=stage.policy)
        elif stage.id not in staying:
            left = order.index(stage.id)
            del order[left]
            position = _behind(order, before)
            order.insert(position, stage.id)
            yield StageMoved(stage=stage.id, source=left + 1, target=position + 1)
        before = stage.id


def _edited(source: Stage, target: Stage) -> Iterator[StageEvent]:
    if source.name != target.name:
        yield StageRenamed(stage=target.id, name=target.name)
    if source.description != target.description:
        yield StageDescribed(stage=target.id, description=target.description)
    if source.policy != target.policy:
        yield StagePolicyChanged(stage=target.id, policy=target.policy)
    if source.home_of != target.home_of:
        yield StageHomeChanged(stage=target.id, home_of=target.home_of)


def _behind(order: Sequence[StageId], before: StageId | None) -> int:
    return 0 if before is None else order.index(before) + 1


def _staying(order: Sequence[StageId], wanted: Sequence[StageId]) -> set[StageId]:
    """Return a longest run of *wanted* that is already in order (patience sorting)."""
    places = [order.index(stage) for stage in wanted]
    ends: list[int] = []  # for each length minus one, the smallest place where a run of that length ends
    lengths = []
    for place in places:
        length = bisect_left(ends, place)
        ends[length : length + 1] = [place]
        lengths.append(length)
    run: set[StageId] = set()
    left = len(ends) - 1
    for stage, length in zip(reversed(wanted), reversed(lengths), strict=True):
        if length == left:
            run.add(stage)
            left -= 1
    return run


def _services(source: Pipeline, target: Pipeline, kept: dict[ServiceId, Service]) -> Iterator[ServiceEvent]:
    stage_of = {service.id: stage.id for stage in source.stages for service in stage.services}
    for service in target.services:
        if service.id in kept:
            yield from _changed(kept[service.id], service)
    for stage in target.stages:
        there = iter([id_ for id_ in kept if stage_of[id_] == stage.id])
        is_in_order = True
        for service in stage.services:
            is_in_order = is_in_order and service.id in there  # continues after the last match
            if service.id not in kept:
                yield ServiceAdded(service=service.id, name=service.name, type=service.type, spec=service.spec)
                yield ServiceMoved(service=service.id, source=None, target=stage.id)
                if service.is_skipped:
                    yield ServiceSkipped(service=service.id)
            elif not is_in_order:
                yield ServiceMoved(service=service.id, source=stage_of[service.id], target=stage.id)


def _changed(source: Service, target: Service) -> Iterator[ServiceEvent]:
    if source.name != target.name:
        yield ServiceRenamed(service=target.id, name=target.name)
    if source.spec != target.spec:
        yield ServiceConfigured(service=target.id, spec=target.spec)
    if source.is_skipped != target.is_skipped:
        yield ServiceSkipped(service=target.id) if target.is_skipped else ServiceUnskipped(service=target.id)
