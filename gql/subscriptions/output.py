"""The subscription of the output of a deployment's steps."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from endpoint.streams.mark import DELIVERY, Lossless
from gql.context import Context, Info
from gql.types.deployment import deployment_id
from gql.types.output import (
    AttemptArgument,
    DeploymentOutput,
    LogBatch,
    PhaseArgument,
    PlannedServiceArgument,
    output_list,
)
from gql.types.ref import DeploymentArgument


def _list(context: Context, arguments: Mapping[str, Any]) -> str:
    return output_list(context.application.log.epoch, deployment_id(arguments["deployment"]).hex)


async def _begin(context: Context, arguments: Mapping[str, Any]) -> int:
    return 0  # lines are cheap to read: the first subscriber may begin anywhere


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The output of a deployment's steps after a cursor, in batches; completes when the deployment ends."
        " No line is left out.",
        metadata={DELIVERY: Lossless(origin=_list, end=_begin, is_shared=False)},
    )
    async def deployment_logs(
        self,
        info: Info,
        deployment: DeploymentArgument,
        service: PlannedServiceArgument = None,
        phase: PhaseArgument = None,
        attempt: AttemptArgument = None,
        after: Annotated[
            str | None,
            strawberry.argument(description="Begin after this cursor of a line; null for the first line."),
        ] = None,
    ) -> AsyncGenerator[LogBatch, None]:
        output = await DeploymentOutput.of(info.context.application, deployment, service, phase, attempt)
        async with aclosing(output.follow(after)) as following:
            async for batch in following:
                yield batch
