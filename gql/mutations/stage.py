"""Mutations of stages."""

from typing import Annotated

import strawberry
from strawberry import ID

from domain.pipeline.ref import StageId
from domain.pipeline.stage import CreateStage, DeleteStage, EditStage, MoveStage, SetDefaultStage
from domain.spec import ServiceType
from gql.mutation import Write, mutation
from gql.mutations.pipeline import PipelineResult, change
from gql.types.ref import EnvironmentArgument, StageArgument, to_stage
from gql.types.stage import PlaceInput, StagePolicyInput, place_to_domain, policy_to_domain
from store import ids


@mutation("Create a stage.", of="pipeline")
async def create_stage(
    write: Write,
    environment: EnvironmentArgument,
    name: Annotated[str, strawberry.argument(description="Name of the stage; unique in the pipeline, in any case.")],
    description: Annotated[str, strawberry.argument(description="A text for people.")] = "",
    to: Annotated[
        PlaceInput | None, strawberry.argument(description="Position of the stage; null for the end.")
    ] = None,
) -> PipelineResult:
    place = None if to is None else place_to_domain(to)
    command = CreateStage(stage=StageId(ids.new()), name=name, description=description, place=place)
    return await change(write, environment, command)


@mutation("Change the name, the description or the policy of a stage.", of="pipeline", is_part=True)
async def edit_stage(
    write: Write,
    environment: EnvironmentArgument,
    stage: StageArgument,
    name: Annotated[str | None, strawberry.argument(description="The new name; null for no change.")] = None,
    description: Annotated[
        str | None, strawberry.argument(description="The new description; null for no change.")
    ] = None,
    policy: Annotated[
        StagePolicyInput | None, strawberry.argument(description="The new policy; null for no change.")
    ] = None,
) -> PipelineResult:
    new = None if policy is None else policy_to_domain(policy)
    command = EditStage(stage=to_stage(stage), name=name, description=description, policy=new)
    return await change(write, environment, command)


@mutation("Move a stage to another position.", of="pipeline")
async def move_stage(
    write: Write,
    environment: EnvironmentArgument,
    stage: StageArgument,
    to: Annotated[PlaceInput, strawberry.argument(description="The new position.")],
) -> PipelineResult:
    return await change(write, environment, MoveStage(stage=to_stage(stage), place=place_to_domain(to)))


@mutation("Delete a stage, after moving its services to another stage.", of="pipeline", is_part=True)
async def delete_stage(
    write: Write,
    environment: EnvironmentArgument,
    stage: StageArgument,
    services_to: Annotated[
        ID | None,
        strawberry.argument(description="Id or name of the stage for its services; null if the stage has no services."),
    ] = None,
) -> PipelineResult:
    target = None if services_to is None else to_stage(services_to)
    return await change(write, environment, DeleteStage(stage=to_stage(stage), services_to=target))


@mutation("Set the stage that new services of a type are added to.", of="pipeline", is_part=True)
async def set_default_stage(
    write: Write,
    environment: EnvironmentArgument,
    type: Annotated[ServiceType, strawberry.argument(description="Type of the services.")],
    stage: Annotated[
        ID | None,
        strawberry.argument(description="Id or name of the stage; null for none: they are added to the last stage."),
    ] = None,
) -> PipelineResult:
    target = None if stage is None else to_stage(stage)
    return await change(write, environment, SetDefaultStage(type=type, stage=target))
