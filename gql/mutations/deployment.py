"""Mutations of deployments."""

from functools import partial
from typing import Annotated

import strawberry
from msgspec.structs import replace

from application import deployment as use_cases
from application.handler import Outcome
from domain import deployment as deployments
from domain.deployment.queue import DeploymentId, DeploymentMerged
from domain.errors import DeploymentNotFound
from gql.mutation import Payload, Write, mutation
from gql.types.deployment import Deployment, deployment_id, from_view
from gql.types.environment import known_environment
from gql.types.ref import DeploymentArgument, EnvironmentArgument
from gql.types.refusal import Refusal
from projections.deployment import projection
from store import ids


@strawberry.type(description="The answer to a mutation of a deployment.")
class DeploymentPayload(Payload):
    merged: bool = strawberry.field(
        description="Whether the request was merged into a waiting deployment that does the same, which is the answer."
    )
    deployment: Deployment = strawberry.field(description="The deployment after the change.")


DeploymentResult = Annotated[
    DeploymentPayload | Refusal,
    strawberry.union("DeploymentResult", description="The deployment after the change, or a refusal."),
]


@mutation("Deploy an environment: pin its current pipeline, and queue the deployment.", of="pipeline")
async def deploy(write: Write, environment: EnvironmentArgument) -> DeploymentResult:
    use_case = partial(
        use_cases.request,
        environment=await known_environment(write.context, environment),
        deployment=DeploymentId(ids.new()),
        actor=write.context.author(write.reason).actor,
        expected=write.expected_version,
    )
    return await _answer(write, await write.transact(use_case, deployments.decider))


@mutation("Cancel a deployment.", of="deployment")
async def cancel_deployment(
    write: Write,
    deployment: DeploymentArgument,
    force: Annotated[
        bool, strawberry.argument(description="Stop running steps, too; otherwise they are finished.")
    ] = False,
) -> DeploymentResult:
    own = deployment_id(deployment)
    if await write.context.application.deployments.read(own) is None:  # also for an id of another kind of object
        raise DeploymentNotFound(deployment=deployment)
    use_case = partial(use_cases.cancel, deployment=own, forced=force, expected=write.expected_version)
    return await _answer(write, await write.transact(use_case, deployments.decider))


async def _answer(write: Write, outcome: Outcome[deployments.Deployment]) -> DeploymentPayload:
    """Return the deployment after the change, or after the change that a dry run would make."""
    version = outcome.subject.version - (len(outcome.events) if write.dry_run else 0)
    view = await write.context.application.deployments.read(DeploymentId(outcome.subject.stream), version)
    if write.dry_run and outcome.events:
        view = projection.replay(outcome.preview(write.context.author(write.reason)), view)
        view = view and replace(view, position=outcome.receipt.position)  # a position that exists
    assert view is not None, "a deployment exists after a command"
    return DeploymentPayload(
        changed=outcome.has_changed,
        merged=isinstance(outcome.last, DeploymentMerged),
        deployment=await from_view(write.context, view),
    )
