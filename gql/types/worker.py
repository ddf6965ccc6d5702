"""Workers, and what open deployments wait for."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import strawberry

from application.worker import Wait, wait_of
from endpoint.execution.edge import Selected, edge
from endpoint.execution.selection import names
from gql.context import Context, Info
from gql.types import deployment as deployments
from gql.types.deployment import Deployment
from gql.types.instance import deployments_of
from gql.types.ref import StageRef, stage_ref
from gql.types.step import WaitReason


@strawberry.type(description="A worker, which carries out deployments. A server without PostgreSQL has one of its own.")
class Worker:
    name: str = strawberry.field(description="Name of the worker, which is never used again.")
    machine: str = strawberry.field(description="Name of its machine.")
    started_at: datetime = strawberry.field(description="When the worker began to work, or to work again.")
    heartbeat_at: datetime = strawberry.field(description="When the worker last gave a sign of life.")
    is_silent: bool = strawberry.field(description="Whether it has been silent so long that others do its work.")
    deployments: list[Deployment] = strawberry.field(description="The deployments that it carries out.")


@strawberry.type(description="What an open deployment waits for.")
class DeploymentWait:
    reason: WaitReason = strawberry.field(description="The reason.")
    message: str = strawberry.field(description="The reason in words.")
    deployment: Deployment | None = strawberry.field(description="The deployment that comes before it, if any.")
    machine: str | None = strawberry.field(description="Name of the silent machine, if any.")
    silent_seconds: float | None = strawberry.field(description="How long that machine has been silent, in seconds.")
    stage: StageRef | None = strawberry.field(description="The stage that waits, if one does.")
    deadline: datetime | None = strawberry.field(description="When the wait ends at the latest, if that is known.")


@strawberry.type
class Query:
    @strawberry.field(description="List the workers, the longest running first. A worker that stops leaves the list.")
    async def workers(self, info: Info) -> list[Worker] | None:
        context = info.context
        found = await context.application.roster.list()
        held = await _held(context) if "deployments" in names(info) else {}
        return [
            Worker(
                name=each.name,
                machine=each.machine,
                started_at=each.started_at,
                heartbeat_at=each.heartbeat_at,
                is_silent=each.is_silent,
                deployments=list(held.get(each.name, ())),
            )
            for each in found
        ]


@edge(Deployment, "What the deployment waits for; null if it goes on, or is over.")
async def waits_for(context: Context, found: list[Deployment], selected: Selected) -> list[DeploymentWait | None]:
    context.varies = True  # whether workers are silent is not in the log
    waits: list[Wait | None] = [None] * len(found)
    if any(not each.status.is_final for each in found):
        states, blocked = context.application.handler.states, await context.application.roster.waits()
        waits = [
            None if each.status.is_final else await wait_of(states, blocked, each.view.id, has_asked=context.has_asked)
            for each in found
        ]
    ahead = [None if wait is None or wait.before is None else wait.before.deployment for wait in waits]
    before = await deployments_of(context, ahead) if any(ahead) else [None] * len(found)
    return [None if wait is None else _converted(wait, own) for wait, own in zip(waits, before, strict=True)]


def _converted(wait: Wait, before: Deployment | None) -> DeploymentWait:
    return DeploymentWait(
        reason=wait.reason,
        message=wait.message,
        deployment=before,
        machine=None if wait.worker is None else wait.worker.machine,
        silent_seconds=None if wait.worker is None else wait.worker.silence,
        stage=None if wait.stage is None else stage_ref(wait.stage.id, wait.stage.name),
        deadline=wait.deadline,
    )


async def _held(context: Context) -> Mapping[str, Sequence[Deployment]]:
    """Return the deployments that are carried out, by the name of the worker."""
    await context.settled()
    held = defaultdict[str, list[Deployment]](list)
    rows = await context.application.unfinished.list()
    found = await context.application.deployments.find([row.deployment for row in rows])
    for view in (found[row.deployment] for row in rows if row.deployment in found):
        if view.worker is not None and not view.status.is_final:
            held[view.worker].append(await deployments.from_view(context, view))
    return held
