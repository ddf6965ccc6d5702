"""Pipelines."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain.errors import InvalidArgument
from domain.project import EnvironmentId
from endpoint.execution.straight import Lasting
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.node import Node, global_id
from gql.types import environment as environments
from gql.types import stage as stages
from gql.types.environment import Environment, pipeline_view
from gql.types.moment import zoned
from gql.types.ref import EnvironmentArgument, ProjectRef, project_ref, project_refs
from gql.types.stage import Stage
from projections.pipeline import PipelineView

CACHED_OBJECT = 1500
"""Size of a service or stage of a cached pipeline, in bytes."""


@strawberry.type(description="The ordered stages of an environment, and the services of each.")
class Pipeline(Node, Lasting):
    environment: Environment = strawberry.field(description="The environment of the pipeline.")
    version: int = strawberry.field(description="Number of changes to the environment, for expectedVersion.")
    cursor: str = strawberry.field(
        description="Position of the last change in the log, to follow pipelineEvents or environmentEvents after it."
    )
    stages: list[Stage] = strawberry.field(description="The stages in order.")


def convert(view: PipelineView, project: ProjectRef, epoch: str) -> Pipeline:
    return Pipeline(
        id=global_id("pipeline", view.environment),
        environment=environments.from_view(view, project),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        stages=[stages.from_domain(position, each) for position, each in enumerate(view.pipeline.stages, 1)],
    )


async def from_view(context: Context, view: PipelineView) -> Pipeline:
    return convert(view, await project_ref(context, view.project), context.application.log.epoch)


async def _cached(context: Context, view: PipelineView) -> Pipeline:
    """Return the pipeline of *view* from the cache, which is for views that are themselves cached."""
    project = await project_ref(context, view.project)
    cache = context.application.shown
    of, pipeline = cache.get(view.environment) or (None, None)
    if of is not view or pipeline is None or pipeline.environment.project != project:
        pipeline = convert(view, project, context.application.log.epoch)
        services = sum(len(stage.services) for stage in view.pipeline.stages)
        cache.put(view.environment, (view, pipeline), CACHED_OBJECT * (services + len(view.pipeline.stages)))
    return pipeline


async def versions(
    context: Context, wanted: list[tuple[EnvironmentId, int | None]]
) -> list[tuple[PipelineView, ProjectRef] | None]:
    """Return pipelines at a version, or now for None, each with its project; all are read at once."""
    pipelines = context.application.pipelines
    views: dict[tuple[EnvironmentId, int | None], PipelineView | None] = {}
    for environment in {environment for environment, _ in wanted}:
        if (environment, None) in wanted:
            views[environment, None] = await pipelines.get(environment, has_asked=context.has_asked)
        numbers = {version for each, version in wanted if each == environment and version is not None}
        found = await pipelines.at(environment, numbers)
        views |= {(environment, version): view for version, view in found.items()}
    projects = await project_refs(context, {view.project for view in views.values() if view is not None})
    return [None if (view := views.get(each)) is None else (view, projects[view.project]) for each in wanted]


@strawberry.type
class Query:
    @strawberry.field(description="Return the pipeline of an environment: the current one, or a past one.")
    async def pipeline(
        self,
        info: Info,
        environment: EnvironmentArgument,
        version: Annotated[
            int | None,
            strawberry.argument(description="Return the pipeline at this version; null for the current one."),
        ] = None,
        as_of: Annotated[
            datetime | None,
            strawberry.argument(
                description="Return the pipeline at this time, which needs a time zone; version must not be given."
            ),
        ] = None,
    ) -> Pipeline | None:
        if version is not None and as_of is not None:
            raise InvalidArgument(argument="version", why="it must not be given together with asOf")
        context = info.context
        view = await pipeline_view(context, environment, version, zoned("asOf", as_of))
        if view is None:
            return None
        context.reads(view.environment, view.project)
        return await _cached(context, view)
