"""Mutations of deployments."""

from functools import partial
from typing import Annotated

import strawberry
from msgspec.structs import replace

from application import deployment as use_cases
from application.handler import Outcome
from domain import deployment as deployments
from domain.deployment.queue import DeploymentId
from domain.errors import DeploymentNotFound
from gql.contract.mutation import Write, mutation
from gql.contract.refusal import Refusal
from gql.types.deployment import Deployment, DeploymentSnapshot, deployment_id, from_view, snapshot_of
from gql.types.environment import known_environment
from gql.types.ref import DeploymentArgument, EnvironmentArgument
from projections.deployment import projection
from store import ids

DeploymentResult = Annotated[
    Deployment | DeploymentSnapshot | Refusal,
    strawberry.union(
        "DeploymentResult",
        description="The deployment after the change, or a refusal. A dry run, and a repeat of a request after which"
        " the deployment went on, return a snapshot: it is not the live deployment.",
    ),
]


@mutation("Deploy an environment: pin its current pipeline, and queue the deployment.")
async def deploy(write: Write, environment: EnvironmentArgument) -> DeploymentResult:
    use_case = partial(
        use_cases.request,
        environment=await known_environment(write.context, environment),
        deployment=DeploymentId(ids.new()),
        actor=write.context.author(write.reason).actor,
        expected=write.expected_version,
    )
    return await _answer(write, await write.transact(use_case, deployments.decider))


@mutation("Cancel a deployment.")
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


async def _answer(write: Write, outcome: Outcome[deployments.Deployment]) -> Deployment | DeploymentSnapshot:
    """Return the deployment after the change, or a snapshot of one that is not the live deployment.

    That is the deployment after a dry run, and the first answer to a repeated request if the deployment went on.
    """
    own, version = DeploymentId(outcome.subject.stream), outcome.subject.version
    runs = write.context.application.deployments
    if write.dry_run and outcome.events:
        before = await runs.read(own, version - len(outcome.events))
        view = projection.replay(outcome.preview(write.context.author(write.reason)), before)
        assert view is not None, "a deployment exists after a command"
        return await snapshot_of(write.context, replace(view, position=outcome.receipt.position))  # which exists
    view = await runs.read(own, version)
    assert view is not None, "a deployment exists after a command"
    now = None if outcome.receipt.recorded else await runs.read(own)
    is_live = not write.dry_run and (now is None or now.version == version)
    return await (from_view if is_live else snapshot_of)(write.context, view)
