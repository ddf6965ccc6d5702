"""Stages: made, edited, moved and deleted."""

from uuid import UUID

import strawberry
from strawberry import ID

from domain.errors import InvalidArgument
from domain.pipeline.ref import StageId, StageRef
from domain.pipeline.stage import After, At, Before, CreateStage, DeleteStage, EditStage, MoveStage, Place
from domain.pipeline.stage import StagePolicy as DomainStagePolicy
from gql.contract.mutation import Write, mutation
from gql.contract.node import reference
from gql.types.pipeline import PipelineResult, change
from store import ids


@strawberry.input(description="A place in the order.", one_of=True)
class PlaceInput:
    position: int | None = strawberry.UNSET
    before: ID | None = strawberry.UNSET
    after: ID | None = strawberry.UNSET


@strawberry.input(description="How a stage is carried out.")
class StagePolicyInput:
    concurrency: int | None = None


def _place(given: PlaceInput) -> Place:
    match given:
        case PlaceInput(position=int(position)):
            return At(position=position)
        case PlaceInput(before=str(stage)):
            return Before(stage=stage_ref(ID(stage)))
        case PlaceInput(after=str(stage)):
            return After(stage=stage_ref(ID(stage)))
        case _:
            raise InvalidArgument(argument="to", why="give a position, or the stage before or after which")


def stage_ref(text: ID) -> StageRef:
    found = reference("stage", text)
    return StageId(found) if isinstance(found, UUID) else found


def _policy(given: StagePolicyInput | None) -> DomainStagePolicy | None:
    return None if given is None else DomainStagePolicy(concurrency=given.concurrency)


@mutation("Makes a stage, at the end unless said otherwise.")
async def create_stage(
    write: Write, environment: ID, name: str, description: str = "", to: PlaceInput | None = None
) -> PipelineResult:
    place = None if to is None else _place(to)
    command = CreateStage(stage=StageId(ids.new()), name=name, description=description, place=place)
    return await change(write, environment, command)


@mutation("Changes of a stage what is given.")
async def edit_stage(
    write: Write,
    environment: ID,
    stage: ID,
    name: str | None = None,
    description: str | None = None,
    policy: StagePolicyInput | None = None,
) -> PipelineResult:
    command = EditStage(stage=stage_ref(stage), name=name, description=description, policy=_policy(policy))
    return await change(write, environment, command)


@mutation("Moves a stage to another place in the order.")
async def move_stage(write: Write, environment: ID, stage: ID, to: PlaceInput) -> PipelineResult:
    return await change(write, environment, MoveStage(stage=stage_ref(stage), place=_place(to)))


@mutation("Deletes an empty stage, or one whose services go to another.")
async def delete_stage(write: Write, environment: ID, stage: ID, services_to: ID | None = None) -> PipelineResult:
    target = None if services_to is None else stage_ref(services_to)
    return await change(write, environment, DeleteStage(stage=stage_ref(stage), services_to=target))
