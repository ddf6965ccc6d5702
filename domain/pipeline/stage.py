"""Stages of a pipeline: state, policy, events and commands."""

from enum import StrEnum

from msgspec import Struct

from domain.pipeline.gate import Approval, StageCheck
from domain.pipeline.ref import StageId, StageRef
from domain.pipeline.service import Service
from domain.spec import ServiceType

DEFAULT_DESCRIPTION = "Rename me to avoid default/legacy ordering"
"""The description of the four default stages, until they are renamed."""

MAX_STAGES = 100
"""Maximum number of stages in a pipeline."""


class OnFailure(StrEnum):
    """The reaction of a deployment when a service fails and may not fail."""

    STOP = "STOP"
    CONTINUE = "CONTINUE"
    ROLL_BACK = "ROLL_BACK"


class StagePolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The policy of a stage.

    *concurrency* is the number of services at once, None for the environment's. *on_failure* None is the environment's
    reaction. A stage with *always* runs also after a failure stopped the deployment, but not after a cancellation.
    Before it starts it waits for the *approval* of people, then *wait* seconds, then until its *check* passes.
    """

    concurrency: int | None = None
    on_failure: OnFailure | None = None
    always: bool = False
    approval: Approval | None = None
    wait: float | None = None
    check: StageCheck | None = None


class StageCreated(Struct, frozen=True, kw_only=True):
    """A stage was created at *position*; new services of type *home_of* go to it."""

    stage: StageId
    name: str
    description: str
    position: int
    home_of: ServiceType | None = None


class StageRenamed(Struct, frozen=True, kw_only=True):
    stage: StageId
    name: str


class StageDescribed(Struct, frozen=True, kw_only=True):
    stage: StageId
    description: str


class StageMoved(Struct, frozen=True, kw_only=True):
    """*stage* moved from position *source* to *target*; the stages between shifted by one."""

    stage: StageId
    source: int
    target: int


class StagePolicyChanged(Struct, frozen=True, kw_only=True):
    stage: StageId
    policy: StagePolicy


class StageHomeChanged(Struct, frozen=True, kw_only=True):
    """New services of type *home_of* go to the stage from now on; None for no type."""

    stage: StageId
    home_of: ServiceType | None


class StageDeleted(Struct, frozen=True, kw_only=True):
    stage: StageId


StageEvent = (
    StageCreated | StageRenamed | StageDescribed | StageMoved | StagePolicyChanged | StageHomeChanged | StageDeleted
)


class At(Struct, frozen=True, kw_only=True):
    """The position with that number, counted from 1."""

    position: int


class Before(Struct, frozen=True, kw_only=True):
    stage: StageRef


class After(Struct, frozen=True, kw_only=True):
    stage: StageRef


Place = At | Before | After


class CreateStage(Struct, frozen=True, kw_only=True):
    """Create a stage at *place*, by default at the end."""

    stage: StageId
    name: str
    description: str = ""
    place: Place | None = None


class EditStage(Struct, frozen=True, kw_only=True):
    """Change the fields that are not None. A renamed default stage loses its default description."""

    stage: StageRef
    name: str | None = None
    description: str | None = None
    policy: StagePolicy | None = None


class MoveStage(Struct, frozen=True, kw_only=True):
    stage: StageRef
    place: Place


class DeleteStage(Struct, frozen=True, kw_only=True):
    """Delete a stage; its services move to stage *services_to*, which an empty stage doesn't need."""

    stage: StageRef
    services_to: StageRef | None = None


class SetDefaultStage(Struct, frozen=True, kw_only=True):
    """Send new services of *type* to *stage*; None for the last stage, whichever that is."""

    type: ServiceType
    stage: StageRef | None


StageCommand = CreateStage | EditStage | MoveStage | DeleteStage | SetDefaultStage


class Stage(Struct, frozen=True, kw_only=True):
    id: StageId
    name: str
    description: str
    home_of: ServiceType | None = None
    policy: StagePolicy = StagePolicy()
    services: tuple[Service, ...] = ()
