"""The rules of a pipeline: which events answer a command, and which refusals."""

from typing import assert_never

from msgspec.structs import replace

from domain import name as names
from domain import secret as secrets
from domain import variable as variables
from domain.errors import (
    DefaultTaken,
    EnvironmentNotFound,
    InvalidArgument,
    InvalidConcurrency,
    InvalidPosition,
    LastStage,
    LimitReached,
    NameTaken,
    OwnDestination,
    StageNotEmpty,
)
from domain.pipeline import gate as gates
from domain.pipeline import need as needs
from domain.pipeline.environment import (
    MAX_CONCURRENCY,
    ConcurrencyChanged,
    CreateEnvironment,
    DeleteEnvironment,
    DeleteEnvironmentVariables,
    EditEnvironment,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentKeyRotated,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    SetEnvironmentVariables,
    TargetChanged,
    checked_policy,
)
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import (
    MAX_SERVICES,
    AddService,
    AfterService,
    AtPosition,
    BeforeService,
    EditService,
    MoveService,
    RemoveService,
    ServiceAdded,
    ServiceCommand,
    ServiceConfigured,
    ServiceMoved,
    ServicePlace,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
    SkipService,
    UnskipService,
)
from domain.pipeline.stage import (
    DEFAULT_DESCRIPTION,
    MAX_STAGES,
    After,
    At,
    Before,
    CreateStage,
    DeleteStage,
    EditStage,
    MoveStage,
    Place,
    SetDefaultStage,
    Stage,
    StageCommand,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent, Thing, find
from domain.secret import DeleteSecrets, RotateKey, SetSecret
from domain.spec import ServiceType
from domain.validation import checked

DEFAULT_STAGES = (ServiceType.DATABASE, ServiceType.JOB, ServiceType.CONTAINER, ServiceType.APPLICATION)
"""The home type of each default stage, in order."""


def decide(pipeline: Pipeline, command: PipelineCommand) -> list[PipelineEvent]:
    """Return the events that answer *command*, none if nothing changes; raises `Refused`."""
    events = _decide(pipeline, command)
    needs.check_change(pipeline, events)
    return events


def _decide(pipeline: Pipeline, command: PipelineCommand) -> list[PipelineEvent]:
    match command:
        case CreateEnvironment() if pipeline.project is None:
            return _create(command)
        case _ if not pipeline.exists:
            raise EnvironmentNotFound(environment=pipeline.name)
        case CreateEnvironment():
            return []
        case EditEnvironment():
            return _edit(pipeline, command)
        case SetEnvironmentVariables(variables=wanted):
            changed = variables.changes(pipeline.variables, wanted)
            return [EnvironmentVariableSet(name=each.name, value=each.value) for each in changed]
        case DeleteEnvironmentVariables(names=unwanted):
            variables.check_known(pipeline.variables, unwanted, "environment")
            return [EnvironmentVariableDeleted(name=name) for name in dict.fromkeys(unwanted)]
        case SetSecret():
            return [EnvironmentSecretSet(secret=secrets.new(pipeline.secrets, command))]
        case DeleteSecrets(names=unwanted):
            secrets.check_known(pipeline.secrets, unwanted, "environment")
            return [EnvironmentSecretDeleted(name=name) for name in dict.fromkeys(unwanted)]
        case RotateKey(key=key, secrets=entries):
            return [EnvironmentKeyRotated(key=key, secrets=entries)]
        case DeleteEnvironment():
            return [EnvironmentDeleted()]
        case CreateStage() | EditStage() | MoveStage() | DeleteStage() | SetDefaultStage():
            return _decide_stage(pipeline, command)
        case _:
            return _decide_service(pipeline, command)


def _create(command: CreateEnvironment) -> list[PipelineEvent]:
    stages = [
        StageCreated(
            stage=stage, name=f"{type_} DEFAULT", description=DEFAULT_DESCRIPTION, position=position, home_of=type_
        )
        for position, (type_, stage) in enumerate(zip(DEFAULT_STAGES, command.stages, strict=True), 1)
    ]
    created = EnvironmentCreated(
        project=command.project,
        name=names.checked(command.name),
        target=command.target,
        concurrency=checked_concurrency(command.concurrency),
    )
    return [created, *stages]


def checked_concurrency(concurrency: int) -> int:
    """Return *concurrency*; raises `InvalidConcurrency` unless it is between 1 and 100."""
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise InvalidConcurrency(concurrency=concurrency, most=MAX_CONCURRENCY)
    return concurrency


def check_policy(policy: StagePolicy) -> None:
    """Raise `InvalidConcurrency` or `InvalidPolicy` unless *policy* is valid."""
    if policy.concurrency is not None:
        checked_concurrency(policy.concurrency)
    if policy.approval is not None:
        gates.check_approval(policy.approval)
    if policy.wait is not None:
        gates.check_wait(policy.wait)
    if policy.check is not None:
        gates.check_check(policy.check)


def _edit(pipeline: Pipeline, command: EditEnvironment) -> list[PipelineEvent]:
    events: list[PipelineEvent] = []
    if command.name is not None and names.checked(command.name) != pipeline.name:
        events.append(EnvironmentRenamed(name=names.checked(command.name)))
    if command.target is not None and command.target != pipeline.target:
        events.append(TargetChanged(target=command.target))
    if command.concurrency is not None and checked_concurrency(command.concurrency) != pipeline.concurrency:
        events.append(ConcurrencyChanged(concurrency=command.concurrency))
    if command.policy is not None and command.policy != pipeline.policy:
        events.append(EnvironmentPolicyChanged(policy=checked_policy(command.policy)))
    return events


def _decide_stage(pipeline: Pipeline, command: StageCommand) -> list[PipelineEvent]:
    match command:
        case CreateStage(stage=stage, place=place):
            if any(known.id == stage for known in pipeline.stages):
                return []
            if len(pipeline.stages) >= MAX_STAGES:
                raise LimitReached(limit=MAX_STAGES, what="stages in a pipeline")
            name = _free(pipeline.stages, "stage", command.name)
            description = names.checked_description(command.description)
            last = len(pipeline.stages) + 1
            position = last if place is None else _position(pipeline, place, last)
            return [StageCreated(stage=stage, name=name, description=description, position=position)]
        case EditStage():
            return _edit_stage(pipeline, command)
        case MoveStage(stage=ref, place=place):
            moved = pipeline.stage(ref)
            if isinstance(place, Before | After) and pipeline.stage(place.stage).id == moved.id:
                return []
            source = pipeline.position(moved.id)
            target = _position(_without(pipeline, moved), place, len(pipeline.stages))
            return [] if source == target else [StageMoved(stage=moved.id, source=source, target=target)]
        case DeleteStage():
            return _delete_stage(pipeline, command)
        case SetDefaultStage(type=type_, stage=wanted):
            return _set_default(pipeline, type_, None if wanted is None else pipeline.stage(wanted))
        case _:
            assert_never(command)


def _edit_stage(pipeline: Pipeline, command: EditStage) -> list[PipelineEvent]:
    stage = pipeline.stage(command.stage)
    events: list[PipelineEvent] = []
    description = command.description
    if command.name is not None:
        name = _free(pipeline.stages, "stage", command.name, but=stage)
        if name != stage.name:
            events.append(StageRenamed(stage=stage.id, name=name))
            if description is None and stage.description == DEFAULT_DESCRIPTION:
                description = ""
    if description is not None and names.checked_description(description) != stage.description:
        events.append(StageDescribed(stage=stage.id, description=names.checked_description(description)))
    if command.policy is not None and command.policy != stage.policy:
        check_policy(command.policy)
        events.append(StagePolicyChanged(stage=stage.id, policy=command.policy))
    return events


def _delete_stage(pipeline: Pipeline, command: DeleteStage) -> list[PipelineEvent]:
    stage = pipeline.stage(command.stage)
    target = None if command.services_to is None else pipeline.stage(command.services_to)
    if len(pipeline.stages) == 1:
        raise LastStage(stage=stage.name)
    if target is not None and target.id == stage.id:
        raise OwnDestination(stage=stage.name)
    if target is None and stage.services:
        raise StageNotEmpty(stage=stage.name, services=", ".join(service.name for service in stage.services))
    moves = [ServiceMoved(service=s.id, source=stage.id, target=target.id) for s in stage.services if target]
    return [*moves, StageDeleted(stage=stage.id)]


def _set_default(pipeline: Pipeline, type_: ServiceType, stage: Stage | None) -> list[PipelineEvent]:
    if stage is not None and stage.home_of == type_:
        return []
    if stage is not None and stage.home_of is not None:
        raise DefaultTaken(stage=stage.name, type=stage.home_of.value)
    old = [known.id for known in pipeline.stages if known.home_of == type_]
    left: list[PipelineEvent] = [StageHomeChanged(stage=known, home_of=None) for known in old]
    return left if stage is None else [*left, StageHomeChanged(stage=stage.id, home_of=type_)]


def _position(pipeline: Pipeline, place: Place, last: int) -> int:
    match place:
        case At(position=position):
            if not 1 <= position <= last:
                raise InvalidPosition(position=position, last=last)
            return position
        case Before(stage=ref):
            return pipeline.position(pipeline.stage(ref).id)
        case After(stage=ref):
            return pipeline.position(pipeline.stage(ref).id) + 1
        case _:
            assert_never(place)


def _without(pipeline: Pipeline, stage: Stage) -> Pipeline:
    return replace(pipeline, stages=tuple(known for known in pipeline.stages if known is not stage))


def _free(things: tuple[Thing, ...], kind: str, wanted: str, but: Thing | None = None) -> str:
    name = names.checked(wanted)
    holder = find(things, name)
    if holder is not None and holder is not but:
        raise NameTaken(kind=kind, name=holder.name)
    return name


def _decide_service(pipeline: Pipeline, command: ServiceCommand) -> list[PipelineEvent]:
    match command:
        case AddService():
            return _add_service(pipeline, command)
        case EditService():
            return _edit_service(pipeline, command)
        case MoveService():
            return _move_service(pipeline, command)
        case SkipService(service=ref):
            service = pipeline.service(ref)
            return [] if service.is_skipped else [ServiceSkipped(service=service.id)]
        case UnskipService(service=ref):
            service = pipeline.service(ref)
            return [ServiceUnskipped(service=service.id)] if service.is_skipped else []
        case RemoveService(service=ref):
            return [ServiceRemoved(service=pipeline.service(ref).id)]
        case _:
            assert_never(command)


def _edit_service(pipeline: Pipeline, command: EditService) -> list[PipelineEvent]:
    """Return the events of an edit; references to a renamed service follow it."""
    service, spec = pipeline.service(command.service), command.spec
    events: list[PipelineEvent] = []
    following: list[ServiceConfigured] = []
    if command.name is not None:
        name = _free(pipeline.services, "service", command.name, but=service)
        if name != service.name:
            events.append(ServiceRenamed(service=service.id, name=name))
            following = needs.following(pipeline, service, name)
    if spec is not None and checked(spec, service.type) != service.spec:
        events.append(ServiceConfigured(service=service.id, spec=spec))
    return [*events, *following]


def _move_service(pipeline: Pipeline, command: MoveService) -> list[PipelineEvent]:
    service, stage = pipeline.service(command.service), pipeline.stage(command.stage)
    source = pipeline.stage_of(service.id)
    if command.place is None:
        is_there = source.id == stage.id
        return [] if is_there else [ServiceMoved(service=service.id, source=source.id, target=stage.id)]
    others = [each.id for each in stage.services if each.id != service.id]
    position = _position_in(pipeline, stage, service.id, others, command.place)
    if source.id == stage.id and stage.services[position - 1].id == service.id:
        return []
    wanted = None if position > len(others) else position
    return [ServiceMoved(service=service.id, source=source.id, target=stage.id, position=wanted)]


def _position_in(
    pipeline: Pipeline, stage: Stage, moved: ServiceId, others: list[ServiceId], place: ServicePlace
) -> int:
    """Return the position of *place* in the list of *stage*, among the *others* there."""
    match place:
        case AtPosition(position=position):
            if not 1 <= position <= len(others) + 1:
                raise InvalidPosition(position=position, last=len(others) + 1)
            return position
        case BeforeService(service=ref) | AfterService(service=ref):
            neighbour = pipeline.service(ref)
            ids = [each.id for each in stage.services]
            if neighbour.id not in ids:
                raise InvalidArgument(argument="to", why=f"service {neighbour.name!r} is not in stage {stage.name!r}")
            if neighbour.id == moved:
                return ids.index(moved) + 1
            return others.index(neighbour.id) + (1 if isinstance(place, BeforeService) else 2)
        case _:
            assert_never(place)


def _add_service(pipeline: Pipeline, command: AddService) -> list[PipelineEvent]:
    if any(known.id == command.service for known in pipeline.services):
        return []
    if len(pipeline.services) >= MAX_SERVICES:
        raise LimitReached(limit=MAX_SERVICES, what="services in an environment")
    name = _free(pipeline.services, "service", command.name)
    stage = _home(pipeline, command.type) if command.stage is None else pipeline.stage(command.stage)
    return [
        ServiceAdded(service=command.service, name=name, type=command.type, spec=checked(command.spec, command.type)),
        ServiceMoved(service=command.service, source=None, target=stage.id),
    ]


def _home(pipeline: Pipeline, type_: ServiceType) -> Stage:
    """Return the home stage of *type_*, or the last stage if there is none."""
    return next((stage for stage in pipeline.stages if stage.home_of == type_), pipeline.stages[-1])
