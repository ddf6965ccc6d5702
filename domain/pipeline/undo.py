"""
Undo of one change that keeps all later ones.

Each event of the change is reverted in the current pipeline: a property gets its value before the event, and a moved,
deleted or removed thing returns to its place after the neighbour that it had before.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import assert_never

from msgspec.structs import replace

from domain import pipeline as pipelines
from domain.pipeline.aspect import collide
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentKeyRotated,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    TargetChanged,
)
from domain.pipeline.ref import ServiceId
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
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent, Thing
from domain.variable import merged
from domain.variable import without as without_variable


def conflicts(before: Pipeline, change: Sequence[PipelineEvent], later: Sequence[PipelineEvent]) -> tuple[int, ...]:
    """Return the indexes of the *later* events that stand on *change*, which was made to the pipeline *before*."""
    events = [*change, *_returns(before, change)]
    return tuple(at for at, event in enumerate(later) if any(collide(each, event) for each in events))


def _returns(before: Pipeline, change: Sequence[PipelineEvent]) -> list[ServiceMoved]:
    """Return the moves of removed services to the stages that an undo returns them to."""
    states = accumulate(change, pipelines.evolve, initial=before)
    removed = [
        (state, event) for state, event in zip(states, change, strict=False) if isinstance(event, ServiceRemoved)
    ]
    stages = [(event.service, state.stage_of(event.service).id) for state, event in removed]
    return [ServiceMoved(service=service, source=stage, target=stage) for service, stage in stages]


def without(now: Pipeline, before: Pipeline, change: Sequence[PipelineEvent]) -> Pipeline:
    """Return the pipeline *now* without *change*, which was made to the pipeline *before* and has no conflicts."""
    states = list(accumulate(change, pipelines.evolve, initial=before))
    for event, state in zip(reversed(change), reversed(states[:-1]), strict=True):
        if isinstance(event, EnvironmentEvent):
            now = _without_environment_event(now, state, event)
        elif isinstance(event, StageEvent):
            now = _without_stage_event(now, state, event)
        else:
            now = _without_service_event(now, state, event)
    return now


def _without_environment_event(now: Pipeline, before: Pipeline, event: EnvironmentEvent) -> Pipeline:
    match event:
        case EnvironmentCreated() | EnvironmentDeleted():
            raise AssertionError("nothing follows the end of an environment, and nothing precedes its creation")
        case EnvironmentRenamed():
            return replace(now, name=before.name)
        case TargetChanged():
            return replace(now, target=before.target)
        case ConcurrencyChanged():
            return replace(now, concurrency=before.concurrency)
        case EnvironmentPolicyChanged():
            return replace(now, policy=before.policy)
        case EnvironmentVariableSet(name=name) | EnvironmentVariableDeleted(name=name):
            old = [variable for variable in before.variables if variable.name == name]
            return replace(now, variables=merged(without_variable(now.variables, name), old))
        case EnvironmentSecretSet() | EnvironmentSecretDeleted() | EnvironmentKeyRotated():
            return now  # a difference between pipelines has no secrets, and earlier values are not kept
        case _:
            assert_never(event)


def _without_stage_event(now: Pipeline, before: Pipeline, event: StageEvent) -> Pipeline:
    rest = tuple(stage for stage in now.stages if stage.id != event.stage)
    if isinstance(event, StageCreated):
        return replace(now, stages=rest)
    old = before.stage(event.stage)
    if isinstance(event, StageDeleted):
        return replace(now, stages=_returned(rest, old, before.stages))
    stage = now.stage(event.stage)
    match event:
        case StageMoved():
            return replace(now, stages=_returned(rest, stage, before.stages))
        case StageRenamed():
            return _with_stage(now, replace(stage, name=old.name))
        case StageDescribed():
            return _with_stage(now, replace(stage, description=old.description))
        case StagePolicyChanged():
            return _with_stage(now, replace(stage, policy=old.policy))
        case StageHomeChanged():
            return _with_stage(now, replace(stage, home_of=old.home_of))
        case _:
            assert_never(event)


def _without_service_event(now: Pipeline, before: Pipeline, event: ServiceEvent) -> Pipeline:
    match event:
        case ServiceAdded():
            return now  # the move after it has placed the service
        case ServiceMoved(source=None):
            return _without_service(now, event.service)
        case ServiceMoved():
            return _placed(_without_service(now, event.service), now.service(event.service), before)
        case ServiceRemoved():
            return _placed(now, before.service(event.service), before)
        case ServiceRenamed():
            return _with_service(now, replace(now.service(event.service), name=before.service(event.service).name))
        case ServiceConfigured():
            return _with_service(now, replace(now.service(event.service), spec=before.service(event.service).spec))
        case ServiceSkipped():
            return _with_service(now, replace(now.service(event.service), is_skipped=False))
        case ServiceUnskipped():
            return _with_service(now, replace(now.service(event.service), is_skipped=True))
        case _:
            assert_never(event)


def _with_stage(pipeline: Pipeline, changed: Stage) -> Pipeline:
    return replace(pipeline, stages=tuple(changed if stage.id == changed.id else stage for stage in pipeline.stages))


def _with_service(pipeline: Pipeline, changed: Service) -> Pipeline:
    stage = pipeline.stage_of(changed.id)
    services = tuple(changed if service.id == changed.id else service for service in stage.services)
    return _with_stage(pipeline, replace(stage, services=services))


def _without_service(pipeline: Pipeline, service: ServiceId) -> Pipeline:
    stage = pipeline.stage_of(service)
    return _with_stage(pipeline, replace(stage, services=tuple(each for each in stage.services if each.id != service)))


def _placed(pipeline: Pipeline, service: Service, before: Pipeline) -> Pipeline:
    """Put *service* into the stage that it had *before*, after the neighbour that it had there."""
    old = before.stage_of(service.id)
    stage = pipeline.stage(old.id)
    return _with_stage(pipeline, replace(stage, services=_returned(stage.services, service, old.services)))


def _returned(things: tuple[Thing, ...], thing: Thing, before: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Insert *thing* after the nearest of its former predecessors that is still there."""
    now, earlier = [each.id for each in things], [each.id for each in before]
    predecessors = [each for each in earlier[: earlier.index(thing.id)] if each in now]
    index = now.index(predecessors[-1]) + 1 if predecessors else 0
    return things[:index] + (thing,) + things[index:]  # noqa: RUF005  # mypy can't unpack a variable of a type
