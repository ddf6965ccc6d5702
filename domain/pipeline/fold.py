"""The fold of a pipeline: the state that its events lead to."""

from typing import assert_never

from msgspec.structs import replace

from domain import secret as secrets
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentKeyRotated,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
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
from domain.spec import Variable
from domain.variable import merged, without


def evolve(pipeline: Pipeline, event: PipelineEvent) -> Pipeline:
    """Return *pipeline* after *event*."""
    match event:  # most frequent first: each case that doesn't match takes time
        case ServiceConfigured(service=service, spec=spec):
            return _with_service(pipeline, service, spec=spec)
        case ServiceMoved(service=service, source=source, target=target, position=place):
            return _placed(pipeline, target, place) if source is None else _moved(pipeline, service, target, place)
        case ServiceSkipped(service=service):
            return _with_service(pipeline, service, is_skipped=True)
        case ServiceUnskipped(service=service):
            return _with_service(pipeline, service, is_skipped=False)
        case ServiceRenamed(service=service, name=name):
            return _with_service(pipeline, service, name=name)
        case ServiceAdded(service=service, name=name, type=type_, spec=spec):
            return replace(pipeline, incoming=Service(id=service, name=name, type=type_, spec=spec))
        case ServiceRemoved(service=service):
            return _without_service(pipeline, service)
        case StageRenamed(stage=stage, name=name):
            return _with_stage(pipeline, stage, name=name)
        case StageDescribed(stage=stage, description=description):
            return _with_stage(pipeline, stage, description=description)
        case StageMoved(stage=stage, target=target):
            moved = _stage(pipeline, stage)
            return _inserted(_without_stage(pipeline, stage), moved, target)
        case StageCreated(stage=stage, name=name, description=description, home_of=home_of, position=position):
            return _inserted(pipeline, Stage(id=stage, name=name, description=description, home_of=home_of), position)
        case StagePolicyChanged(stage=stage, policy=policy):
            return _with_stage(pipeline, stage, policy=policy)
        case StageHomeChanged(stage=stage, home_of=home_of):
            return _with_stage(pipeline, stage, home_of=home_of)
        case StageDeleted(stage=stage):
            return _without_stage(pipeline, stage)
        case EnvironmentCreated(project=project, name=name, target=carrier, concurrency=concurrency):
            return replace(pipeline, project=project, name=name, target=carrier, concurrency=concurrency)
        case EnvironmentRenamed(name=name):
            return replace(pipeline, name=name)
        case TargetChanged(target=carrier):
            return replace(pipeline, target=carrier)
        case ConcurrencyChanged(concurrency=concurrency):
            return replace(pipeline, concurrency=concurrency)
        case EnvironmentPolicyChanged(policy=policy):
            return replace(pipeline, policy=policy)
        case EnvironmentVariableSet(name=name, value=value):
            return replace(pipeline, variables=merged(pipeline.variables, (Variable(name=name, value=value),)))
        case EnvironmentVariableDeleted(name=name):
            return replace(pipeline, variables=without(pipeline.variables, name))
        case EnvironmentSecretSet(secret=secret):
            return replace(pipeline, secrets=secrets.with_secret(pipeline.secrets, secret))
        case EnvironmentSecretDeleted(name=name):
            return replace(pipeline, secrets=secrets.without_secret(pipeline.secrets, name))
        case EnvironmentKeyRotated(key=key, secrets=entries):
            return replace(pipeline, secrets=secrets.rotated(pipeline.secrets, key, entries))
        case EnvironmentDeleted():
            return replace(pipeline, is_deleted=True)
        case _:
            assert_never(event)


def _find(pipeline: Pipeline, service: ServiceId) -> tuple[int, int]:
    """Return the indexes of a service's stage and of the service in it; integers compare faster than UUIDs."""
    wanted = service.int
    for number, stage in enumerate(pipeline.stages):
        for index, known in enumerate(stage.services):
            if known.id.int == wanted:
                return number, index
    raise KeyError(service)


def _index(pipeline: Pipeline, stage: StageId) -> int:
    wanted = stage.int
    return next(index for index, known in enumerate(pipeline.stages) if known.id.int == wanted)


def _stage(pipeline: Pipeline, stage: StageId) -> Stage:
    return pipeline.stages[_index(pipeline, stage)]


def _replaced(pipeline: Pipeline, index: int, stage: Stage) -> Pipeline:
    return replace(pipeline, stages=(*pipeline.stages[:index], stage, *pipeline.stages[index + 1 :]))


def _with_stage(pipeline: Pipeline, stage: StageId, **changes: object) -> Pipeline:
    index = _index(pipeline, stage)
    return _replaced(pipeline, index, replace(pipeline.stages[index], **changes))


def _without_stage(pipeline: Pipeline, stage: StageId) -> Pipeline:
    index = _index(pipeline, stage)
    return replace(pipeline, stages=(*pipeline.stages[:index], *pipeline.stages[index + 1 :]))


def _inserted(pipeline: Pipeline, stage: Stage, position: int) -> Pipeline:
    index = position - 1
    return replace(pipeline, stages=(*pipeline.stages[:index], stage, *pipeline.stages[index:]))


def _with_service(pipeline: Pipeline, service: ServiceId, **changes: object) -> Pipeline:
    number, index = _find(pipeline, service)
    stage = pipeline.stages[number]
    changed = replace(stage.services[index], **changes)
    services = (*stage.services[:index], changed, *stage.services[index + 1 :])
    return _replaced(pipeline, number, replace(stage, services=services))


def _without_service(pipeline: Pipeline, service: ServiceId) -> Pipeline:
    number, index = _find(pipeline, service)
    stage = pipeline.stages[number]
    return _replaced(pipeline, number, replace(stage, services=(*stage.services[:index], *stage.services[index + 1 :])))


def _placed(pipeline: Pipeline, target: StageId, position: int | None) -> Pipeline:
    """Put the incoming service, if there is one, at *position* in stage *target*, or at its end."""
    if pipeline.incoming is None:
        return pipeline
    return replace(_inserted_service(pipeline, target, pipeline.incoming, position), incoming=None)


def _inserted_service(pipeline: Pipeline, target: StageId, service: Service, position: int | None) -> Pipeline:
    services = _stage(pipeline, target).services
    if position is None:
        return _with_stage(pipeline, target, services=(*services, service))
    return _with_stage(pipeline, target, services=(*services[: position - 1], service, *services[position - 1 :]))


def _moved(pipeline: Pipeline, service: ServiceId, target: StageId, position: int | None) -> Pipeline:
    number, index = _find(pipeline, service)
    moved = pipeline.stages[number].services[index]
    return _inserted_service(_without_service(pipeline, service), target, moved, position)
