"""
An environment's pipeline: its ordered stages, and which service stands where.

A service stands in exactly one stage. Stages are counted from 1. Names are unique in the environment without
regard to case, and whatever names a stage or a service may be its id or its name.
"""

from collections.abc import Iterable
from typing import TypeVar, assert_never, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain import name as names
from domain.decider import Decider
from domain.environment import (
    DEFAULT_CONCURRENCY,
    MAX_CONCURRENCY,
    ConcurrencyChanged,
    CreateEnvironment,
    DeleteEnvironment,
    EditEnvironment,
    EnvironmentCommand,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentRenamed,
    Target,
    TargetChanged,
)
from domain.errors import (
    EnvironmentNotFound,
    InvalidConcurrency,
    InvalidPosition,
    LastStage,
    LimitReached,
    NameTaken,
    OwnDestination,
    ServiceNotFound,
    StageNotEmpty,
    StageNotFound,
)
from domain.project import ProjectId
from domain.service import (
    MAX_SERVICES,
    AddService,
    EditService,
    MoveService,
    RemoveService,
    Service,
    ServiceAdded,
    ServiceCommand,
    ServiceConfigured,
    ServiceEvent,
    ServiceId,
    ServiceMoved,
    ServiceRef,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
    SkipService,
    UnskipService,
)
from domain.spec import ServiceType, checked
from domain.stage import (
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
    StageCommand,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageEvent,
    StageHomeChanged,
    StageId,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRef,
    StageRenamed,
)

DEFAULT_STAGES = (ServiceType.DATABASE, ServiceType.JOB, ServiceType.CONTAINER, ServiceType.APPLICATION)

PipelineEvent = EnvironmentEvent | StageEvent | ServiceEvent
PipelineCommand = EnvironmentCommand | StageCommand | ServiceCommand


class Stage(Struct, frozen=True, kw_only=True):
    id: StageId
    name: str
    description: str
    home_of: ServiceType | None = None
    policy: StagePolicy = StagePolicy()
    services: tuple[Service, ...] = ()


Thing = TypeVar("Thing", Stage, Service)


class Pipeline(Struct, frozen=True, kw_only=True):
    """An environment with its stages in order; `project` is None until it was created."""

    project: ProjectId | None = None
    name: str = ""
    target: Target = Target.PROCESS
    concurrency: int = DEFAULT_CONCURRENCY
    is_deleted: bool = False
    stages: tuple[Stage, ...] = ()
    incoming: Service | None = None  # added, and on its way into its first stage

    @property
    def exists(self) -> bool:
        return self.project is not None and not self.is_deleted

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(service for stage in self.stages for service in stage.services)

    def stage(self, ref: StageRef) -> Stage:
        """The stage with that id or name; raises `StageNotFound`."""
        stage = _find(self.stages, ref)
        if stage is None:
            raise StageNotFound(stage=str(ref))
        return stage

    def position(self, stage: StageId) -> int:
        return 1 + [known.id for known in self.stages].index(stage)

    def service(self, ref: ServiceRef) -> Service:
        """The service with that id or name; raises `ServiceNotFound`."""
        for stage in self.stages:
            service = _find(stage.services, ref)
            if service is not None:
                return service
        raise ServiceNotFound(service=str(ref))

    def stage_of(self, service: ServiceId) -> Stage:
        """The stage where the service with that id stands; raises `ServiceNotFound`."""
        for stage in self.stages:
            if _find(stage.services, service) is not None:
                return stage
        raise ServiceNotFound(service=str(service))


def _find(things: tuple[Thing, ...], ref: UUID | str) -> Thing | None:
    if isinstance(ref, UUID):
        wanted = ref.int  # ids are compared as integers, which is much quicker than as UUIDs
        for thing in things:
            if thing.id.int == wanted:
                return thing
        return None
    key = names.key(ref)
    return next((thing for thing in things if names.key(thing.name) == key), None)


# Rules


def decide(pipeline: Pipeline, command: PipelineCommand) -> list[PipelineEvent]:
    match command:
        case CreateEnvironment() if pipeline.project is None:
            return _create(command)
        case _ if not pipeline.exists:
            raise EnvironmentNotFound(environment=pipeline.name)
        case CreateEnvironment():
            return []
        case EditEnvironment():
            return _edit(pipeline, command)
        case DeleteEnvironment():
            return [EnvironmentDeleted()]
        case CreateStage() | EditStage() | MoveStage() | DeleteStage():
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
    """*concurrency*; raises `InvalidConcurrency` outside 1 to 100."""
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise InvalidConcurrency(concurrency=concurrency, most=MAX_CONCURRENCY)
    return concurrency


def _edit(pipeline: Pipeline, command: EditEnvironment) -> list[PipelineEvent]:
    events: list[PipelineEvent] = []
    if command.name is not None and names.checked(command.name) != pipeline.name:
        events.append(EnvironmentRenamed(name=names.checked(command.name)))
    if command.target is not None and command.target != pipeline.target:
        events.append(TargetChanged(target=command.target))
    if command.concurrency is not None and checked_concurrency(command.concurrency) != pipeline.concurrency:
        events.append(ConcurrencyChanged(concurrency=command.concurrency))
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
        if command.policy.concurrency is not None:
            checked_concurrency(command.policy.concurrency)
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
    holder = _find(things, name)
    if holder is not None and holder is not but:
        raise NameTaken(kind=kind, name=holder.name)
    return name


def _decide_service(pipeline: Pipeline, command: ServiceCommand) -> list[PipelineEvent]:
    match command:
        case AddService():
            return _add_service(pipeline, command)
        case EditService(service=ref, name=wanted, spec=spec):
            service = pipeline.service(ref)
            events: list[PipelineEvent] = []
            if (
                wanted is not None
                and (name := _free(pipeline.services, "service", wanted, but=service)) != service.name
            ):
                events.append(ServiceRenamed(service=service.id, name=name))
            if spec is not None and checked(spec) != service.spec:
                events.append(ServiceConfigured(service=service.id, spec=spec))
            return events
        case MoveService(service=ref, stage=target):
            service, stage = pipeline.service(ref), pipeline.stage(target)
            source = pipeline.stage_of(service.id)
            if source.id == stage.id:
                return []
            return [ServiceMoved(service=service.id, source=source.id, target=stage.id)]
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


def _add_service(pipeline: Pipeline, command: AddService) -> list[PipelineEvent]:
    if any(known.id == command.service for known in pipeline.services):
        return []
    if len(pipeline.services) >= MAX_SERVICES:
        raise LimitReached(limit=MAX_SERVICES, what="services in an environment")
    name = _free(pipeline.services, "service", command.name)
    stage = _home(pipeline, command.type) if command.stage is None else pipeline.stage(command.stage)
    return [
        ServiceAdded(service=command.service, name=name, type=command.type, spec=checked(command.spec)),
        ServiceMoved(service=command.service, source=None, target=stage.id),
    ]


def _home(pipeline: Pipeline, type_: ServiceType) -> Stage:
    """Where a new service of *type_* lands: the stage that its type started in, or the last one if that is gone."""
    return next((stage for stage in pipeline.stages if stage.home_of == type_), pipeline.stages[-1])


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


decider = Decider("pipeline", Pipeline(), decide, evolve, get_args(PipelineEvent), fold)
