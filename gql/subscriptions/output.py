"""What steps print: read as a list, and followed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID

from domain import name as names
from domain.deployment.step import Phase
from domain.errors import DeploymentNotFound, ServiceNotFound
from endpoint.streams.mark import DELIVERY, Lossless
from gql.context import Application, Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import Connection, connection, part
from gql.contract.node import reference
from gql.types.deployment import deployment_id
from gql.types.pipeline import ServiceRef, service_ref
from gql.types.stream import DEPLOYMENT
from projections.deployment import DeploymentView, ServiceView
from projections.engine import views
from store.output import LineKind, OutputLine

strawberry.enum(LineKind, name="LogKind", description="LINE was printed by the step, NOTE is Stageline's own.")

PAGE = 1000


@strawberry.type(description="A line that a step of a deployment printed.")
class LogLine:
    cursor: str = strawberry.field(description="Resume deploymentLogs after it.")
    at: datetime
    service: ServiceRef
    phase: Phase
    attempt: int
    kind: LineKind
    text: str


class Lines:
    """The output of one deployment, or of one of its services."""

    def __init__(self, context: Context, view: DeploymentView, service: str | None) -> None:
        self._context, self._id = context, view.id
        self._services = {each.id: each for stage in view.stages for each in stage.services}
        self._service = None if service is None else self._find(service).id

    @classmethod
    async def of(cls, context: Context, deployment: str, service: str | None) -> "Lines":
        """Raises `DeploymentNotFound`, and `ServiceNotFound` for a *service* that isn't in the plan."""
        view = await context.application.deployments.read(deployment_id(deployment))
        if view is None:
            raise DeploymentNotFound(deployment=deployment)
        return cls(context, view, service)

    def _find(self, ref: str) -> ServiceView:
        wanted = reference("service", ref)
        for each in self._services.values():
            if each.id == wanted or (isinstance(wanted, str) and names.key(each.name) == names.key(wanted)):
                return each
        raise ServiceNotFound(service=ref)

    def show(self, line: OutputLine) -> LogLine:
        service = self._services[line.service]  # type: ignore[index]  # ids are UUIDs there
        return LogLine(
            cursor=self._cursor(line),
            at=line.at,
            service=service_ref(service.id, service.name, service.type),
            phase=line.phase,
            attempt=line.attempt,
            kind=line.kind,
            text=line.text,
        )

    async def read(self, asked: views.Slice) -> views.Page[OutputLine]:
        size = asked.last or asked.first or PAGE
        after, before = self._number(asked.after), None if asked.before is None else self._number(asked.before)
        found = await self._context.application.output.read(
            self._id, self._service, after, before, size + 1, newest=asked.last is not None
        )
        lines: Sequence[OutputLine] = found[-size:] if asked.last is not None else found[:size]
        is_cut = len(found) > size
        return views.Page(
            edges=tuple(views.Edge(self._cursor(line), line) for line in lines),
            has_previous=is_cut if asked.last is not None else asked.after is not None,
            has_next=is_cut if asked.last is None else asked.before is not None,
        )

    async def follow(self, after: str | None) -> AsyncGenerator[OutputLine, None]:
        """The lines behind the cursor *after*, until the deployment is over and all of them were given."""
        output, number = self._context.application.output, self._number(after)
        over = asyncio.create_task(self._over())
        try:
            async with aclosing(output.follow(self._id, self._service, number)) as following:
                while lines := await _next(following, over):
                    for line in lines:
                        number = line.number
                        yield line
            while lines := await output.read(self._id, self._service, number, limit=PAGE):
                for line in lines:
                    number = line.number
                    yield line
        finally:
            over.cancel()

    async def _over(self) -> None:
        """Returns at the deployment's end: all that its steps printed was kept before."""
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
        """What the lines are numbered in."""
        return f"{self._context.application.log.epoch} {self._id.hex}"


async def _next(
    following: AsyncGenerator[Sequence[OutputLine], None], over: asyncio.Task[None]
) -> Sequence[OutputLine]:
    """The next lines; none when *over* is done before there are any."""
    more = asyncio.ensure_future(anext(following, ()))
    try:
        await asyncio.wait({more, over}, return_when=asyncio.FIRST_COMPLETED)
        return await more if more.done() else ()
    finally:
        if more.cancel():
            await asyncio.wait({more})


@strawberry.type
class Query:
    @strawberry.field(description="What a deployment's steps printed, of all services or of one (its id or name).")
    async def deployment_logs(
        self,
        info: Info,
        deployment: ID,
        service: ID | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[LogLine]:
        lines = await Lines.of(info.context, deployment, service)
        return connection(await lines.read(part(first, after, last, before)), lines.show)


def _numbered_in(application: Application, arguments: Mapping[str, Any]) -> str:
    return f"{application.log.epoch} {deployment_id(arguments['deployment']).hex}"


async def _begin(application: Application, arguments: Mapping[str, Any]) -> int:
    return 0  # lines are no trouble to read: who comes first begins where it likes


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="A deployment's output after a cursor; completes when the deployment is over.",
        metadata={DELIVERY: Lossless(origin=_numbered_in, end=_begin)},
    )
    async def deployment_logs(
        self, info: Info, deployment: ID, service: ID | None = None, after: str | None = None
    ) -> AsyncGenerator[LogLine, None]:
        lines = await Lines.of(info.context, deployment, service)
        async with aclosing(lines.follow(after)) as following:
            async for line in following:
                yield lines.show(line)
