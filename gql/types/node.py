"""The root field `node`: an object by its global id."""

from typing import Annotated

import strawberry
from strawberry import ID

from domain.deployment.queue import DeploymentId
from domain.project import EnvironmentId, ProjectId
from gql.context import Info
from gql.contract.node import Node, parse
from gql.types import deployment, pipeline, project


@strawberry.type
class Query:
    @strawberry.field(description="Return a project, an environment, a pipeline or a deployment.")
    async def node(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="Global id of the object.")]
    ) -> Node | None:
        application = info.context.application
        match parse(id):
            case ("project", uuid):
                await info.context.settled()
                view = await application.projects.get(ProjectId(uuid))
                info.context.reads(uuid)
                return None if view is None else project.from_view(info.context, view)
            case ("environment" | "pipeline" as kind, uuid):
                whole = await application.pipelines.get(EnvironmentId(uuid))
                if whole is None:
                    return None
                info.context.reads(whole.environment, whole.project)
                found = await pipeline.from_view(info.context, whole)
                return found if kind == "pipeline" else found.environment
            case ("deployment", uuid):
                run = await application.deployments.read(DeploymentId(uuid))
                if run is None:
                    return None
                info.context.reads(run.id, run.environment)
                return await deployment.from_view(info.context, run)
            case _:
                return None
