"""The values of references, which the start of a step pinned."""

import strawberry

from domain.deployment.queue import DeploymentId
from domain.deployment.step import BuildStarted, ServiceDeployStarted
from domain.deployment.value import Value
from domain.reference import SecretReference
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.types.deployment_stage import DeploymentService
from gql.types.step import Phase

SECRET = str(SecretReference(name=""))
"""The beginning of the reference of a secret."""


@strawberry.type(description="The value of a reference, with which a step was carried out.")
class PinnedValue:
    phase: Phase = strawberry.field(description="The step.")
    reference: str = strawberry.field(description="The reference, without its braces.")
    value: str | None = strawberry.field(
        description="Its value when the newest attempt of the step started; null for a secret."
    )


@edge(DeploymentService, "The values of the references of the service, which the starts of its steps pinned.")
async def pinned_values(
    context: Context, services: list[DeploymentService], selected: Selected
) -> list[list[PinnedValue]]:
    runs = list({each.run.int: each.run for each in services}.values())
    context.reads(*runs)
    found = {run.int: await _pinned(context, run) for run in runs}
    return [
        [
            PinnedValue(phase=phase, reference=value.reference, value=None if _is_secret(value) else value.value)
            for phase in Phase
            for value in found[each.run.int].get((each.live[1].int, phase), ())
        ]
        for each in services
    ]


def _is_secret(value: Value) -> bool:
    """Return whether it is the reference of a secret, of which the version is pinned."""
    return value.reference.startswith(SECRET)


async def _pinned(context: Context, run: DeploymentId) -> dict[tuple[int, Phase], tuple[Value, ...]]:
    """Return the values of each step of a deployment; a later attempt replaces those of an earlier one."""
    pinned: dict[tuple[int, Phase], tuple[Value, ...]] = {}
    for event in await context.application.log.events(run):
        match event:
            case BuildStarted(service=service, values=values):
                pinned[service.int, Phase.BUILD] = values
            case ServiceDeployStarted(service=service, values=values):
                pinned[service.int, Phase.DEPLOY] = values
    return pinned
