"""
The things and properties that an event of a pipeline changes, and the things that it needs.

Two events collide if they change the same property of a thing, if one creates or ends a thing that the other changes,
or if one creates or ends a stage that the other needs. Changes without a collision can be made in either order, and one
can be undone without the other.
"""

from typing import assert_never
from uuid import UUID

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
from domain.pipeline.service import (
    ServiceAdded,
    ServiceConfigured,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageHomeChanged,
    StageMoved,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import PipelineEvent

EXISTENCE = "existence"

Aspect = tuple[UUID | None, str]
"""A stage, a service, or None for the environment, with a property of it."""


def aspect(event: PipelineEvent) -> Aspect:
    """Return the property that *event* changes."""
    match event:
        case EnvironmentCreated() | EnvironmentDeleted():
            return None, EXISTENCE
        case EnvironmentRenamed():
            return None, "name"
        case TargetChanged():
            return None, "target"
        case ConcurrencyChanged():
            return None, "concurrency"
        case EnvironmentPolicyChanged():
            return None, "policy"
        case EnvironmentVariableSet(name=name) | EnvironmentVariableDeleted(name=name):
            return None, f"variable {name}"
        case EnvironmentSecretSet(secret=secret):
            return None, f"secret {secret.name}"
        case EnvironmentSecretDeleted(name=name):
            return None, f"secret {name}"
        case EnvironmentKeyRotated():
            return None, "key"
        case StageCreated(stage=stage) | StageDeleted(stage=stage):
            return stage, EXISTENCE
        case StageRenamed(stage=stage):
            return stage, "name"
        case StageDescribed(stage=stage):
            return stage, "description"
        case StageMoved(stage=stage):
            return stage, "position"
        case StagePolicyChanged(stage=stage):
            return stage, "policy"
        case StageHomeChanged(stage=stage):
            return stage, "home"
        case ServiceAdded(service=service) | ServiceRemoved(service=service):
            return service, EXISTENCE
        case ServiceRenamed(service=service):
            return service, "name"
        case ServiceConfigured(service=service):
            return service, "spec"
        case ServiceMoved(service=service):
            return service, "place"
        case ServiceSkipped(service=service) | ServiceUnskipped(service=service):
            return service, "skipped"
        case _:
            assert_never(event)


def collide(one: PipelineEvent, other: PipelineEvent) -> bool:
    """Return whether the events change the same property, or one changes the existence of what the other needs."""
    (thing, changed), (their, theirs) = aspect(one), aspect(other)
    if thing == their:
        return changed == theirs or EXISTENCE in (changed, theirs)
    return (changed == EXISTENCE and thing in _needs(other)) or (theirs == EXISTENCE and their in _needs(one))


def _needs(event: PipelineEvent) -> tuple[UUID | None, ...]:
    return (event.source, event.target) if isinstance(event, ServiceMoved) else ()
