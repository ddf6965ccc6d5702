"""What an event of a pipeline says: one type per event."""

import enum
import json
from collections.abc import Sequence
from typing import Any, assert_never

import strawberry

from domain import pipeline as pipelines
from domain.pipeline import environment as environments
from domain.pipeline import service as services
from domain.pipeline import stage as stages
from domain.pipeline.environment import Target
from domain.pipeline.stage import Stage as DomainStage
from domain.pipeline.state import Pipeline
from domain.spec import ServiceSpec as DomainSpec
from domain.spec import ServiceType
from gql.types import spec as specs
from gql.types.pipeline import ServiceRef, StagePolicy, StageRef, service_ref, stage_ref
from gql.types.spec import ServiceSpec
from projections.words.pipeline import pipeline_event_words
from store.log import Origin

strawberry.enum(Origin, description="Through which door a change came in.")


@strawberry.enum(description="What happened to an environment or its pipeline.")
class PipelineEventType(enum.Enum):
    ENVIRONMENT_CREATED = "EnvironmentCreated"
    ENVIRONMENT_RENAMED = "EnvironmentRenamed"
    TARGET_CHANGED = "TargetChanged"
    CONCURRENCY_CHANGED = "ConcurrencyChanged"
    ENVIRONMENT_DELETED = "EnvironmentDeleted"
    STAGE_CREATED = "StageCreated"
    STAGE_RENAMED = "StageRenamed"
    STAGE_DESCRIBED = "StageDescribed"
    STAGE_MOVED = "StageMoved"
    STAGE_POLICY_CHANGED = "StagePolicyChanged"
    STAGE_HOME_CHANGED = "StageHomeChanged"
    STAGE_DELETED = "StageDeleted"
    SERVICE_ADDED = "ServiceAdded"
    SERVICE_RENAMED = "ServiceRenamed"
    SERVICE_CONFIGURED = "ServiceConfigured"
    SERVICE_MOVED = "ServiceMoved"
    SERVICE_SKIPPED = "ServiceSkipped"
    SERVICE_UNSKIPPED = "ServiceUnskipped"
    SERVICE_REMOVED = "ServiceRemoved"


@strawberry.interface(description="A change of a pipeline, told: what it is about, by the names that things had then.")
class Change:
    type: PipelineEventType
    message: str = strawberry.field(description="The change in words.")
    stage: StageRef | None
    service: ServiceRef | None


@strawberry.type(description="An environment was made.")
class EnvironmentCreated(Change):
    name: str
    target: Target
    concurrency: int


@strawberry.type(description="An environment got another name.")
class EnvironmentRenamed(Change):
    name: str
    previous_name: str


@strawberry.type(description="Something else carries an environment's steps out.")
class TargetChanged(Change):
    target: Target
    previous_target: Target


@strawberry.type(description="More or fewer services are worked on at once.")
class ConcurrencyChanged(Change):
    concurrency: int
    previous_concurrency: int


@strawberry.type(description="An environment was deleted.")
class EnvironmentDeleted(Change): ...


@strawberry.type(description="A stage was made.")
class StageCreated(Change):
    name: str
    description: str
    to_position: int
    home_of: ServiceType | None


@strawberry.type(description="A stage got another name.")
class StageRenamed(Change):
    name: str
    previous_name: str


@strawberry.type(description="A stage got another description.")
class StageDescribed(Change):
    description: str
    previous_description: str


@strawberry.type(description="A stage moved to another place in the order.")
class StageMoved(Change):
    from_position: int
    to_position: int


@strawberry.type(description="A stage is carried out in another way.")
class StagePolicyChanged(Change):
    policy: StagePolicy
    previous_policy: StagePolicy


@strawberry.type(description="New services of another type land in a stage.")
class StageHomeChanged(Change):
    home_of: ServiceType | None
    previous_home_of: ServiceType | None


@strawberry.type(description="A stage was deleted.")
class StageDeleted(Change):
    previous_name: str


@strawberry.type(description="A service was added; which stage it stands in, the ServiceMoved after it says.")
class ServiceAdded(Change):
    name: str
    service_type: ServiceType
    spec: ServiceSpec


@strawberry.type(description="A service got another name.")
class ServiceRenamed(Change):
    name: str
    previous_name: str


@strawberry.type(description="A field of a specification that changed; the values are JSON.")
class FieldChange:
    field: str
    before: str
    after: str


@strawberry.type(description="A service got another specification.")
class ServiceConfigured(Change):
    spec: ServiceSpec
    previous_spec: ServiceSpec
    fields: list[FieldChange]


@strawberry.type(description="A service moved to the end of a stage.")
class ServiceMoved(Change):
    from_stage: StageRef | None = strawberry.field(description="Null when a new service is placed for the first time.")
    to_stage: StageRef


@strawberry.type(description="Deployments leave a service out, from now on.")
class ServiceSkipped(Change): ...


@strawberry.type(description="Deployments no longer leave a service out.")
class ServiceUnskipped(Change): ...


