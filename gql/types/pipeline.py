"""Pipelines: live ones, and snapshots of them."""

from collections.abc import Collection
from typing import Annotated

import strawberry
from strawberry import ID

from domain.errors import EnvironmentNotFound, ServiceNotFound
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import Service as DomainService
from domain.pipeline.stage import Stage as DomainStage
from domain.project import EnvironmentId
from endpoint.execution.answers import PAST
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.node import Node, global_id
from gql.types import environment as environments
from gql.types import service as services
from gql.types import stage as stages
from gql.types.environment import Environment, EnvironmentSnapshot, pipeline_view, pipelines_of
from gql.types.moment import PipelineMoment, find_moment, is_fixed
from gql.types.project import Project, project_of, projects_of
from gql.types.ref import EnvironmentArgument, ServiceArgument, to_service
from gql.types.service import Service
from gql.types.stage import Stage, StageSnapshot
from projections.pipeline import PipelineView

LIVE = frozenset({"project"})
"""Fields of a past pipeline that show something of the present."""

CACHED_OBJECT = 1500
"""Size of a service or stage of a cached pipeline, in bytes."""


@strawberry.type(description="The ordered stages of an environment, and the services of each, as they are now.")
class Pipeline(Node):
    environment: Environment = strawberry.field(description="The environment of the pipeline.")
    version: int = strawberry.field(description="Number of changes to the environment, for expectedVersion.")
    cursor: str = strawberry.field(
        description="Position of the last change in the log, to follow pipelineEvents or environmentEvents after it."
    )
    stages: list[Stage] = strawberry.field(description="The stages in order.")


@strawberry.type(
    description="A pipeline as it was at a version, or as a dry run would make it. It is not the live pipeline, so it"
    " has no id, and no cache mixes the two."
)
class PipelineSnapshot:
    pipeline_id: ID = strawberry.field(description="Id of the pipeline.")
    environment: EnvironmentSnapshot = strawberry.field(description="The environment at this version.")
    version: int = strawberry.field(description="The version.")
    cursor: str = strawberry.field(
        description="Position of the last change in the log, to follow pipelineEvents or environmentEvents after it."
    )
    stages: list[StageSnapshot] = strawberry.field(description="The stages in order.")


def convert(view: PipelineView, project: Project, epoch: str) -> Pipeline:
    return Pipeline(
        id=global_id("pipeline", view.environment),
        environment=environments.from_view(view, project),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        stages=[
            stages.from_domain(position, each, view.environment)
            for position, each in enumerate(view.pipeline.stages, 1)
        ],
    )


def snapshot(view: PipelineView, project: Project, epoch: str) -> PipelineSnapshot:
    return PipelineSnapshot(
        pipeline_id=global_id("pipeline", view.environment),
        environment=environments.snapshot(view, project),
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
        stages=[stages.snapshot(position, each) for position, each in enumerate(view.pipeline.stages, 1)],
    )


async def from_view(context: Context, view: PipelineView) -> Pipeline:
    return convert(view, await project_of(context, view.project), context.application.log.epoch)


async def snapshot_of(context: Context, view: PipelineView) -> PipelineSnapshot:
    return snapshot(view, await project_of(context, view.project), context.application.log.epoch)


@edge(Environment, "The current pipeline, also of a deleted environment.")
async def pipeline(context: Context, environments: list[Environment], selected: Selected) -> list[Pipeline]:
    keys = {each.key for each in environments}
    views = await pipelines_of(context, keys)
    context.reads(*keys, *(view.project for view in views.values()))
    projects = await projects_of(context, {view.project for view in views.values()})
    made = {key: _cached(context, view, projects[view.project]) for key, view in views.items()}
    for each in environments:
        if each.key not in made:
            raise EnvironmentNotFound(environment=each.id)
    return [made[each.key] for each in environments]


def _cached(context: Context, view: PipelineView, project: Project) -> Pipeline:
    """Return the pipeline of *view* from the cache, which is for views that are themselves cached."""
    epoch = context.application.log.epoch
    return context.application.show(view.environment, (view, project), lambda: convert(view, project, epoch), _size)


