"""Answers that never change: clients may use them without another request."""

import json
from typing import Any, cast

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, get_named_type, is_abstract_type, is_composite_type

from gql.schema import schema
from gql.types.pipeline import LIVE
from tests.gql.environment import Environment

DAY = "private, max-age=86400, immutable"
EACH_TIME = "private, no-cache"

CORE = schema._schema
NODE = cast("GraphQLInterfaceType", CORE.type_map["Node"])

PIPELINE = "version cursor stages { name services { name type spec { runCommand } } }"
DIFF = "differences { change { __typename message } } from { version } to { stages { name } }"
PAST = f"pipelineSnapshot(environment: $id, at: {{version: 1}}) {{ {PIPELINE} }}"
BETWEEN = "from: {version: 1}, to: {version: 2}"


def control(environment: Environment, selection: str, method: str = "GET") -> str:
    """Return the Cache-Control of the answer to a query, which has no errors, and is the same when it is cached."""
    query = f"query ($id: ID!) {{ {selection} }}"
    variables = {"id": environment.id}
    headers = {"authorization": f"Bearer {environment.stageline.token}"}
    if method == "POST":
        request: dict[str, Any] = {"json": {"query": query, "variables": variables}}
    else:
        request = {"params": {"query": query, "variables": json.dumps(variables)}}
    first, second = (environment.stageline.send(method, headers=headers, **request) for _ in range(2))
    for answer in (first, second):
        assert answer.status_code == 200
        assert b"errors" not in answer.content
        assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization, Stageline-Session"
    assert first.headers["cache-control"] == second.headers["cache-control"]
    assert first.content == second.content
    control: str = first.headers["cache-control"]
    return control


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (PAST, DAY),
        (f"pipelineSnapshot(environment: $id, at: {{version: 2}}) {{ {PIPELINE} }}", DAY),
        ("exportPipeline(environment: $id, version: 1)", DAY),
        (f"pipelineDiff(environment: $id, {BETWEEN}) {{ {DIFF} }}", DAY),
        (
            f"{PAST} exportPipeline(environment: $id, version: 1)",
            DAY,
        ),
        (f"pipeline(environment: $id) {{ {PIPELINE} }}", EACH_TIME),
        ("pipelineSnapshot(environment: $id, at: {version: 99}) { version }", EACH_TIME),
        ('pipelineSnapshot(environment: $id, at: {asOf: "2999-01-01T00:00:00Z"}) { version }', EACH_TIME),
        ("pipelineSnapshot(environment: $id, at: {version: 1}) { environment { name isDeleted } }", DAY),
        ("pipelineSnapshot(environment: $id, at: {version: 1}) { environment { project { name } } }", EACH_TIME),
        ("exportPipeline(environment: $id)", EACH_TIME),
        (f"pipelineDiff(environment: $id, from: {{version: 1}}) {{ {DIFF} }}", EACH_TIME),
        (
            'pipelineDiff(environment: $id, from: {version: 1}, to: {asOf: "2999-01-01T00:00:00Z"}) { to { version } }',
            EACH_TIME,
        ),
        (
            f"pipelineDiff(environment: $id, {BETWEEN}) {{ to {{ environment {{ project {{ name }} }} }} }}",
            EACH_TIME,
        ),
        (
            f"{PAST} pipeline(environment: $id) {{ version }}",
            EACH_TIME,
        ),
        ("pipelineHistory(environment: $id, first: 1) { edges { node { actor { name } } } }", EACH_TIME),
        ("deployments(environment: $id) { edges { node { id } } }", EACH_TIME),
    ],
)
def test_an_answer_is_immutable_if_all_of_it_is_past(environment: Environment, selection: str, expected: str) -> None:
    environment.do("createStage", name="Checks")
    assert control(environment, selection) == expected
    assert control(environment, selection, "POST") == EACH_TIME


def test_a_past_answer_stays_the_same_after_a_change(environment: Environment) -> None:
    environment.add("api")
    query = f"query ($id: ID!) {{ pipelineSnapshot(environment: $id, at: {{version: 2}}) {{ {PIPELINE} }} }}"
    before = environment.stageline.execute(query, id=environment.id)
    environment.do("moveService", service="api", stage="CONTAINER DEFAULT")
    environment.do("editEnvironment", name="Renamed")
    assert environment.stageline.execute(query, id=environment.id) == before


def test_a_client_that_has_an_immutable_answer_is_told_so_again(environment: Environment) -> None:
    query = f'{{ pipelineSnapshot(environment: "{environment.id}", at: {{version: 1}}) {{ {PIPELINE} }} }}'
    headers = {"authorization": f"Bearer {environment.stageline.token}", "if-none-match": "*"}
    answer = environment.stageline.send("GET", params={"query": query}, headers=headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (304, DAY)


def test_a_past_pipeline_reaches_live_objects_only_by_the_fields_that_are_named() -> None:
    """An object that `node` returns is live."""
    assert CORE.query_type is not None
    first = get_named_type(CORE.query_type.fields["pipelineSnapshot"].type)
    assert isinstance(first, GraphQLObjectType)
    waiting, reached = [first], {first.name}
    while waiting:
        for name, field in waiting.pop().fields.items():
            inner = get_named_type(field.type)
            if name in LIVE or not is_composite_type(inner):
                continue
            for type_ in CORE.get_possible_types(inner) if is_abstract_type(inner) else [inner]:
                assert isinstance(type_, GraphQLObjectType)
                if type_.name not in reached:
                    reached.add(type_.name)
                    waiting.append(type_)
    assert reached > {"ServiceSpec"}
    live = {type_.name for type_ in CORE.get_possible_types(NODE)}
    assert live & reached == set()
