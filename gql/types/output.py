"""The output of a deployment's steps."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from domain import name as names
from domain.deployment.step import Phase
from domain.errors import DeploymentNotFound, ServiceNotFound
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.connection import After, Before, Connection, First, Last, connection, part
from gql.types.deployment import deployment_id
from gql.types.ref import DeploymentArgument, ServiceRef, service_ref, to_service
from gql.types.stream import DEPLOYMENT
from projections.deployment import DeploymentView
from projections.engine import views
from projections.step import ServiceView
from store.output import LineKind, OutputLine

enum.describe(
    LineKind,
    "The author of a log line.",
    name="LogKind",
    LINE="The step printed the line.",
    NOTE="Stageline wrote the line about the step.",
)

CHUNK = 1000
"""Maximum number of lines that are read at once."""

PlannedServiceArgument = Annotated[
    ID | None, strawberry.argument(description="Id or name of a service in the plan; null for all services.")
]


@strawberry.type(description="A line of a step's output.")
class LogLine:
    cursor: str = strawberry.field(description="Cursor of the line, to resume deploymentLogs after it.")
    at: datetime = strawberry.field(description="When the line was printed.")
    service: ServiceRef = strawberry.field(description="The service of the step.")
    phase: Phase = strawberry.field(description="The step.")
    attempt: int = strawberry.field(description="The attempt of the step, from 1.")
    kind: LineKind = strawberry.field(description="The author of the line.")
    text: str = strawberry.field(description="The line, without its line break.")


class DeploymentOutput:
    """The output of a deployment, or of one of its services."""

    def __init__(self, context: Context, view: DeploymentView, service: str | None) -> None:
        self._context, self._id = context, view.id
        self._services = {each.id: each for stage in view.stages for each in stage.services}
        self._service = None if service is None else self._find(service).id

    @classmethod
    async def of(cls, context: Context, deployment: str, service: str | None) -> "DeploymentOutput":
        """Return the output of a deployment; raises `DeploymentNotFound` or `ServiceNotFound`."""
        view = await context.application.deployments.read(deployment_id(deployment))
        if view is None:
            raise DeploymentNotFound(deployment=deployment)
        return cls(context, view, service)

    def _find(self, text: str) -> ServiceView:
        wanted = to_service(text)
        for each in self._services.values():
            if each.id == wanted or (isinstance(wanted, str) and names.key(each.name) == names.key(wanted)):
                return each
        raise ServiceNotFound(service=text)

    def convert(self, line: OutputLine) -> LogLine:
        service = self._services[line.service]  # type: ignore[index]  # the keys are UUIDs, too
        return LogLine(
            cursor=self._cursor(line),
            at=line.at,
            service=service_ref(service.id, service.name, service.type),
            phase=line.phase,
            attempt=line.attempt,
            kind=line.kind,
            text=line.text,
        )

    async def read(self, slice_: views.Slice) -> views.Page[OutputLine]:
        """Return a page of lines."""
        size = slice_.last or slice_.first or CHUNK
        after, before = self._number(slice_.after), None if slice_.before is None else self._number(slice_.before)
        found = await self._context.application.output.read(
            self._id, self._service, after, before, size + 1, newest=slice_.last is not None
        )
        lines: Sequence[OutputLine] = found[-size:] if slice_.last is not None else found[:size]
        is_cut = len(found) > size
        return views.Page(
            edges=tuple(views.PageEdge(self._cursor(line), line) for line in lines),
            has_previous=is_cut if slice_.last is not None else slice_.after is not None,
            has_next=is_cut if slice_.last is None else slice_.before is not None,
        )

    async def follow(self, after: str | None) -> AsyncGenerator[OutputLine, None]:
        """Yield the lines after a cursor, existing and later ones, until the deployment ends."""
        output, number = self._context.application.output, self._number(after)
        end = asyncio.create_task(self._end())
        try:
            async with aclosing(output.follow(self._id, self._service, number)) as following:
                while lines := await _next(following, end):
                    for line in lines:
                        number = line.number
                        yield line
            while lines := await output.read(self._id, self._service, number, limit=CHUNK):
                for line in lines:
                    number = line.number
                    yield line
        finally:
            end.cancel()

    async def _end(self) -> None:
        """Wait for the end of the deployment. All its output is stored before."""
        async with aclosing(self._context.application.log.follow(0, self._id)) as following:
            async for batch in following:
                if any(isinstance(recorded.event, DEPLOYMENT.ends) for recorded in batch):
                    return

    def _cursor(self, line: OutputLine) -> str:
        return cursors.of_position(self._list, line.number)

    def _number(self, cursor: str | None) -> int:
        return 0 if cursor is None else cursors.to_position(self._list, cursor)

    @property
    def _list(self) -> str:
        return output_list(self._context.application.log.epoch, self._id.hex)


def output_list(epoch: str, deployment: str) -> str:
    """Return the name of the list in which the lines of a deployment are numbered."""
    return f"{epoch} {deployment}"


async def _next(following: AsyncGenerator[Sequence[OutputLine], None], end: asyncio.Task[None]) -> Sequence[OutputLine]:
    """Return the next lines, or none if *end* is done first."""
    more = asyncio.ensure_future(anext(following, ()))
    try:
        await asyncio.wait({more, end}, return_when=asyncio.FIRST_COMPLETED)
        return await more if more.done() else ()
    finally:
        if more.cancel():
            await asyncio.wait({more})


@strawberry.type
class Query:
    @strawberry.field(description="List the output of a deployment's steps in order.")
    async def deployment_logs(
        self,
        info: Info,
        deployment: DeploymentArgument,
        service: PlannedServiceArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[LogLine]:
        output = await DeploymentOutput.of(info.context, deployment, service)
        return connection(await output.read(part(first, after, last, before)), output.convert)
