"""The whole schema; `python -m gql.schema` writes its SDL to gql/schema.graphql."""

from pathlib import Path

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type

from endpoint.execution.cost import CostSettings
from endpoint.execution.schema import Schema
from gql import root
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE
from gql.contract.errors import explain
from gql.contract.scalar import SCALARS
from gql.rules import QUERIES, SUBSCRIPTIONS
from gql.types import change, event
from gql.types.pipeline import Pipeline

SDL = Path(__file__).with_name("schema.graphql")


COSTS = CostSettings(
    default_page=DEFAULT_PAGE,
    max_page=MAX_PAGE,
    lists={"stages": 4, "services": 4, "differences": 4},
    weights={"explanation": 10, "insights": 500, "documentDiff": 500, "exportPipeline": 500, "pipelineDiff": 500},
    long_fields=frozenset({"insights", "pipelineDiff", "changedSince", "documentDiff", "exportPipeline"}),
    documents=frozenset({"document"}),
    items={"environments": 50},
    arguments={"text": 1000},
)

Query = type("Query", root.queries(), {})
Query = strawberry.type(
    Query, description="The queries. An answer contains everything that was done before the request."
)

Subscription = type("Subscription", root.subscriptions(), {})
Subscription = strawberry.type(
    Subscription, description="The subscriptions: existing values or events, then new ones, until no more can follow."
)

root.guard(Query, QUERIES)
root.guard(Subscription, SUBSCRIPTIONS)

Mutation = create_type(
    "Mutation", root.mutations(), description="The mutations. Each returns the changed object, or a refusal."
)

schema = Schema(
    Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Pipeline, event.PipelineEvent, event.DeploymentEvent, event.QueueEvent, event.InstanceEvent, *change.TYPES],
    config=StrawberryConfig(disable_field_suggestions=True, scalar_map=SCALARS),
    explain=explain,
    costs=COSTS,
)


def sdl() -> str:
    return schema.as_str() + "\n"


if __name__ == "__main__":
    SDL.write_text(sdl())
