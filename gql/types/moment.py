"""Moments of a pipeline: a version, a time, or a deployment."""

from datetime import datetime

import strawberry
from strawberry import ID

from application import pipeline as pipelines
from domain.deployment.queue import DeploymentId
from domain.errors import DeploymentNotFound, InvalidArgument, NotFound
from domain.project import EnvironmentId
from gql.context import Context
from gql.contract.node import uuid_of
from projections.pipeline import PipelineView


@strawberry.input(description="A moment of a pipeline: exactly one of the fields.", one_of=True)
class PipelineMoment:
    version: int | None = strawberry.field(default=strawberry.UNSET, description="The moment of this version.")
    as_of: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="This time, which needs a time zone."
    )
    deployment: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The version that this deployment pinned, given by its id."
    )


YEARS = range(2, 9_999)
"""The years of times that users give: those beside them could lead beyond the times that Python has."""


async def at_moment(context: Context, environment: EnvironmentId, argument: str, given: PipelineMoment) -> PipelineView:
    """Return the pipeline at a moment; raises `InvalidArgument`, `VersionNotFound` or `DeploymentNotFound`."""
    views = context.application.pipelines
    match given:
        case PipelineMoment(as_of=datetime() as moment):
            view = await views.get(environment, as_of=zoned(argument, moment))
            if view is None:
                raise InvalidArgument(argument=argument, why="the environment did not exist at that time")
            return view
        case PipelineMoment(version=int(version)):
            return await pipelines.at_version(views, environment, version)
        case PipelineMoment(deployment=str(text)):
            return await pipelines.at_version(views, environment, await _pinned(context, environment, text))
        case _:
            raise InvalidArgument(argument=argument, why="a version, a time or a deployment is required")


async def _pinned(context: Context, environment: EnvironmentId, text: str) -> int:
    """Return the version that a deployment pinned; raises `DeploymentNotFound`."""
    found = uuid_of("deployment", text)
    run = None if found is None else await context.application.deployments.read(DeploymentId(found))
    if run is None or run.environment != environment:
        raise DeploymentNotFound(deployment=text)
    return run.pipeline_version


async def find_moment(context: Context, environment: EnvironmentId, given: PipelineMoment) -> PipelineView | None:
    """Return the pipeline at a moment, None if there was no such moment; raises `InvalidArgument`."""
    if isinstance(given.as_of, datetime):
        return await context.application.pipelines.get(environment, as_of=zoned("at", given.as_of))
    try:
        return await at_moment(context, environment, "at", given)
    except NotFound:
        return None


def is_fixed(given: PipelineMoment) -> bool:
    """Whether a moment always names the same version; a time does not while it is not over."""
    return not isinstance(given.as_of, datetime)


def zoned(argument: str, moment: datetime | None) -> datetime | None:
    """Return *moment*; raises `InvalidArgument` if it has no time zone, or is at an end of what a time can be."""
    if moment is not None and moment.tzinfo is None:
        raise InvalidArgument(argument=argument, why="it needs a time zone, as in 2026-01-31T12:00:00Z")
    if moment is not None and moment.year not in YEARS:
        raise InvalidArgument(argument=argument, why=f"its year must be between {YEARS[0]} and {YEARS[-1]}")
    return moment
