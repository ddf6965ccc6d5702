"""The output of a deployment's steps."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID, Private

from domain import name as names
from domain.deployment.queue import DeploymentId
from domain.deployment.step import Phase
from domain.errors import DeploymentNotFound, ServiceNotFound
from gql.context import Application, Context, Info
from gql.contract import cursor as cursors
from gql.contract import enum
from gql.contract.connection import UncountedConnection, connection
from gql.contract.node import uuid_of
from gql.types.ref import ServiceRef, service_ref, to_service
from gql.types.stream import DEPLOYMENT
from projections.deployment import DeploymentView
from projections.engine import views
from projections.step import ServiceView
from store import output as outputs
from store.output import (
    MAX_SEARCHED,
    MAX_UNFINISHED,
    LineKind,
    OutputBatch,
    OutputChunk,
    OutputLine,
    OutputPart,
    OutputSelection,
    OutputSummary,
    SearchResult,
)

enum.describe(
    LineKind,
    "The author of a log line.",
    name="LogKind",
    LINE="The step printed the line.",
    NOTE="Stageline wrote the line about the step.",
    FAILURE="Stageline wrote why the attempt failed.",
)

PACE = 0.05
"""Time after a batch in which the lines of the next one are collected, in seconds."""

PlannedServiceArgument = Annotated[
    ID | None, strawberry.argument(description="Id or name of a service in the plan; null for all services.")
]
PhaseArgument = Annotated[
    Phase | None, strawberry.argument(description="Only lines of this step of a service; null for both.")
]
AttemptArgument = Annotated[
    int | None, strawberry.argument(description="Only lines of attempts with this number, from 1; null for all.")
]
FromNumber = Annotated[
    int | None, strawberry.argument(description="Begin with the line of this number, or the next one that is listed.")
]
Text = Annotated[
    str | None,
    strawberry.argument(
        description="Only lines that contain this text, in upper or lower case. A search ends after"
        f" {MAX_SEARCHED // 1024**2} MiB of output. Then the page may have fewer lines, even none, hasNextPage (or"
        " hasPreviousPage) is true, and endCursor (or startCursor) is where it ended."
    ),
]

_SERVICE = "The service of the step."
_PHASE = "The step."
_ATTEMPT = "The attempt of the step, from 1."
_KIND = "The author of the line."


@strawberry.type(description="A line of a step's output.")
class LogLine:
    number: int = strawberry.field(
        description="Number of the line, from 1 and without gaps over all steps of the deployment."
    )
    cursor: str = strawberry.field(description="Cursor of the line, to resume deploymentLogs after it.")
    printed_at: datetime = strawberry.field(description="When the line was printed.")
    service: ServiceRef = strawberry.field(description=_SERVICE)
    phase: Phase = strawberry.field(description=_PHASE)
    attempt: int = strawberry.field(description=_ATTEMPT)
    kind: LineKind = strawberry.field(description=_KIND)
    text: str = strawberry.field(
        description="The line, without its line break. Of a progress line, which carriage returns overwrite, the last"
        " state."
    )


@strawberry.type(description="The newest text of a line that has no end yet. Its number comes with its end.")
class UnfinishedLogLine:
    service: ServiceRef = strawberry.field(description=_SERVICE)
    phase: Phase = strawberry.field(description=_PHASE)
    attempt: int = strawberry.field(description=_ATTEMPT)
    text: str = strawberry.field(
        description=f"The first {MAX_UNFINISHED} characters of the line; of a progress line, of its last state."
    )


@strawberry.type(description="Consecutive lines of one step that were stored together.")
class LogChunk:
    number: int = strawberry.field(description="Number of the first line. The others have the next numbers.")
    printed_at: datetime = strawberry.field(description="When the lines were printed.")
    service: ServiceRef = strawberry.field(description=_SERVICE)
    phase: Phase = strawberry.field(description=_PHASE)
    attempt: int = strawberry.field(description=_ATTEMPT)
    kind: LineKind = strawberry.field(description="The author of the lines.")
    texts: list[str] = strawberry.field(description="The lines, as LogLine.text has them.")


@strawberry.type(description="New lines of a deployment's output, in order.")
class LogBatch:
    cursor: str = strawberry.field(description="Cursor of the last line so far, to resume deploymentLogs after it.")
    chunks: list[LogChunk] = strawberry.field(description="The new lines; none if only unfinished lines have changed.")
    unfinished: list[UnfinishedLogLine] = strawberry.field(
        description="All lines without an end now. They replace those of the batch before."
    )


@strawberry.type(description="A page of a deployment's output.")
class LogLineConnection(UncountedConnection[LogLine]):
    output: Private["DeploymentOutput"]
    searched: Private[str | None]

    @strawberry.field(
        description="Number of lines on all pages, with notes. Null if a search for text would read more than"
        f" {MAX_SEARCHED // 1024**2} MiB."
    )
    async def total_count(self, info: Info) -> int | None:
        return await self.output.count(info.context, self.searched)

    @strawberry.field(
        description="The line that says why the first attempt failed, of the service, step and attempt that are"
        " listed; null if none failed. Its cursor is for before and after."
    )
    async def first_failure(self, info: Info) -> LogLine | None:
        line = await self.output.failure(info.context)
        return None if line is None else self.output.convert(line)

    @strawberry.field(description="The lines that have no end yet.")
    async def unfinished(self, info: Info) -> list[UnfinishedLogLine]:
        return await self.output.unfinished(info.context)


async def _summaries(context: Context, parts: list[OutputPart]) -> Sequence[OutputSummary]:
    return await context.application.output.summaries(parts)


async def _first_lines(context: Context, parts: list[OutputPart]) -> Sequence[Sequence[OutputLine]]:
    return await context.application.output.read_each(parts, limit=1)


async def _unfinished_lines(context: Context, parts: list[OutputPart]) -> Sequence[Sequence[outputs.UnfinishedLine]]:
    return await context.application.output.unfinished_each(parts)


NO_SERVICE = UUID(int=0)
"""The service of a part of an output that is empty."""


class DeploymentOutput:
    """The output of a deployment, or a part of it. A service that is not in the plan has none if not *is_planned*."""

    def __init__(
        self,
        application: Application,
        view: DeploymentView,
        service: str | None = None,
        phase: Phase | None = None,
        attempt: int | None = None,
        *,
        is_planned: bool = True,
    ) -> None:
        self._store, self._log, self.view = application.output, application.log, view
        self._services = {each.id: each for stage in view.stages for each in stage.services}
        found = None if service is None else self._find(service)
        if service is not None and found is None:
            if is_planned:
                raise ServiceNotFound(service=service)
            found = NO_SERVICE
        self._selection = OutputSelection(service=found, phase=phase, attempt=attempt)

    @classmethod
    async def of(
        cls,
        application: Application,
        deployment: str,
        service: str | None = None,
        phase: Phase | None = None,
        attempt: int | None = None,
    ) -> "DeploymentOutput":
        """Return the output of a deployment; raises `DeploymentNotFound` or `ServiceNotFound`."""
        found = uuid_of("deployment", deployment)
        view = None if found is None else await application.deployments.read(DeploymentId(found))
        if view is None:
            raise DeploymentNotFound(deployment=deployment)
        return cls(application, view, service, phase, attempt)

    def _find(self, text: str) -> UUID | None:
        wanted = to_service(text)
        for each in self._services.values():
            if each.id == wanted or (isinstance(wanted, str) and names.key(each.name) == names.key(wanted)):
                return each.id
        return None

    def service(self, line: OutputLine | OutputChunk | outputs.UnfinishedLine) -> ServiceView:
        """Return the service whose step printed *line*."""
        return self._services[line.service]  # type: ignore[index]  # the keys are UUIDs, too

    def convert(self, line: OutputLine) -> LogLine:
        return LogLine(
            number=line.number,
            cursor=self._cursor(line.number),
            printed_at=line.at,
            service=self._ref(line),
            phase=line.phase,
            attempt=line.attempt,
            kind=line.kind,
            text=line.text,
        )

    def _ref(self, line: OutputLine | OutputChunk | outputs.UnfinishedLine) -> ServiceRef:
        service = self.service(line)
        return service_ref(service.id, service.name, service.type)

    async def page(self, slice_: views.Slice, begin: int | None, text: str | None) -> LogLineConnection:
        """Return a page of the lines from number *begin* on that contain *text*."""
        size, is_last = slice_.size, slice_.is_backward
        after, before = self._number(slice_.after), None if slice_.before is None else self._number(slice_.before)
        after = max(after, (begin or 1) - 1)
        if text:
            found = await self._store.search(self._id, text, self._selection, after, before, size + 1, is_last)
        else:
            lines = await self._store.read(self._id, self._selection, after, before, size + 1, is_last)
            found = SearchResult(lines, None)
        return self.page_of(found, slice_, after, text)

    def page_of(self, found: SearchResult, slice_: views.Slice, after: int, text: str | None) -> LogLineConnection:
        """Return the page of the lines that were *found* after the line *after*: one more than it has, if there are."""
        size, is_last = slice_.size, slice_.is_backward
        lines = found.lines[-size:] if is_last else found.lines[:size]
        is_cut = len(found.lines) > size or found.reached is not None
        page = connection(
            views.Page(
                edges=tuple(views.PageEdge(self._cursor(line.number), line) for line in lines),
                has_previous=is_cut if is_last else after > 0,
                has_next=is_cut if not is_last else slice_.before is not None,
            ),
            self.convert,
        )
        if found.reached is not None and is_last:
            page.page_info.start_cursor = self._cursor(found.reached)
        elif found.reached is not None:
            page.page_info.end_cursor = self._cursor(found.reached)
        return LogLineConnection(
            nodes=page.nodes, edges=page.edges, page_info=page.page_info, output=self, searched=text
        )

    async def count(self, context: Context, text: str | None) -> int | None:
        """Return the number of lines, or of those that contain *text*; None if that takes too long."""
        if text:
            return await self._store.count(self._id, text, self._selection)
        return (await context.together(_summaries, self.part())).lines

    async def failure(self, context: Context) -> OutputLine | None:
        """Return the line that says why the first attempt failed."""
        number = (await context.together(_summaries, self.part())).failure
        if number is None:
            return None
        return next(iter(await context.together(_first_lines, OutputPart(self._id, after=number - 1))), None)

    async def unfinished(self, context: Context) -> list[UnfinishedLogLine]:
        return self._unfinished(await context.together(_unfinished_lines, self.part()))

    def part(self, after: int = 0) -> OutputPart:
        """Return the output after the line *after*, for the store."""
        return OutputPart(self._id, self._selection, after)

    async def chunks(self, after: int, size: int) -> Sequence[OutputChunk]:
        """Return the next chunks after the line *after*, up to about *size* bytes."""
        return await self._store.chunks(self._id, self._selection, after, limit=outputs.NEWEST, size=size)

    async def follow(self, after: str | None) -> AsyncGenerator[LogBatch, None]:
        """Yield the lines after a cursor, existing and later ones, until the deployment ends."""
        number = self._number(after)
        last: OutputBatch | None = None
        end = asyncio.create_task(self._end())
        try:
            async with aclosing(self._store.follow(self._id, self._selection, number)) as following:
                while (batch := await _next(following, end)) is not None:
                    last, number = batch, batch.chunks[-1].last if batch.chunks else number
                    yield self._batch(batch, number)
                    await asyncio.sleep(0 if batch.is_full else PACE)
            while (batch := await self._store.batch(self._id, self._selection, number, last)) is not None:
                last, number = batch, batch.chunks[-1].last if batch.chunks else number
                yield self._batch(batch, number)
        finally:
            end.cancel()

    def _batch(self, batch: OutputBatch, number: int) -> LogBatch:
        chunks = [
            LogChunk(
                number=chunk.first,
                printed_at=chunk.at,
                service=self._ref(chunk),
                phase=chunk.phase,
                attempt=chunk.attempt,
                kind=chunk.kind,
                texts=chunk.texts,
            )
            for chunk in batch.chunks
        ]
        return LogBatch(cursor=self._cursor(number), chunks=chunks, unfinished=self._unfinished(batch.unfinished))

    def _unfinished(self, lines: Sequence[outputs.UnfinishedLine]) -> list[UnfinishedLogLine]:
        return [
            UnfinishedLogLine(service=self._ref(line), phase=line.phase, attempt=line.attempt, text=line.text)
            for line in lines
        ]

    async def _end(self) -> None:
        """Wait for the end of the deployment. All its output is stored before."""
        async with aclosing(self._log.follow(0, self._id)) as following:
            async for batch in following:
                if any(isinstance(recorded.event, DEPLOYMENT.ends) for recorded in batch):
                    return

    @property
    def _id(self) -> DeploymentId:
        return self.view.id

    def _cursor(self, number: int) -> str:
        return cursors.of_position(self._list, number)

    def _number(self, cursor: str | None) -> int:
        return 0 if cursor is None else cursors.to_position(self._list, cursor)

    @property
    def _list(self) -> str:
        return output_list(self._log.epoch, self._id.hex)


def output_list(epoch: str, deployment: str) -> str:
    """Return the name of the list in which the lines of a deployment are numbered."""
    return f"{epoch} {deployment}"


async def _next(following: AsyncGenerator[OutputBatch, None], end: asyncio.Task[None]) -> OutputBatch | None:
    """Return the next batch, or None if *end* is done first."""
    more = asyncio.ensure_future(anext(following, None))
    try:
        await asyncio.wait({more, end}, return_when=asyncio.FIRST_COMPLETED)
        return await more if more.done() else None
    finally:
        if more.cancel():
            await asyncio.wait({more})
