"""Subscriptions of deployments."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from domain.deployment import queue as queues
from domain.deployment.state import DeploymentPlanned
from domain.errors import DeploymentNotFound, EnvironmentNotFound
from domain.project import EnvironmentId
from endpoint.streams.mark import NEWEST
from gql.context import Context, Info
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE, Connection, connection, part
from gql.contract.cursor import LOSSLESS, AfterEvent
from gql.contract.newest import RATE, Reading, newest
from gql.types import environment as environments
from gql.types.deployment import Deployment, convert, deployment_id, from_view
from gql.types.deployment_list import listed_in
from gql.types.environment import environment_id
from gql.types.event import DeploymentEvent, deployment_event
from gql.types.project import project_of
from gql.types.ref import DeploymentArgument, EnvironmentArgument
from gql.types.stream import DEPLOYMENT, follow
from store.log import RecordedEvent


async def deployment(context: Context, id: str) -> AsyncGenerator[Deployment, None]:
    """Yield the deployment now and after each change, until it ends."""
    application, own = context.application, deployment_id(id)

    async def read() -> Reading[Deployment]:
        view = await application.deployments.read(own)
        if view is None:
            raise DeploymentNotFound(deployment=id)
        value = await from_view(context, view)
        return Reading(value=value, position=view.position, is_final=view.status.is_final)

    async with aclosing(newest(application.log, read, stream=own)) as values:
        async for value in values:
            yield value


class DeploymentList:
    """The newest deployments of an environment, and the events that change them."""

    def __init__(self, context: Context, environment: EnvironmentId, first: int | None) -> None:
        self._context = context
        self._environment = environment
        self._part = part(first, None, None, None)
        self._of = listed_in(environment)
        self._streams: set[UUID] = set()

    async def read(self) -> Reading[Connection[Deployment]]:
        """Return the list now."""
        application = self._context.application
        position = await application.log.position()
        owner = await application.pipelines.get(self._environment)
        if owner is None:
            raise EnvironmentNotFound(environment=f"environment_{self._environment.hex}")
        await application.projector.wait_for(position)
        page = await application.deployments.list(self._environment, self._part)
        self._streams = {self._environment, queues.stream(self._environment), *(edge.node.id for edge in page.edges)}
        environment = environments.from_view(owner, await project_of(self._context, owner.project))
        value = connection(page, lambda view: convert(view, environment, application.log.epoch), self._of)
        return Reading(value=value, position=position, is_final=owner.pipeline.is_deleted)

    def concerns(self, recorded: RecordedEvent) -> bool:
        """Whether an event changes the list as it was read last."""
        event = recorded.event
        is_new = isinstance(event, DeploymentPlanned) and event.environment == self._environment
        return is_new or recorded.stream in self._streams


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description=f"A deployment, now and after each change; completes when it ends. {RATE}.",
        metadata=NEWEST,
    )
    async def deployment(self, info: Info, id: DeploymentArgument) -> AsyncGenerator[Deployment, None]:
        async with aclosing(deployment(info.context, id)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="The newest deployments of an environment, now and after each change of the list or of one of them;"
        f" completes when the environment is deleted. {RATE}.",
        metadata=NEWEST,
    )
    async def deployments(
        self,
        info: Info,
        environment: EnvironmentArgument,
        first: Annotated[
            int | None,
            strawberry.argument(description=f"Number of deployments, 1 to {MAX_PAGE}; null for {DEFAULT_PAGE}."),
        ] = None,
    ) -> AsyncGenerator[Connection[Deployment], None]:
        deployments = DeploymentList(info.context, environment_id(environment), first)
        async with aclosing(newest(info.context.application.log, deployments.read, deployments.concerns)) as values:
            async for value in values:
                yield value

    @strawberry.subscription(
        description="The events of a deployment after a cursor; completes when the deployment ends."
        " No event is left out.",
        metadata=LOSSLESS,
    )
    async def deployment_events(
        self, info: Info, deployment: DeploymentArgument, after: AfterEvent = None
    ) -> AsyncGenerator[DeploymentEvent, None]:
        stream, missing = deployment_id(deployment), DeploymentNotFound(deployment=deployment)
        epoch = info.context.application.log.epoch
        async with aclosing(follow(info.context, stream, DEPLOYMENT, after, missing)) as events:
            async for view in events:
                yield deployment_event(view, epoch)
