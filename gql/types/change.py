"""Changes of a pipeline: a GraphQL type for each event."""

import enum
from collections.abc import Sequence
from typing import Any, assert_never, get_args

import strawberry

from domain import pipeline as pipelines
from domain.pipeline import environment as environments
from domain.pipeline import service as services
from domain.pipeline import stage as stages
from domain.pipeline.state import Pipeline
from domain.spec import ServiceType
from gql.contract.enum import describe_values, value_name
from gql.types import spec as specs
from gql.types.environment import EnvironmentPolicy
from gql.types.environment import policy_from_domain as policy_of_environment
from gql.types.field_change import FieldChange, field_changes
from gql.types.ref import ServiceRef, StageRef, service_ref, stage_ref
from gql.types.spec import ServiceSpec
from gql.types.stage import StagePolicy, policy_from_domain
from gql.types.target import Target
from projections.words.pipeline import pipeline_event_words

NAMES: dict[type, str] = {stages.StageHomeChanged: "StageDefaultChanged"}
"""The GraphQL names of events that have another one in the log."""


def _name(event: type) -> str:
    return NAMES.get(event, event.__name__)


@strawberry.enum(description="The kind of an event of an environment or its pipeline.")
class PipelineEventType(enum.Enum):
    _ignore_ = "event"

    for event in get_args(pipelines.PipelineEvent):
        vars()[value_name(_name(event))] = event.__name__


@strawberry.interface(description="A change of a pipeline. Stages and services have their names at that time.")
class Change:
    type: PipelineEventType = strawberry.field(description="The kind of change, for programs.")
    message: str = strawberry.field(description="The change in words.")
    stage: StageRef | None = strawberry.field(description="The stage that the change is about, if any.")
    service: ServiceRef | None = strawberry.field(description="The service that the change is about, if any.")


@strawberry.type(description="An environment was created.")
class EnvironmentCreated(Change):
    name: str = strawberry.field(description="Name of the environment.")
    target: Target = strawberry.field(description="Target of the environment.")
    concurrency: int = strawberry.field(description="Number of services that are built or deployed at once.")


@strawberry.type(description="An environment was renamed.")
class EnvironmentRenamed(Change):
    name: str = strawberry.field(description="The new name.")
    previous_name: str = strawberry.field(description="The previous name.")


@strawberry.type(description="The target of an environment was changed.")
class TargetChanged(Change):
    target: Target = strawberry.field(description="The new target.")
    previous_target: Target = strawberry.field(description="The previous target.")


@strawberry.type(description="The concurrency of an environment was changed.")
class ConcurrencyChanged(Change):
    concurrency: int = strawberry.field(description="The new number of services at once.")
    previous_concurrency: int = strawberry.field(description="The previous number of services at once.")


@strawberry.type(description="The policy of an environment was changed.")
class EnvironmentPolicyChanged(Change):
    environment_policy: EnvironmentPolicy = strawberry.field(description="The new policy.")
    previous_environment_policy: EnvironmentPolicy = strawberry.field(description="The previous policy.")


@strawberry.type(description="A variable of an environment was set.")
class EnvironmentVariableSet(Change):
    name: str = strawberry.field(description="Name of the variable.")
    value: str = strawberry.field(description="The new value.")
    previous_value: str | None = strawberry.field(description="The previous value; null for a new variable.")


@strawberry.type(description="A variable of an environment was deleted.")
class EnvironmentVariableDeleted(Change):
    previous_name: str = strawberry.field(description="Name of the variable.")
    previous_value: str | None = strawberry.field(description="The previous value.")


@strawberry.type(description="A secret of an environment was set. No event has its value.")
class EnvironmentSecretSet(Change):
    name: str = strawberry.field(description="Name of the secret.")
    secret_version: int = strawberry.field(description="The new version of the secret.")
    previous_secret_version: int | None = strawberry.field(
        description="The previous version of the secret; null for a new one."
    )


@strawberry.type(description="A secret of an environment was deleted. Its value can't be read any more.")
class EnvironmentSecretDeleted(Change):
    previous_name: str = strawberry.field(description="Name of the secret.")


@strawberry.type(
    description="The key of an environment's secrets was rotated. Deleted and earlier values can't be read any more."
)
class EnvironmentKeyRotated(Change):
    key: int = strawberry.field(description="Number of the new key, from 1.")


@strawberry.type(description="An environment was deleted. No event follows.")
class EnvironmentDeleted(Change): ...


