"""
The difference between two pipelines: the fewest events that lead from one to the other.

- The longest run of stages that are already in order stays, and the others move. The same holds for the services of a
  stage.
- Stages are deleted last, after their services have left. So two stages or services may have the same name for a
  moment, between two events of one append.
- A stage or service that is in both pipelines is edited. Deleting and creating it could take one event less, but would
  say something else.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TypeVar

from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
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

Id = TypeVar("Id", StageId, ServiceId)


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
            if target.policy != EnvironmentPolicy():
                yield EnvironmentPolicyChanged(policy=target.policy)
            yield from _variables(source, target)
        return
    if source.name != target.name:
        yield EnvironmentRenamed(name=target.name)
    if source.target != target.target:
        yield TargetChanged(target=target.target)
    if source.concurrency != target.concurrency:
        yield ConcurrencyChanged(concurrency=target.concurrency)
    if source.policy != target.policy:
        yield EnvironmentPolicyChanged(policy=target.policy)
    yield from _variables(source, target)


def _variables(source: Pipeline, target: Pipeline) -> Iterator[EnvironmentEvent]:
    known = set(source.variables)
    for variable in target.variables:
        if variable not in known:
            yield EnvironmentVariableSet(name=variable.name, value=variable.value)
    kept = {variable.name for variable in target.variables}
    yield from (EnvironmentVariableDeleted(name=each.name) for each in source.variables if each.name not in kept)


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


def _behind(order: Sequence[Id], before: Id | None) -> int:
    return 0 if before is None else order.index(before) + 1


def _staying(order: Sequence[Id], wanted: Sequence[Id]) -> set[Id]:
    """Return a longest run of *wanted* that is already in order (patience sorting)."""
    at = {each: place for place, each in enumerate(order)}
    places = [at[each] for each in wanted]
    ends: list[int] = []  # for each length minus one, the smallest place where a run of that length ends
    lengths = []
    for place in places:
        length = bisect_left(ends, place)
        ends[length : length + 1] = [place]
        lengths.append(length)
    run: set[Id] = set()
    left = len(ends) - 1
    for each, length in zip(reversed(wanted), reversed(lengths), strict=True):
        if length == left:
            run.add(each)
            left -= 1
    return run


def _services(source: Pipeline, target: Pipeline, kept: dict[ServiceId, Service]) -> Iterator[ServiceEvent]:
    stage_of = {service.id: stage.id for stage in source.stages for service in stage.services}
    for service in target.services:
        if service.id in kept:
            yield from _changed(kept[service.id], service)
    lists: dict[StageId, list[ServiceId]] = {stage.id: [] for stage in (*source.stages, *target.stages)}
    for id_ in kept:
        lists[stage_of[id_]].append(id_)
    for stage in target.stages:
        there = lists[stage.id]
        here = set(there)
        staying = _staying(there, [each.id for each in stage.services if each.id in here])
        before: ServiceId | None = None
        for service in stage.services:
            if service.id not in kept:
                yield ServiceAdded(service=service.id, name=service.name, type=service.type, spec=service.spec)
                position = _insert(there, service.id, before)
                yield ServiceMoved(service=service.id, source=None, target=stage.id, position=position)
                if service.is_skipped:
                    yield ServiceSkipped(service=service.id)
            elif service.id not in staying:
                old = stage_of[service.id]
                lists[old].remove(service.id)
                position = _insert(there, service.id, before)
                yield ServiceMoved(service=service.id, source=old, target=stage.id, position=position)
            before = service.id


def _insert(order: list[ServiceId], service: ServiceId, before: ServiceId | None) -> int | None:
    """Insert *service* behind *before*, and return its position from 1, or None if that is the end."""
    position = _behind(order, before)
    order.insert(position, service)
    return None if position == len(order) - 1 else position + 1


def _changed(source: Service, target: Service) -> Iterator[ServiceEvent]:
    if source.name != target.name:
        yield ServiceRenamed(service=target.id, name=target.name)
    if source.spec != target.spec:
        yield ServiceConfigured(service=target.id, spec=target.spec)
    if source.is_skipped != target.is_skipped:
        yield ServiceSkipped(service=target.id) if target.is_skipped else ServiceUnskipped(service=target.id)
