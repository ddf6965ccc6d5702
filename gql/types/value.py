"""The values of references, which the start of a step pinned."""

import strawberry

from domain.deployment.step import ServiceRun
from domain.deployment.value import Value
from domain.reference import SecretReference
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.types.deployment_stage import DeploymentService
from gql.types.instance import deployment_states
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
    found = await deployment_states(context, runs)
    return [_values(found[each.run].run_of(each.live[1])) for each in services]


def _values(run: ServiceRun | None) -> list[PinnedValue]:
    assert run is not None, "the service is one of the plan"
    return [
        PinnedValue(phase=phase, reference=value.reference, value=None if _is_secret(value) else value.value)
        for phase in (Phase.BUILD, Phase.DEPLOY)
        for value in run.step(phase).values
    ]


def _is_secret(value: Value) -> bool:
    """Return whether it is the reference of a secret, of which the version is pinned."""
    return value.reference.startswith(SECRET)
