"""The subscription of the output of a deployment's steps."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from endpoint.streams.mark import DELIVERY, Lossless
from gql.context import Application, Info
from gql.types.deployment import deployment_id
from gql.types.output import DeploymentOutput, LogLine, PlannedServiceArgument, output_list
from gql.types.ref import DeploymentArgument


def _list(application: Application, arguments: Mapping[str, Any]) -> str:
    return output_list(application.log.epoch, deployment_id(arguments["deployment"]).hex)


async def _begin(application: Application, arguments: Mapping[str, Any]) -> int:
    return 0  # lines are cheap to read: the first subscriber may begin anywhere


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The output of a deployment's steps after a cursor; completes when the deployment ends."
        " No line is left out.",
        metadata={DELIVERY: Lossless(origin=_list, end=_begin)},
    )
    async def deployment_logs(
        self,
        info: Info,
        deployment: DeploymentArgument,
        service: PlannedServiceArgument = None,
        after: Annotated[
            str | None,
            strawberry.argument(description="Begin after this cursor of a line; null for the first line."),
        ] = None,
    ) -> AsyncGenerator[LogLine, None]:
        output = await DeploymentOutput.of(info.context, deployment, service)
        async with aclosing(output.follow(after)) as following:
            async for line in following:
                yield output.convert(line)
