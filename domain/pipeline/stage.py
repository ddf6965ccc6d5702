"""Stages: what is said of one step of a pipeline's order. Whatever names a stage may be its id or its name."""

from msgspec import Struct

from domain.pipeline.ref import StageId, StageRef
from domain.pipeline.service import Service
from domain.spec import ServiceType

DEFAULT_DESCRIPTION = "Rename me to avoid default/legacy ordering"
MAX_STAGES = 100


class StagePolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a stage is carried out; *concurrency* is how many of its services at once, None for the environment's."""

    concurrency: int | None = None


class StageCreated(Struct, frozen=True, kw_only=True):
    """A stage stands at *position*; new services of *home_of* land in it."""

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
    """*stage* went from position *source* to *target*; those between them moved up or down by one."""

    stage: StageId
    source: int
    target: int


class StagePolicyChanged(Struct, frozen=True, kw_only=True):
    stage: StageId
    policy: StagePolicy


class StageHomeChanged(Struct, frozen=True, kw_only=True):
    """New services of *home_of* land in the stage, from now on; of no type if that is None."""

    stage: StageId
    home_of: ServiceType | None


class StageDeleted(Struct, frozen=True, kw_only=True):
    stage: StageId


StageEvent = (
    StageCreated | StageRenamed | StageDescribed | StageMoved | StagePolicyChanged | StageHomeChanged | StageDeleted
)


class At(Struct, frozen=True, kw_only=True):
    """The place with that number, counted from 1."""

    position: int


class Before(Struct, frozen=True, kw_only=True):
    stage: StageRef


class After(Struct, frozen=True, kw_only=True):
    stage: StageRef


Place = At | Before | After


class CreateStage(Struct, frozen=True, kw_only=True):
    """A new stage, at the end unless *place* says otherwise."""

    stage: StageId
    name: str
    description: str = ""
    place: Place | None = None


class EditStage(Struct, frozen=True, kw_only=True):
    """Changes what is not None. A renamed stage loses the description that only asked to be renamed."""

    stage: StageRef
    name: str | None = None
    description: str | None = None
    policy: StagePolicy | None = None


class MoveStage(Struct, frozen=True, kw_only=True):
    stage: StageRef
    place: Place


class DeleteStage(Struct, frozen=True, kw_only=True):
    """Deletes an empty stage, or one whose services go to stage *services_to*."""

    stage: StageRef
    services_to: StageRef | None = None


StageCommand = CreateStage | EditStage | MoveStage | DeleteStage


class Stage(Struct, frozen=True, kw_only=True):
    id: StageId
    name: str
    description: str
    home_of: ServiceType | None = None
    policy: StagePolicy = StagePolicy()
    services: tuple[Service, ...] = ()