def _size(pipeline: Pipeline) -> int:
    return CACHED_OBJECT * sum(1 + len(stage.services) for stage in pipeline.stages)


async def versions(
    context: Context, wanted: list[tuple[EnvironmentId, int | None]]
) -> list[tuple[PipelineView, Project] | None]:
    """Return pipelines at a version, or now for None, each with its project; all are read at once."""
    pipelines = context.application.pipelines
    views: dict[tuple[EnvironmentId, int | None], PipelineView | None] = {}
    for environment in {environment for environment, _ in wanted}:
        if (environment, None) in wanted:
            views[environment, None] = await pipelines.get(environment, has_asked=context.has_asked)
        numbers = {version for each, version in wanted if each == environment and version is not None}
        found = await pipelines.at(environment, numbers)
        views |= {(environment, version): view for version, view in found.items()}
    projects = await projects_of(context, {view.project for view in views.values() if view is not None})
    return [None if (view := views.get(each)) is None else (view, projects[view.project]) for each in wanted]


async def live_stages(context: Context, wanted: list[tuple[EnvironmentId, StageId]]) -> list[Stage | None]:
    """Return stages as they are now, None for deleted ones; all are read at once."""
    places = {
        (environment, stage.id): (position, stage, environment)
        for environment, view in (await _now(context, {environment for environment, _ in wanted})).items()
        for position, stage in enumerate(view.pipeline.stages, 1)
    }
    return [stages.from_domain(*places[each]) if each in places else None for each in wanted]


async def live_services(context: Context, wanted: list[tuple[EnvironmentId, ServiceId]]) -> list[Service | None]:
    """Return services as they are now, None for removed ones; all are read at once."""
    places = {
        (environment, service.id): (service, position, stage, environment)
        for environment, view in (await _now(context, {environment for environment, _ in wanted})).items()
        for position, stage in enumerate(view.pipeline.stages, 1)
        for service in stage.services
    }
    return [_service(*places[each]) if each in places else None for each in wanted]


def _service(service: DomainService, position: int, stage: DomainStage, environment: EnvironmentId) -> Service:
    return services.from_domain(service, stages.from_domain(position, stage, environment), environment)


async def _now(context: Context, environments: Collection[EnvironmentId]) -> dict[EnvironmentId, PipelineView]:
    pipelines = context.application.pipelines
    views = {each: await pipelines.get(each, has_asked=context.has_asked) for each in environments}
    return {environment: view for environment, view in views.items() if view is not None}


@strawberry.type
class Query:
    @strawberry.field(description="Return the pipeline of an environment as it is now.")
    async def pipeline(self, info: Info, environment: EnvironmentArgument) -> Pipeline | None:
        context = info.context
        view = await pipeline_view(context, environment)
        if view is None:
            return None
        context.reads(view.environment, view.project)
        return _cached(context, view, await project_of(context, view.project))

    @strawberry.field(
        description="Return the pipeline of an environment as it was at a moment; null if it had no such moment."
    )
    async def pipeline_snapshot(
        self,
        info: Info,
        environment: EnvironmentArgument,
        at: Annotated[PipelineMoment, strawberry.argument(description="The moment.")],
    ) -> PipelineSnapshot | None:
        context = info.context
        now = await pipeline_view(context, environment)
        if now is None:
            return None
        view = await find_moment(context, now.environment, at)
        if view is not None and is_fixed(at) and LIVE.isdisjoint(names(info)):
            context.reads(PAST)
        else:
            context.reads(now.environment, now.project)
        return None if view is None else await snapshot_of(context, view)

    @strawberry.field(description="Return a service of an environment.")
    async def service(self, info: Info, environment: EnvironmentArgument, service: ServiceArgument) -> Service | None:
        view = await pipeline_view(info.context, environment)
        if view is None:
            return None
        info.context.reads(view.environment)
        try:
            found = view.pipeline.service(to_service(service))
        except ServiceNotFound:
            return None
        return (await live_services(info.context, [(view.environment, found.id)]))[0]
