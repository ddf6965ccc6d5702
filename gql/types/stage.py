"""Stages of a pipeline."""

import strawberry
from strawberry import ID

from domain.errors import InvalidArgument
from domain.pipeline.stage import After, At, Before, Place
from domain.pipeline.stage import Stage as DomainStage
from domain.pipeline.stage import StagePolicy as DomainStagePolicy
from domain.spec import ServiceType
from gql.types import service as services
from gql.types.ref import stage_ref, to_stage
from gql.types.service import Service

_CONCURRENCY = "Number of services that are built or deployed at once; null for the number of the environment."


@strawberry.type(description="How a stage is carried out.")
class StagePolicy:
    concurrency: int | None = strawberry.field(description=_CONCURRENCY)


@strawberry.input(description="How a stage is carried out.")
class StagePolicyInput:
    concurrency: int | None = strawberry.field(default=None, description=_CONCURRENCY)


def policy_from_domain(policy: DomainStagePolicy) -> StagePolicy:
    return StagePolicy(concurrency=policy.concurrency)


def policy_to_domain(given: StagePolicyInput) -> DomainStagePolicy:
    return DomainStagePolicy(concurrency=given.concurrency)


@strawberry.type(description="A step of the order of deployment. The services of a stage are deployed side by side.")
class Stage:
    id: ID = strawberry.field(description="Id of the stage.")
    position: int = strawberry.field(description="Position in the pipeline, from 1.")
    name: str = strawberry.field(description="Name of the stage, unique in its pipeline.")
    description: str = strawberry.field(description="A text for people; it may be empty.")
    home_of: ServiceType | None = strawberry.field(description="New services of this type are added to the stage.")
    policy: StagePolicy = strawberry.field(description="How the stage is carried out.")
    services: list[Service] = strawberry.field(description="The services of the stage.")


def from_domain(position: int, stage: DomainStage) -> Stage:
    own = stage_ref(stage.id, stage.name)
    return Stage(
        id=own.id,
        position=position,
        name=stage.name,
        description=stage.description,
        home_of=stage.home_of,
        policy=policy_from_domain(stage.policy),
        services=[services.from_domain(each, own) for each in stage.services],
    )


@strawberry.input(description="A position in the order of stages: exactly one of the fields.", one_of=True)
class PlaceInput:
    position: int | None = strawberry.field(default=strawberry.UNSET, description="The position, from 1.")
    before: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position before this stage, given by its id or name."
    )
    after: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position after this stage, given by its id or name."
    )


def place_to_domain(given: PlaceInput) -> Place:
    match given:
        case PlaceInput(position=int(position)):
            return At(position=position)
        case PlaceInput(before=str(stage)):
            return Before(stage=to_stage(stage))
        case PlaceInput(after=str(stage)):
            return After(stage=to_stage(stage))
        case _:
            raise InvalidArgument(argument="to", why="a position, or a stage to stand before or after, is required")
