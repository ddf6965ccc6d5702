"""The subscription of what changes in a deployment, so that a large one is sent once."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import DeploymentNotFound
from domain.pipeline.ref import StageId
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.cursor import CHANGES
from gql.contract.newest import RATE, Reading, newest
from gql.types import deployment_stage
from gql.types.deployment import Deployment, convert, deployment_id
from gql.types.deployment_stage import DeploymentService, DeploymentStage
from gql.types.environment import environment_of
from gql.types.ref import DeploymentArgument
from projections.deployment import DeploymentView, StageView

AfterDeployment = Annotated[
    str | None,
    strawberry.argument(description="Begin after this cursor, of any answer; null to begin with the whole deployment."),
]


@strawberry.type(description="The parts of a deployment that changed since the last payload, as they are now.")
class DeploymentChanges:
    cursor: str = strawberry.field(description="Position of the last change in the log, to continue after it.")
    version: int = strawberry.field(description="Version of the deployment after the changes.")
    deployment: Deployment = strawberry.field(
        description="The deployment after the changes. Its own fields are small; its stages are all of them, each time."
    )
    stages: list[DeploymentStage] = strawberry.field(
        description="The stages whose own fields changed since the last payload, or since the cursor, in order; all in"
        " the first payload without a cursor. They have all of their services, each time, if selected."
    )
    services: list[DeploymentService] = strawberry.field(
        description="The services that changed since the last payload, or since the cursor, in order; all in the first"
        " payload without a cursor."
    )


class StageParts(Struct, frozen=True):
    """The stages of a deployment, and those of them and of their services that changed."""

    all: list[DeploymentStage]
    stages: list[DeploymentStage]
    services: list[DeploymentService]


class ChangedDeployment:
    """A deployment as a subscriber knows it: with the stages and services of the last payload, none before the first.

    A service that has not changed is not converted again. So an update costs as much as it changes.
    """

    def __init__(self, context: Context, id: str) -> None:
        self._context = context
        self.id = deployment_id(id)
        self._missing = DeploymentNotFound(deployment=id)
        self._stages: dict[StageId, StageView] = {}
        self._services: deployment_stage.Services = {}

    async def begin(self, after: str | None) -> None:
        """Begin with the deployment at a cursor."""
        application = self._context.application
        position = await cursors.reached(application.log, after)
        version = await application.log.version(self.id, position) if position else 0
        if version and (view := await application.deployments.read(self.id, version)):
            self._advance(view)

    async def read(self) -> Reading[DeploymentChanges]:
        """Return the changes since the last payload."""
        application = self._context.application
        view = await application.deployments.read(self.id)
        if view is None:
            raise self._missing
        environment = await environment_of(self._context, view.environment)
        parts = self._advance(view)
        value = DeploymentChanges(
            cursor=cursors.of_position(application.log.epoch, view.position),
            version=view.version,
            deployment=convert(view, environment, application.log.epoch, parts.all),
            stages=parts.stages,
            services=parts.services,
        )
        return Reading(value=value, position=view.position, is_final=view.status.is_final)

    def _advance(self, view: DeploymentView) -> StageParts:
        """Return the parts of *view*, and know them from now on."""
        stages = [deployment_stage.from_view(view, each, self._services) for each in view.stages]
        own = {each.id: replace(each, services=()) for each in view.stages}
        services = {
            service.id: (service, shown)
            for stage, shown_stage in zip(view.stages, stages, strict=True)
            for service, shown in zip(stage.services, shown_stage.services, strict=True)
        }
        parts = StageParts(
            stages,
            [shown for shown, (id, each) in zip(stages, own.items(), strict=True) if self._stages.get(id) != each],
            [
                shown
                for id, (each, shown) in services.items()
                if (known := self._services.get(id)) is None or (known[0] is not each and known[0] != each)
            ],
        )
        self._stages, self._services = own, services
        return parts


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="A deployment, and then only its parts that change, so that a large one is sent once. After a"
        f" cursor it begins with the parts that changed since. Completes when the deployment ends. {RATE}.",
        metadata=CHANGES,
    )
    async def deployment_changes(
        self, info: Info, deployment: DeploymentArgument, after: AfterDeployment = None
    ) -> AsyncGenerator[DeploymentChanges, None]:
        known = ChangedDeployment(info.context, deployment)
        await known.begin(after)
        log = info.context.application.log
        async with aclosing(newest(log, known.read, stream=known.id)) as values:
            async for value in values:
                yield value