@strawberry.type(description="A stage was created.")
class StageCreated(Change):
    name: str = strawberry.field(description="Name of the stage.")
    description: str = strawberry.field(description="Description of the stage.")
    to_position: int = strawberry.field(description="Position of the stage, from 1.")
    default_for_type: ServiceType | None = strawberry.field(
        description="New services of this type are added to the stage."
    )


@strawberry.type(description="A stage was renamed.")
class StageRenamed(Change):
    name: str = strawberry.field(description="The new name.")
    previous_name: str = strawberry.field(description="The previous name.")


@strawberry.type(description="The description of a stage was changed.")
class StageDescribed(Change):
    description: str = strawberry.field(description="The new description.")
    previous_description: str = strawberry.field(description="The previous description.")


@strawberry.type(description="A stage was moved to another position.")
class StageMoved(Change):
    from_position: int = strawberry.field(description="The previous position, from 1.")
    to_position: int = strawberry.field(description="The new position, from 1.")


@strawberry.type(description="The policy of a stage was changed.")
class StagePolicyChanged(Change):
    policy: StagePolicy = strawberry.field(description="The new policy.")
    previous_policy: StagePolicy = strawberry.field(description="The previous policy.")


@strawberry.type(description="The type of services that are added to a stage by default was changed.")
class StageDefaultChanged(Change):
    default_for_type: ServiceType | None = strawberry.field(description="The new type; null for none.")
    previous_default_for_type: ServiceType | None = strawberry.field(description="The previous type; null for none.")


@strawberry.type(description="A stage was deleted.")
class StageDeleted(Change):
    previous_name: str = strawberry.field(description="Name of the stage.")


@strawberry.type(description="A service was added. The ServiceMoved after it names the stage.")
class ServiceAdded(Change):
    name: str = strawberry.field(description="Name of the service.")
    service_type: ServiceType = strawberry.field(description="Type of the service.")
    spec: ServiceSpec = strawberry.field(description="Specification of the service.")


@strawberry.type(description="A service was renamed.")
class ServiceRenamed(Change):
    name: str = strawberry.field(description="The new name.")
    previous_name: str = strawberry.field(description="The previous name.")


@strawberry.type(description="The specification of a service was changed.")
class ServiceConfigured(Change):
    spec: ServiceSpec = strawberry.field(description="The new specification.")
    previous_spec: ServiceSpec = strawberry.field(description="The previous specification.")
    fields: list[FieldChange] = strawberry.field(description="The fields that differ.")


@strawberry.type(description="A service was moved to a stage, or within its stage.")
class ServiceMoved(Change):
    from_stage: StageRef | None = strawberry.field(description="The previous stage; null for a new service.")
    to_stage: StageRef = strawberry.field(description="The new stage.")
    position_in_stage: int | None = strawberry.field(
        description="The new position in the list of the stage, from 1; null for the end."
    )


@strawberry.type(description="A service was skipped: deployments leave it out.")
class ServiceSkipped(Change): ...


@strawberry.type(description="A service is no longer skipped.")
class ServiceUnskipped(Change): ...


@strawberry.type(description="A service was removed.")
class ServiceRemoved(Change):
    previous_name: str = strawberry.field(description="Name of the service.")


TYPES: list[type[Change]] = Change.__subclasses__()
"""The GraphQL types of changes, which the schema finds only by their interface."""


def _description(change: Any) -> str:
    text: str = change.__strawberry_definition__.description
    return text


describe_values(
    PipelineEventType,
    {value_name(each.__name__): _description(each) for each in TYPES},
)


def changes(before: Pipeline, events: Sequence[pipelines.PipelineEvent]) -> list[Change]:
    """Return the changes of a sequence of events after the state *before*."""
    result = []
    for event in events:
        result.append(change(before, event))
        before = pipelines.evolve(before, event)
    return result


def change(before: Pipeline, event: pipelines.PipelineEvent) -> Change:
    """Return the change of *event* after the state *before*, which needs only the objects that the event is about."""
    words = pipeline_event_words(before, event)
    subject = words.subject
    common: dict[str, Any] = {
        "type": PipelineEventType(type(event).__name__),
        "message": words.message,
        "stage": None if subject.stage is None else stage_ref(subject.stage.id, subject.stage.name),
        "service": None
        if subject.service is None
        else service_ref(subject.service.id, subject.service.name, subject.service.type),
    }
    if isinstance(event, environments.EnvironmentEvent):
        return _environment_change(before, event, common)
    if isinstance(event, stages.StageEvent):
        return _stage_change(before, event, common)
    return _service_change(before, event, common)


