"""Scalars that are not GraphQL's own."""

import asyncio
from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest
import strawberry
from graphql import GraphQLObjectType, GraphQLScalarType, get_named_type
from strawberry.schema.config import StrawberryConfig

from endpoint.execution.compiled import converter
from gql.contract.scalar import SCALARS, LogPosition
from gql.schema import schema
from tests.gql.environment import Environment

CORE = schema._schema

BEYOND_INT = 2**31
LARGEST = 2**53 - 1


@pytest.mark.parametrize("position", [0, 1, 2**31 - 1, BEYOND_INT, LARGEST])
def test_a_position_beyond_the_range_of_int_is_a_number_in_json(position: int) -> None:
    @strawberry.type
    class Query:
        position: LogPosition = strawberry.field(resolver=lambda: LogPosition(position))

    small = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))
    result = asyncio.run(small.execute("{ position }"))
    assert result.errors is None
    assert result.data == {"position": position}


def test_compiled_documents_give_such_a_position_too() -> None:
    leaf = converter.leaf(cast("GraphQLScalarType", CORE.type_map["LogPosition"]))
    assert msgspec.json.encode(leaf.make(LARGEST)) == b"9007199254740991"


def test_no_position_in_the_log_is_an_int() -> None:
    """Every type with a position in the log also has a cursor, or the hash over all events."""
    found = {
        type_.name: get_named_type(type_.fields["logPosition"].type).name
        for type_ in CORE.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        and "logPosition" in type_.fields
        and type_.fields.keys() & {"cursor", "hash"}
    }
    assert found.keys() >= {"LogHead", "PipelineEvent", "DeploymentEvent", "QueueEvent", "InstanceEvent"}
    assert set(found.values()) == {"LogPosition"}


def test_every_scalar_of_ours_names_its_specification() -> None:
    own = [
        type_
        for type_ in CORE.type_map.values()
        if isinstance(type_, GraphQLScalarType) and type_.name not in converter.LEAVES
    ]
    assert {scalar.name for scalar in own} >= {"DateTime", "LogPosition"}
    assert [scalar.name for scalar in own if not (scalar.specified_by_url or "").startswith("https://")] == []


def test_times_of_answers_are_in_utc(environment: Environment) -> None:
    for event in environment.events():
        at = datetime.fromisoformat(event["recordedAt"])
        assert at.utcoffset() == datetime.now(UTC).utcoffset()
        assert at.isoformat() == event["recordedAt"]
