"""The output of what runs of a service now."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import strawberry

from application.log import MAX_TAIL, MAX_TAIL_BYTES, ServiceOutput
from domain.errors import EnvironmentNotFound, InvalidArgument
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from gql.context import Context, Info
from gql.types.environment import environment_id
from gql.types.moment import zoned
from gql.types.ref import EnvironmentArgument, ServiceArgument, to_service

PACE = 0.25
"""Time between two looks for new output, in seconds."""

TAIL = 100
"""Number of lines that are read without an argument."""

TailArgument = Annotated[
    int,
    strawberry.argument(
        description=f"Number of last lines, 0 to {MAX_TAIL:,}; fewer if they have more than"
        f" {MAX_TAIL_BYTES // 1024**2} MiB."
    ),
]
SinceArgument = Annotated[
    datetime | None,
    strawberry.argument(description="Only lines since this time, to 10 seconds; null for any time."),
]


@strawberry.type(description="Lines that an instance of a service printed, in order.")
class ServiceLogs:
    cursor: str = strawberry.field(description="Cursor of the last line so far, to resume serviceLogs after it.")
    lines: list[str] = strawberry.field(description="The lines, without their line breaks.")
    has_gap: bool = strawberry.field(
        description="Whether lines before these were printed so fast that they were rotated away before they were read."
    )


async def _service(context: Context, environment: str, service: str) -> tuple[EnvironmentId, ServiceId]:
    """Return the ids of a service that stays up; raises `InvalidArgument` for a job."""
    own = environment_id(environment)
    view = await context.application.pipelines.get(own)
    if view is None or view.pipeline.is_deleted:
        raise EnvironmentNotFound(environment=environment)
    found = view.pipeline.service(to_service(service))
    if found.type is ServiceType.JOB:
        why = (
            f"{found.name} is a JOB, which runs within a deployment: read `stageline deployment logs` (deploymentLogs)"
        )
        raise InvalidArgument(argument="service", why=why)
    return own, found.id


def _convert(output: ServiceOutput) -> ServiceLogs:
    return ServiceLogs(cursor=output.cursor, lines=list(output.lines), has_gap=output.has_gap)


async def last(context: Context, environment: str, service: str, tail: int, since: datetime | None) -> ServiceLogs:
    if not 0 <= tail <= MAX_TAIL:
        raise InvalidArgument(argument="tail", why=f"{tail} is not between 0 and {MAX_TAIL:,}")
    since = zoned("since", since)
    own, found = await _service(context, environment, service)
    return _convert(await context.application.logs.last(own, found, tail, since))


async def follow(
    context: Context, environment: str, service: str, tail: int, since: datetime | None, after: str | None
) -> AsyncGenerator[ServiceLogs, None]:
    """Yield the last lines, or those after a cursor, and then new ones, until the service is removed."""
    own, found = await _service(context, environment, service)
    logs = context.application.logs
    if after is None:
        newest = await last(context, environment, service, tail, since)
        yield newest
        after = newest.cursor
    while True:
        output = await logs.after(own, found, after)
        if not output.lines and await _is_removed(context, own, found):  # then its lines are gone, which is no gap
            return
        if output.lines or output.has_gap:
            yield _convert(output)
        after = output.cursor
        if not output.lines:
            await asyncio.sleep(PACE)


async def _is_removed(context: Context, environment: EnvironmentId, service: ServiceId) -> bool:
    view = await context.application.pipelines.get(environment)
    return view is None or view.pipeline.is_deleted or all(each.id != service for each in view.pipeline.services)


@strawberry.type
class Query:
    @strawberry.field(
        description="The last lines that the instance of a service printed, also after its deployment. Refused with"
        " OUTPUT_ELSEWHERE if the instance is on a machine that this server does not run on."
    )
    async def service_logs(
        self,
        info: Info,
        environment: EnvironmentArgument,
        service: ServiceArgument,
        tail: TailArgument = TAIL,
        since: SinceArgument = None,
    ) -> ServiceLogs | None:
        return await last(info.context, environment, service, tail, since)
