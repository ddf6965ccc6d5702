"""Edges between services: who needs whom, by the references in their specifications."""

from collections.abc import Sequence

from domain.pipeline import need
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.types.pipeline import live_services
from gql.types.service import Service

Key = tuple[EnvironmentId, ServiceId]


@edge(Service, "The services that the specification of the service refers to. They stand in earlier stages.")
async def needs(context: Context, services: list[Service], selected: Selected) -> list[list[Service]]:
    pairs = await _pairs(context, services)
    return await _found(context, services, pairs)


@edge(Service, "The services whose specifications refer to the service. They stand in later stages.")
async def needed_by(context: Context, services: list[Service], selected: Selected) -> list[list[Service]]:
    pairs = await _pairs(context, services)
    return await _found(context, services, [(needed, asking) for asking, needed in pairs])


async def _pairs(context: Context, services: Sequence[Service]) -> list[tuple[Key, Key]]:
    """Return each service of the environments that needs another one, with that."""
    pairs: list[tuple[Key, Key]] = []
    for environment in dict.fromkeys(each.key[0] for each in services):
        view = await context.application.pipelines.get(environment, has_asked=context.has_asked)
        context.reads(environment)
        found = () if view is None else need.pairs(view.pipeline)
        pairs += [((environment, asking.id), (environment, needed.id)) for asking, needed in found]
    return pairs


async def _found(
    context: Context, services: Sequence[Service], pairs: Sequence[tuple[Key, Key]]
) -> list[list[Service]]:
    """Return, for each of *services*, the services with which it is paired."""
    others: dict[Key, list[Key]] = {each.key: [] for each in services}
    for one, other in pairs:
        if one in others:
            others[one].append(other)
    keys = list(dict.fromkeys(key for found in others.values() for key in found))
    live = dict(zip(keys, await live_services(context, keys), strict=True))
    return [[found for key in others[each.key] if (found := live[key]) is not None] for each in services]
