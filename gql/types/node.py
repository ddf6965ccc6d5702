"""The root field `node`: anything by its global id."""

import strawberry
from strawberry import ID

from domain.deployment.queue import DeploymentId
from domain.project import EnvironmentId, ProjectId
from gql.context import Info
from gql.contract.node import Node, parse
from gql.types import deployment, pipeline, project


@strawberry.type
class Query:
    @strawberry.field(description="A project, an environment, a pipeline or a deployment by its id.")
    async def node(self, info: Info, id: ID) -> Node | None:
        application = info.context.application
        match parse(id):
            case ("project", uuid):
                await info.context.settled()
                view = await application.projects.get(ProjectId(uuid))
                info.context.reads(uuid)
                return None if view is None else project.shown(info.context, view)
            case ("environment" | "pipeline" as kind, uuid):
                whole = await application.pipelines.get(EnvironmentId(uuid))
                if whole is None:
                    return None
                info.context.reads(whole.environment, whole.project)
                shown = await pipeline.shown(info.context, whole)
                return shown if kind == "pipeline" else shown.environment
            case ("deployment", uuid):
                run = await application.deployments.read(DeploymentId(uuid))
                if run is None:
                    return None
                info.context.reads(run.id, run.environment)
                return await deployment.shown(info.context, run)
            case _:
                return None