def _environment_change(before: Pipeline, event: environments.EnvironmentEvent, common: dict[str, Any]) -> Change:
    match event:
        case environments.EnvironmentCreated(name=name, target=target, concurrency=concurrency):
            return EnvironmentCreated(**common, name=name, target=target, concurrency=concurrency)
        case environments.EnvironmentRenamed(name=name):
            return EnvironmentRenamed(**common, name=name, previous_name=before.name)
        case environments.TargetChanged(target=target):
            return TargetChanged(**common, target=target, previous_target=before.target)
        case environments.ConcurrencyChanged(concurrency=concurrency):
            return ConcurrencyChanged(**common, concurrency=concurrency, previous_concurrency=before.concurrency)
        case environments.EnvironmentPolicyChanged(policy=policy):
            return EnvironmentPolicyChanged(
                **common,
                environment_policy=policy_of_environment(policy),
                previous_environment_policy=policy_of_environment(before.policy),
            )
        case environments.EnvironmentVariableSet(name=name, value=value):
            previous = _value_of(before, name)
            return EnvironmentVariableSet(**common, name=name, value=value, previous_value=previous)
        case environments.EnvironmentVariableDeleted(name=name):
            return EnvironmentVariableDeleted(**common, previous_name=name, previous_value=_value_of(before, name))
        case environments.EnvironmentSecretSet(secret=secret):
            old = before.secrets.find(secret.name)
            return EnvironmentSecretSet(
                **common,
                name=secret.name,
                secret_version=secret.version,
                previous_secret_version=None if old is None else old.version,
            )
        case environments.EnvironmentSecretDeleted(name=name):
            return EnvironmentSecretDeleted(**common, previous_name=name)
        case environments.EnvironmentKeyRotated(key=key):
            return EnvironmentKeyRotated(**common, key=key)
        case environments.EnvironmentDeleted():
            return EnvironmentDeleted(**common)
        case _:
            assert_never(event)


def _value_of(pipeline: Pipeline, name: str) -> str | None:
    return next((variable.value for variable in pipeline.variables if variable.name == name), None)


def _stage_change(before: Pipeline, event: stages.StageEvent, common: dict[str, Any]) -> Change:
    if isinstance(event, stages.StageCreated):
        return StageCreated(
            **common,
            name=event.name,
            description=event.description,
            to_position=event.position,
            default_for_type=event.home_of,
        )
    stage = before.stage(event.stage)
    match event:
        case stages.StageRenamed(name=name):
            return StageRenamed(**common, name=name, previous_name=stage.name)
        case stages.StageDescribed(description=description):
            return StageDescribed(**common, description=description, previous_description=stage.description)
        case stages.StageMoved(source=source, target=target):
            return StageMoved(**common, from_position=source, to_position=target)
        case stages.StagePolicyChanged(policy=policy):
            previous = policy_from_domain(stage.policy)
            return StagePolicyChanged(**common, policy=policy_from_domain(policy), previous_policy=previous)
        case stages.StageHomeChanged(home_of=home_of):
            return StageDefaultChanged(**common, default_for_type=home_of, previous_default_for_type=stage.home_of)
        case stages.StageDeleted():
            return StageDeleted(**common, previous_name=stage.name)
        case _:
            assert_never(event)


def _service_change(before: Pipeline, event: services.ServiceEvent, common: dict[str, Any]) -> Change:
    match event:
        case services.ServiceAdded(name=name, type=type_, spec=spec):
            return ServiceAdded(**common, name=name, service_type=type_, spec=specs.from_domain(spec))
        case services.ServiceRenamed(service=id_, name=name):
            return ServiceRenamed(**common, name=name, previous_name=before.service(id_).name)
        case services.ServiceConfigured(service=id_, spec=spec):
            previous = before.service(id_).spec
            return ServiceConfigured(
                **common,
                spec=specs.from_domain(spec),
                previous_spec=specs.from_domain(previous),
                fields=field_changes(previous, spec),
            )
        case services.ServiceMoved(source=source, target=target, position=position):
            from_stage = None if source is None else _stage_ref(before.stage(source))
            return ServiceMoved(
                **common, from_stage=from_stage, to_stage=_stage_ref(before.stage(target)), position_in_stage=position
            )
        case services.ServiceSkipped():
            return ServiceSkipped(**common)
        case services.ServiceUnskipped():
            return ServiceUnskipped(**common)
        case services.ServiceRemoved(service=id_):
            return ServiceRemoved(**common, previous_name=before.service(id_).name)
        case _:
            assert_never(event)


def _stage_ref(stage: stages.Stage) -> StageRef:
    return stage_ref(stage.id, stage.name)
