"""Pages of the output of deployments."""

from collections.abc import Sequence
from uuid import UUID

import strawberry

from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract.connection import After, Before, First, Last, part
from gql.types.deployment import Deployment
from gql.types.output import (
    AttemptArgument,
    DeploymentOutput,
    FromNumber,
    LogLineConnection,
    PhaseArgument,
    PlannedServiceArgument,
    Text,
)
from gql.types.ref import DeploymentArgument
from projections.deployment import DeploymentView
from projections.engine.views import Slice
from store.output import SearchResult


@edge(
    Deployment,
    "The output of the deployment's steps in order; none of a service that is not in its plan. Only a search reads one"
    " deployment after the other.",
)
async def logs(
    context: Context,
    found: list[Deployment],
    selected: Selected,
    service: PlannedServiceArgument = None,
    phase: PhaseArgument = None,
    attempt: AttemptArgument = None,
    text: Text = None,
    from_number: FromNumber = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[LogLineConnection]:
    context.varies = True  # output is no part of the log
    slice_ = part(first, after, last, before)
    outputs = [
        DeploymentOutput(context.application, view, service, phase, attempt, is_planned=False)
        for view in await _with_steps(context, found)
    ]
    if text or slice_.has_cursor:  # a cursor belongs to one deployment
        return [await output.page(slice_, from_number, text) for output in outputs]
    return await _pages(context, outputs, slice_, (from_number or 1) - 1)


async def _pages(
    context: Context, outputs: Sequence[DeploymentOutput], slice_: Slice, after: int
) -> list[LogLineConnection]:
    """Return the same part of the output of each deployment, after the line *after*, read at once."""
    parts = [output.part(after) for output in outputs]
    found = await context.application.output.read_each(parts, slice_.size + 1, slice_.is_backward)
    return [
        output.page_of(SearchResult(lines, None), slice_, after, None)
        for output, lines in zip(outputs, found, strict=True)
    ]


async def _with_steps(context: Context, found: Sequence[Deployment]) -> list[DeploymentView]:
    """Return the views of deployments with their steps; those that lack them are read at once."""
    known = (each.view for each in found)
    views: dict[UUID, DeploymentView] = {view.id: view for view in known if isinstance(view, DeploymentView)}
    missing = [each.view.id for each in found if each.view.id not in views]
    if missing:
        await context.settled()
        views |= await context.application.deployments.find(missing)
    return [views[each.view.id] for each in found]


@strawberry.type
class Query:
    @strawberry.field(description="List the output of a deployment's steps in order.")
    async def deployment_logs(
        self,
        info: Info,
        deployment: DeploymentArgument,
        service: PlannedServiceArgument = None,
        phase: PhaseArgument = None,
        attempt: AttemptArgument = None,
        text: Text = None,
        from_number: FromNumber = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> LogLineConnection | None:
        output = await DeploymentOutput.of(info.context.application, deployment, service, phase, attempt)
        return await output.page(part(first, after, last, before), from_number, text)
