"""Limits of operations: each is named in its error, over every transport."""

import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from graphql import (
    DefinitionNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_introspection_query,
    get_named_type,
    parse,
    visit,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import cli
from endpoint.execution import cost, documents, limits
from endpoint.execution.cost import MAX_COST
from endpoint.http import request
from gql.contract import argument
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE
from gql.document import source
from gql.schema import COSTS
from gql.types import history
from tests.examples import examples
from tests.gql.documents import CORE, Selections
from tests.gql.stageline import Stageline, served

INTROSPECTION = get_introspection_query(
    descriptions=True,
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)
GUIDE = Path(__file__).parents[2] / "docs/queries.md"
BOMB = "{ ...F0 }" + "".join(
    f" fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}" for number in range(100)
)
SELECTIONS = "An operation may have at most 1,500 fields and fragments, counted at each use"
REPEATS = "An operation may have at most 50 selections of the same field (projects.pageInfo.hasNextPage)"
COUNTED = "the items of its lists times the levels of fields selected from each, its documents and mutations"
COST = f"An operation may cost at most 10,000 ({COUNTED})"
EXPENSIVE = """
query ($some: Int = 9, $most: Int!) {
  deployments(environment: 1, last: $most) {
    edges { node { changedSince { differences { events(first: $some) { edges { cursor } } } } } }
  }
  actors { pageInfo { endCursor } }
}
"""
ADVICE = "request less, or use several operations"
TOO_MUCH = [
    *(
        (
            document,
            "TOO_MANY_DIGITS",
            "An integer in a document may have at most 100 digits; this one has 5,000: use a smaller number.",
            (100, 5000),
        )
        for document in (
            f"query ($id: ID = {'1' * 5000}) {{ pipeline(environment: $id) {{ id }} }}",
            f"query ($size: Int = {'1' * 5000}) {{ projects(first: $size) {{ edges {{ cursor }} }} }}",
            f"{{ projects(first: {'1' * 5000}) {{ edges {{ cursor }} }} }}",
        )
    ),
    (
        "{ " + "...F " * 501 + "} fragment F on Query { ... { cursor } }",
        "TOO_MANY_SELECTIONS",
        f"{SELECTIONS}; this one has 1,503: {ADVICE}.",
        (1500, 1503),
    ),
    (
        BOMB + " fragment F100 on Query { cursor }",
        "TOO_MANY_SELECTIONS",
        f"{SELECTIONS}; this one has more than 1,000,000,000: {ADVICE}.",
        (1500, 10**9),
    ),
    (
        "{ __schema { types " + "{ ofType " * 19 + "{ name }" + "}" * 19 + " } }",
        "TOO_DEEP",
        f"An operation may have at most 20 levels of fields; this one has 22: {ADVICE}.",
        (20, 22),
    ),
    (
        "{ " + " ".join(f"a{number}: cursor" for number in range(101)) + " }",
        "TOO_MANY_ALIASES",
        f"An operation may have at most 100 aliases; this one has 101: {ADVICE}.",
        (100, 101),
    ),
    (
        "{ cursor " + "@x " * 101 + "}",
        "TOO_MANY_DIRECTIVES",
        f"An operation may have at most 100 directives; this one has 101: {ADVICE}.",
        (100, 101),
    ),
    (
        "{ projects { pageInfo { " + "hasNextPage " * 26 + "} } ...F } fragment F on Query { projects { pageInfo {"
        " hasNextPage " + "... { hasNextPage } " * 24 + "} } }",
        "TOO_MANY_REPEATS",
        f"{REPEATS}; this one has 51: select each field once.",
        (50, 51),
    ),
    (
        "{ cursor } fragment Unused on Query { " + "cursor " * 51 + "}",
        "TOO_MANY_REPEATS",
        (
            "An operation may have at most 50 selections of the same field (cursor); this one has 51:"
            " select each field once."
        ),
        (50, 51),
    ),
    (
        EXPENSIVE,
        "QUERY_TOO_EXPENSIVE",
        f"{COST}; this one costs 45,600: request smaller pages, or use several operations.",
        (10_000, 500 * 7 + 500 * 4 * 3 + 500 * 4 * 9 * 2 + 50 * 2),
    ),
]


@pytest.fixture(params=["compiling", "plain"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("limits"), compiles=request.param == "compiling") as made:
        yield made


@pytest.mark.parametrize(("document", "code", "message", "numbers"), TOO_MUCH, ids=[each[1] for each in TOO_MUCH])
def test_each_limit_is_named_over_every_transport(
    server: Stageline, document: str, code: str, message: str, numbers: tuple[int, int]
) -> None:
    asked = {"query": document, "variables": {"most": 500}}
    headers = {"authorization": f"Bearer {server.token}"}
    error = {"message": message, "extensions": {"code": code, "limit": numbers[0], "actual": numbers[1]}}
    accepts = {"accept": "application/graphql-response+json"}
    answer = server.send(json=asked, headers=headers | accepts)
    assert (answer.status_code, answer.json()) == (400, {"errors": [error]})
    parameters = {"query": document, "variables": json.dumps(asked["variables"])}
    assert server.send("GET", params=parameters, headers=headers).json() == {"errors": [error]}
    streamed = server.send(json=asked, headers=headers | {"accept": "text/event-stream"})
    (payload,) = (line for line in streamed.text.splitlines() if line.startswith("data: {"))
    assert json.loads(payload.removeprefix("data: ")) == {"errors": [error]}
    with server.socket() as socket:
        socket.subscribe("1", document, most=500)
        assert socket.receive() == {"id": "1", "type": "error", "payload": [error]}


def test_a_subscription_has_the_same_limits(server: Stageline) -> None:
    nested = "edges { node { changedSince { differences { events(first: 500) { edges { cursor } } } } } }"
    document = f"subscription {{ deployments(environment: 1, first: 20) {{ {nested} }} }}"
    with server.socket() as socket:
        socket.subscribe("1", document)
        (error,) = socket.receive()["payload"]
    assert error["extensions"] == {
        "code": "QUERY_TOO_EXPENSIVE",
        "limit": 10_000,
        "actual": 20 * 7 + 20 * 4 * 3 + 20 * 4 * 500 * 2,
    }


def test_an_operation_may_cost_exactly_the_maximum(server: Stageline) -> None:
    def document(more: int) -> str:
        page = "deployments(environment: 1, first: $first) { edges { node { failure { stage { stageId } } } } }"
        rest = f"projects(first: {more}) {{ edges {{ __typename }} }}"
        return f"query ($first: Int) {{ a: {page} b: {page} c: {page} d: {page} {rest} }}"

    (error, *_) = server.ask(document(1), first=500)["errors"]
    assert error["extensions"] == {"code": "QUERY_TOO_EXPENSIVE", "limit": 10_000, "actual": 10_002}
    (error, *_) = server.ask(document(1), first=499)["errors"]
    assert error["extensions"] == {"code": "ENVIRONMENT_NOT_FOUND"}


def test_the_number_of_reported_errors_is_limited(server: Stageline) -> None:
    errors = server.ask("{ " + " ".join(f"wrong{number}" for number in range(50)) + " }")["errors"]
    assert [error["message"] for error in errors] == [
        *(f"Cannot query field 'wrong{number}' on type 'Query'." for number in range(limits.MAX_ERRORS)),
        "Too many validation errors, error limit reached. Validation aborted.",
    ]


def test_a_document_that_is_too_long_is_not_parsed(server: Stageline) -> None:
    document = "{ cursor }" + " " * limits.MAX_CHARACTERS
    told = {
        "message": "A document may have at most 100,000 characters; this one has 100,010:"
        " send long texts as variables.",
        "extensions": {"code": "TOO_MANY_CHARACTERS", "limit": 100_000, "actual": 100_010},
    }
    assert server.ask(document) == {"errors": [told]}
    with server.socket() as socket:
        socket.subscribe("1", document)
        assert socket.receive() == {"id": "1", "type": "error", "payload": [told]}


def test_several_operations_are_several_requests(server: Stageline) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    told = "The request's body must be a JSON object, with one operation; it has 3 operations: send each by itself"
    for accept in ("application/json", "text/event-stream"):
        answer = server.send(json=[{"query": "{ cursor }"}] * 3, headers=headers | {"accept": accept})
        assert answer.status_code == 400
        assert answer.json() == {"errors": [{"message": told, "extensions": {"code": "BAD_REQUEST"}}]}


def test_the_usual_introspection_is_within_the_limits(server: Stageline) -> None:
    assert len(server.execute(INTROSPECTION)["__schema"]["types"]) > 50


def test_the_documents_of_the_command_line_are_within_the_limits() -> None:
    asked = [*_of_the_command_line()]
    fragments = {each.name.value: each for each in asked if isinstance(each, FragmentDefinitionNode)}
    operations = [each for each in asked if isinstance(each, OperationDefinitionNode)]
    assert len(operations) > 15
    for operation in operations:
        document = DocumentNode(definitions=(operation, *fragments.values()))
        assert limits.size_errors(document) == []
        (own,) = cost.costs(CORE, document, COSTS).values()
        assert own.limit_errors({"first": MAX_PAGE}) == []


def _of_the_command_line() -> Iterator[DefinitionNode]:
    """Yield the definitions in the documents of the command line's modules."""
    for module in pkgutil.iter_modules(cli.__path__):
        for value in vars(importlib.import_module(f"cli.{module.name}")).values():
            with suppress(GraphQLSyntaxError):
                yield from parse(value).definitions if isinstance(value, str) else ()


def test_the_guide_names_every_limit_and_counts_as_we_do() -> None:
    guide = GUIDE.read_text()
    for line in (
        f"a request | {request.MAX_BODY // 1024**2} MiB | `TOO_LARGE`",
        f"a document | {limits.MAX_CHARACTERS:,} characters | `TOO_MANY_CHARACTERS`",
        f"a document | {limits.MAX_TOKENS:,} tokens | `TOO_MANY_TOKENS`",
        f"a whole number in a document | {limits.MAX_DIGITS} digits | `TOO_MANY_DIGITS`",
        f"fields and fragments in an operation | {limits.MAX_SELECTIONS:,} | `TOO_MANY_SELECTIONS`",
        f"levels of fields | {limits.MAX_DEPTH} | `TOO_DEEP`",
        f"aliases | {limits.MAX_ALIASES} | `TOO_MANY_ALIASES`",
        f"directives | {limits.MAX_DIRECTIVES} | `TOO_MANY_DIRECTIVES`",
        f"the same field at one place of the answer | {limits.MAX_REPEATS} times | `TOO_MANY_REPEATS`",
        f"cost of an operation | {MAX_COST:,} | `QUERY_TOO_EXPENSIVE`",
        f"items in a page | {MAX_PAGE} | `INVALID_ARGUMENT`",
        f"strings, commas and brackets in the JSON of a request | {limits.MAX_MARKS:,} | `BAD_REQUEST`",
        f"values and names of fields in the variables | {limits.MAX_VALUES:,} | `TOO_MANY_VALUES`",
        f"levels of variables | {limits.MAX_LEVELS} | `VARIABLES_TOO_DEEP`",
        f"a string in the variables, except a pipeline document | {limits.MAX_STRING:,} characters | `STRING_TOO_LONG`",
        f"items in a list argument: environments, and each filter of a list | {argument.MAX_LIST} | `INVALID",
        f"the search text of a history | {history.MAX_TEXT:,} characters | `INVALID_ARGUMENT`",
        f"reported errors of one document | {limits.MAX_ERRORS} |",
        f"the document of a subscription | {documents.MAX_KEPT:,} characters | `TOO_MANY_CHARACTERS`",
        f"the variables of a subscription | {documents.MAX_FOLLOWED:,} bytes of JSON | `TOO_LARGE`",
        f"length | {source.MAX_TEXT:,} characters |",
        f"values; an alias counts as everything that it stands for | {source.MAX_VALUES:,} |",
        f"lists and mappings | {source.MAX_COLLECTIONS:,} |",
        f"levels | {source.MAX_DEPTH} |",
        f"length of a number | {source.MAX_NUMBER} characters |",
        f"`%TAG` directives | {source.MAX_TAGS:,} |",
    ):
        assert f"| {line}" in guide
    weights = {**cost.INTROSPECTION, **COSTS.weights}
    explanation = weights.pop("explanation")
    assert set(weights) == set(re.findall(r"`(\w+)`", re.findall(r"each of these fields costs 500: ([^.]*)", guide)[0]))
    assert set(weights.values()) == {500}
    assert f"The explanation of a deployment costs {explanation}." in guide
    assert (cost.CHARACTERS, cost.MUTATION, COSTS.items) == (200, 100, {"environments": 50})
    (example,) = re.findall(r"```graphql\n(.*?)```", guide, re.DOTALL)
    (exemplary,) = cost.costs(CORE, parse(example), COSTS).values()
    assert exemplary.of({}) == 100 * 4 + 100 * 4 * 1


PAGED = [
    "projects(first: 7)",
    "actors(last: $last)",
    "history(first: $first)",
    'deployments(environment: "x", first: $first, last: $last)',
    'deployments(environment: "x")',
    'deploymentEvents(deployment: "x", last: 3)',
    'pipelineHistory(environment: "x", first: 900)',
    'node(id: "x")',
    'pipelineDiff(environment: "x", from: {version: 1})',
]
NESTED = [
    "fragment Since on Deployment { changedSince { differences { events(first: $first) { edges { ...History } } } } }",
    "fragment History on PipelineEventEdge { node { id change { stage { stageId } } } }",
]
sizes = st.none() | st.integers(-5, 1000)


@given(st.data(), st.dictionaries(st.sampled_from(["first", "last"]), sizes))
@settings(max_examples=examples(150), deadline=None)
def test_a_document_is_measured_as_if_it_were_written_without_fragments(
    data: st.DataObject, variables: dict[str, int | None]
) -> None:
    selections = Selections(data.draw)
    text = selections.document(PAGED).replace("($yes", "($first: Int = 11, $last: Int, $yes")
    if data.draw(st.booleans()):
        text = text.replace("{", '{ much: deployments(environment: "x", last: 2) { edges { node { ...Since } } }', 1)
    document = parse(" ".join([text, *NESTED]))
    fragments = limits.fragments_of(document)
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    plain = _without_fragments(operation, fragments)

    asked = limits.size(operation.selection_set, fragments, {})
    counted = limits.size(plain.selection_set, {}, {})
    assert asked == counted
    model = Model(TypeInfo(CORE), {"first": 11, **variables})
    visit(plain, TypeInfoVisitor(model.types, model))
    assert (asked.selections, asked.depth, asked.aliases, asked.directives) == model.size
    assert cost.costs(CORE, document, COSTS)[None].of(variables) == model.cost
    places = model.places.most_common(1)
    assert limits.repeats(operation.selection_set, fragments)[1] == (places[0][1] if places else 0)


def _without_fragments(
    operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]
) -> OperationDefinitionNode:
    class Written(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> InlineFragmentNode:
            meant = fragments[node.name.value]
            return InlineFragmentNode(
                type_condition=meant.type_condition, directives=node.directives, selection_set=meant.selection_set
            )

    return cast("OperationDefinitionNode", visit(operation, Written()))


class Model(Visitor):
    """The size and cost of a document without named fragments, measured in one pass."""

    def __init__(self, types: TypeInfo, variables: dict[str, int | None]) -> None:
        super().__init__()
        self.types = types
        self.places: Counter[tuple[str, ...]] = Counter()
        self.selections = self.aliases = self.directives = 0
        self._variables = variables
        self._weight = 0
        self._way: list[str] = []
        self._lists: list[tuple[int, int, int]] = []  # items, level, deepest level below
        self._around: list[tuple[int, int]] = []  # the index in _lists, its items

    @property
    def size(self) -> tuple[int, int, int, int]:
        return self.selections, max(map(len, self.places), default=0), self.aliases, self.directives

    @property
    def cost(self) -> int:
        return self._weight + sum(things * (deepest - level) for things, level, deepest in self._lists)

    def enter_inline_fragment(self, *_: object) -> None:
        self.selections += 1

    def enter_directive(self, *_: object) -> None:
        self.directives += 1

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.selections += 1
        self.aliases += node.alias is not None
        self._way.append((node.alias or node.name).value)
        self.places[tuple(self._way)] += 1
        level = len(self._way)
        for index, _things in self._around:
            things, own, deepest = self._lists[index]
            self._lists[index] = (things, own, max(deepest, level))
        self._weight += {**cost.INTROSPECTION, **COSTS.weights}.get(node.name.value, 0) * (
            self._around[-1][1] if self._around else 1
        )
        field = self.types.get_field_def()
        is_paged = field is not None and get_named_type(field.type).name.endswith("Connection")
        if is_paged or (field is not None and node.name.value in COSTS.lists):
            things = (self._page(node) if is_paged else COSTS.lists[node.name.value]) * (
                self._around[-1][1] if self._around else 1
            )
            self._around.append((len(self._lists), things))
            self._lists.append((things, level, level))

    def leave_field(self, node: FieldNode, *_: object) -> None:
        if self._around and self._lists[self._around[-1][0]][1] == len(self._way):
            self._around.pop()
        self._way.pop()

    def _page(self, node: FieldNode) -> int:
        given = {each.name.value: each.value for each in node.arguments or () if each.name.value in ("first", "last")}
        numbers = [
            self._variables.get(value.name.value) if isinstance(value, VariableNode) else int(value.value)
            for value in given.values()
            if isinstance(value, VariableNode | IntValueNode)
        ]
        largest = max((number for number in numbers if number is not None), default=DEFAULT_PAGE)
        return max(0, min(largest, MAX_PAGE))