@strawberry.type(description="A service was removed.")
class ServiceRemoved(Change):
    previous_name: str


TYPES: list[type[Change]] = Change.__subclasses__()


def changes(before: Pipeline, events: Sequence[pipelines.PipelineEvent]) -> list[Change]:
    """Tells *events*, the first of which came when the pipeline was *before*."""
    told = []
    for event in events:
        told.append(change(before, event))
        before = pipelines.evolve(before, event)
    return told


def change(before: Pipeline, event: pipelines.PipelineEvent) -> Change:
    """Tells *event* of a pipeline that was *before*, of which no more is needed than what the event speaks of."""
    words = pipeline_event_words(before, event)
    subject = words.subject
    told: dict[str, Any] = {
        "type": PipelineEventType(type(event).__name__),
        "message": words.message,
        "stage": None if subject.stage is None else stage_ref(subject.stage.id, subject.stage.name),
        "service": None
        if subject.service is None
        else service_ref(subject.service.id, subject.service.name, subject.service.type),
    }
    if isinstance(event, environments.EnvironmentEvent):
        return _of_environment(before, event, told)
    if isinstance(event, stages.StageEvent):
        return _of_stage(before, event, told)
    return _of_service(before, event, told)


def _of_environment(before: Pipeline, event: environments.EnvironmentEvent, told: dict[str, Any]) -> Change:
    match event:
        case environments.EnvironmentCreated(name=name, target=target, concurrency=concurrency):
            return EnvironmentCreated(**told, name=name, target=target, concurrency=concurrency)
        case environments.EnvironmentRenamed(name=name):
            return EnvironmentRenamed(**told, name=name, previous_name=before.name)
        case environments.TargetChanged(target=target):
            return TargetChanged(**told, target=target, previous_target=before.target)
        case environments.ConcurrencyChanged(concurrency=concurrency):
            return ConcurrencyChanged(**told, concurrency=concurrency, previous_concurrency=before.concurrency)
        case environments.EnvironmentDeleted():
            return EnvironmentDeleted(**told)
        case _:
            assert_never(event)


def _of_stage(before: Pipeline, event: stages.StageEvent, told: dict[str, Any]) -> Change:
    if isinstance(event, stages.StageCreated):
        return StageCreated(
            **told,
            name=event.name,
            description=event.description,
            to_position=event.position,
            home_of=event.home_of,
        )
    stage = before.stage(event.stage)
    match event:
        case stages.StageRenamed(name=name):
            return StageRenamed(**told, name=name, previous_name=stage.name)
        case stages.StageDescribed(description=description):
            return StageDescribed(**told, description=description, previous_description=stage.description)
        case stages.StageMoved(source=source, target=target):
            return StageMoved(**told, from_position=source, to_position=target)
        case stages.StagePolicyChanged(policy=policy):
            return StagePolicyChanged(**told, policy=_policy(policy), previous_policy=_policy(stage.policy))
        case stages.StageHomeChanged(home_of=home_of):
            return StageHomeChanged(**told, home_of=home_of, previous_home_of=stage.home_of)
        case stages.StageDeleted():
            return StageDeleted(**told, previous_name=stage.name)
        case _:
            assert_never(event)


def _of_service(before: Pipeline, event: services.ServiceEvent, told: dict[str, Any]) -> Change:
    match event:
        case services.ServiceAdded(name=name, type=type_, spec=spec):
            return ServiceAdded(**told, name=name, service_type=type_, spec=specs.from_domain(spec))
        case services.ServiceRenamed(service=id_, name=name):
            return ServiceRenamed(**told, name=name, previous_name=before.service(id_).name)
        case services.ServiceConfigured(service=id_, spec=spec):
            previous = before.service(id_).spec
            return ServiceConfigured(
                **told,
                spec=specs.from_domain(spec),
                previous_spec=specs.from_domain(previous),
                fields=_fields(previous, spec),
            )
        case services.ServiceMoved(source=source, target=target):
            left = None if source is None else _ref(before.stage(source))
            return ServiceMoved(**told, from_stage=left, to_stage=_ref(before.stage(target)))
        case services.ServiceSkipped():
            return ServiceSkipped(**told)
        case services.ServiceUnskipped():
            return ServiceUnskipped(**told)
        case services.ServiceRemoved(service=id_):
            return ServiceRemoved(**told, previous_name=before.service(id_).name)
        case _:
            assert_never(event)


def _ref(stage: DomainStage) -> StageRef:
    return stage_ref(stage.id, stage.name)


def _policy(policy: stages.StagePolicy) -> StagePolicy:
    return StagePolicy(concurrency=policy.concurrency)


def _fields(before: DomainSpec, after: DomainSpec) -> list[FieldChange]:
    """What differs, under the names and in the shapes that the contract has for it."""
    old, new = (strawberry.asdict(specs.from_domain(spec)) for spec in (before, after))
    return [
        FieldChange(field=_camel(name), before=_json(old[name]), after=_json(new[name]))
        for name in old
        if old[name] != new[name]
    ]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
