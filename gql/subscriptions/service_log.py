"""The subscription of the output of what runs of a service."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from endpoint.streams.mark import DELIVERY, Lossless
from gql.context import Context, Info
from gql.types.ref import EnvironmentArgument, ServiceArgument
from gql.types.service_log import TAIL, ServiceLogs, SinceArgument, TailArgument, follow


def _list(context: Context, arguments: Mapping[str, Any]) -> str:
    return f"{arguments['environment']} {arguments['service']}"


async def _begin(context: Context, arguments: Mapping[str, Any]) -> int:
    return 0  # lines are read from the files of each subscriber's own place


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The last lines that the instance of a service printed, and new ones, also of the instances that"
        " replace it; completes when the service is removed. Refused with OUTPUT_ELSEWHERE like the query.",
        metadata={DELIVERY: Lossless(origin=_list, end=_begin, is_shared=False)},
    )
    async def service_logs(
        self,
        info: Info,
        environment: EnvironmentArgument,
        service: ServiceArgument,
        tail: TailArgument = TAIL,
        since: SinceArgument = None,
        after: Annotated[
            str | None,
            strawberry.argument(description="Begin after this cursor, and not with the last lines; null otherwise."),
        ] = None,
    ) -> AsyncGenerator[ServiceLogs, None]:
        async with aclosing(follow(info.context, environment, service, tail, since, after)) as following:
            async for batch in following:
                yield batch
