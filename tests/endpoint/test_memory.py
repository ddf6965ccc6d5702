"""Memory: the caches of a node are bounded in bytes, and are freed without a garbage collection."""

import asyncio
import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_operation_ast
from graphql.execution.collect_fields import CollectedFields
from msgspec import StructMeta, ValidationError, convert

from cache.lru import BUDGET, Cache, shared
from endpoint.execution import documents, limits, persisted
from endpoint.execution.compiled import compiler
from endpoint.execution.compiled import dropped as dropping
from endpoint.execution.compiled import query as compiled
from endpoint.execution.compiled.dropped import dropped
from endpoint.execution.compiled.query import CompiledQueries, CompiledQuery
from endpoint.execution.compiled.walk import Run
from endpoint.execution.documents import ParsedDocument
from endpoint.execution.holding import Holding, TooManyOpen
from endpoint.execution.persisted import PersistedDocuments, sha256
from gql.schema import schema
from server import app
from tests.endpoint.garbage import EVERY_KIND, PARTS, document
from tests.gql.environment import Environment
from tests.gql.stageline import Socket, served
from tests.serving import ROOT
from tests.waiting import wait_until

COMPILED = CompiledQueries(schema)


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty caches for one test."""
    documents_ = schema.documents
    for owner, name in ((documents_, "good"), (documents_, "others"), (COMPILED, "_asked_once")):
        monkeypatch.setattr(owner, name, Cache[object, object](getattr(owner, name).limit))
    yield
    COMPILED.queries.clear()


def taken(keep: Callable[[], object]) -> int:
    """Return the memory that the result of *keep* takes, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = keep()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return size


def test_a_document_takes_no_more_memory_than_its_weight() -> None:
    schema.documents.read(document(0))
    size = taken(lambda: [schema.documents._parse(document(number)) for number in range(1, 6)])
    known = schema.documents._parse(document(1))
    assert isinstance(known, ParsedDocument)
    assert size / 5 < known.weight + sys.getsizeof(document(1))
    assert known.weight < 50 * len(document(1))


def test_a_compiled_document_takes_no_more_memory_than_its_weight() -> None:
    def queries(first: int) -> list[CompiledQuery]:
        made = []
        for number in range(first, first + 5):
            known = schema.documents.read(document(number, PARTS))
            (operation,) = known.document.definitions
            assert isinstance(operation, OperationDefinitionNode)
            query = CompiledQuery(schema.core, known, operation, (document(number, PARTS), None))
            assert query.roots(()) is not None
            made.append(query)
        return made

    weight = queries(0)[0].weight
    assert taken(lambda: queries(10)) / 5 < weight * 1.1


def test_the_budget_of_all_caches_has_what_is_allowed_for_answers(tmp_path: Path) -> None:
    for size in (3, 0):
        with served(tmp_path / str(size), kept_answers=size):
            assert shared.limit == BUDGET + size * 1024 * 1024


def test_the_cached_documents_are_bounded_in_bytes() -> None:
    for number in range(50):
        schema.documents.read(document(number))
    assert 0 < schema.documents.good.weight <= documents.GOOD_BYTES
    assert len(schema.documents.good) < 50


def test_garbage_collections_do_not_visit_cached_documents() -> None:
    schema.documents.read(document(0))
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1, 20):
        schema.documents.read(document(number))
    gc.collect()
    assert len(gc.get_objects()) - before < 19 * 200  # a document has some 1,200


def test_a_document_is_freed_without_a_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        known = schema.documents._parse(document(1))
        assert isinstance(known, ParsedDocument)
        gone = ref(known.document)
        del known
        assert gone() is None
    finally:
        gc.enable()


def test_parsing_a_document_and_reading_its_selection_leave_no_garbage() -> None:
    counted = subprocess.run(
        [sys.executable, "-m", "tests.endpoint.garbage"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert json.loads(counted.stdout) == {}


def test_an_executed_document_is_freed_without_a_collection(tmp_path: Path) -> None:
    with served(tmp_path) as stageline:
        stageline.execute(document(0))
        gc.collect()
        gc.disable()
        try:
            stageline.execute(document(1))
            gone = ref(schema.documents.read(document(1)).document)
            schema.documents.good.clear()
            wait_until(lambda: gone() is None, "the request has ended, and the document is freed")
        finally:
            gc.enable()


@pytest.mark.usefixtures("no_collections")
def test_the_errors_of_fields_are_freed_without_a_collection(tmp_path: Path) -> None:
    def errors() -> int:
        return sum(isinstance(each, GraphQLError) for each in gc.get_objects())

    with served(tmp_path) as stageline:
        for _ in range(3):
            Environment(stageline)
        wrong = '{ projects { edges { node { environments(after: "x") { edges { cursor } } } } } }'
        assert "errors" in stageline.ask(wrong)
        gc.collect()
        before = errors()
        assert "errors" in stageline.ask(wrong)
        wait_until(lambda: errors() <= before, "the errors are freed")


def test_an_error_has_its_location_without_the_tokens() -> None:
    known = schema.documents.read("{\n  cursor\n}")
    operation = get_operation_ast(known.document, None)
    assert operation is not None
    places = GraphQLError("a fault", list(operation.selection_set.selections)).locations or []
    assert [(each.line, each.column) for each in places] == [(2, 3)]
    (error,) = schema.documents.read("{\n  nothing\n}").errors
    with pytest.raises(GraphQLError) as raised:
        schema.documents.read("{\n  cursor(\n}")
    for fault, line in ((error, 2), (raised.value, 3)):
        assert [each.line for each in fault.locations or ()] == [line]


@pytest.mark.parametrize("wrong", ["{ cursor", "{ nothing }"])
def test_the_errors_of_a_document_keep_nothing_of_the_request(wrong: str) -> None:
    class SentRequest:
        """A request with variables of any size."""

    def ask() -> "ref[SentRequest]":
        asked = SentRequest()
        with suppress(GraphQLError):
            schema.documents.read(wrong)
        return ref(asked)

    gone = ask()
    gc.collect()
    assert gone() is None


async def test_long_documents_are_parsed_in_few_threads() -> None:
    await asyncio.gather(*(schema.documents.ready(document(number)) for number in range(8)))
    parsing = [each for each in threading.enumerate() if each.name.startswith("parser")]
    assert 0 < len(parsing) <= documents.PARSERS


def test_short_invalid_documents_are_few() -> None:
    for number in range(100):
        with suppress(GraphQLError):
            schema.documents.read(f"{{ nothing{number} }}")
    assert 0 < len(schema.documents.others) <= documents.OTHERS


def test_invalid_documents_are_bounded_in_bytes_and_displace_no_valid_one() -> None:
    schema.documents.read("{ cursor }")
    for number in range(60):
        with pytest.raises(GraphQLError):
            schema.documents.read(f"{{ cursor # {number} {'x' * 90_000}")
    assert schema.documents.others.weight <= documents.OTHER_BYTES
    assert schema.documents.good.get("{ cursor }") is not None


def test_a_long_document_is_compiled_when_it_is_sent_again() -> None:
    assert COMPILED.find(document(1), None) is None
    assert COMPILED.find(document(1), None) is not None
    assert COMPILED.find("{ cursor }", None) is not None


def test_a_document_of_too_many_structs_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    known = schema.documents.read(document(1, PARTS))
    (operation,) = known.document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert CompiledQuery(schema.core, known, operation, ("", None)).roots(()) is not None
    monkeypatch.setattr(compiler, "MAX_STRUCTS", 10)
    assert CompiledQuery(schema.core, known, operation, ("", None)).roots(()) is None


def test_compiled_documents_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "CompiledQueries", lambda _: COMPILED)
    with served(tmp_path) as stageline:
        for number in range(30):
            for _ in range(2):
                stageline.execute(document(number, PARTS))
    assert 0 < COMPILED.queries.weight <= compiled.BYTES
    assert len(COMPILED.queries) < 30
    assert len(COMPILED.calls) <= len(COMPILED.queries)


def structs() -> int:
    """Return the number of struct classes, garbage included."""
    return sum(isinstance(each, StructMeta) for each in gc.get_objects())


class Cycle:
    """A reference cycle."""

    def __init__(self) -> None:
        self.itself = self


def compiled_query(text: str) -> CompiledQuery:
    """The query, compiled, with structs that msgspec has described as if they had been used."""
    known = schema.documents.read(text)
    operation = get_operation_ast(known.document, None)
    assert operation is not None
    query = CompiledQuery(schema.core, known, operation, (text, None))
    assert query.roots(()) is not None
    for each in query.types:
        if isinstance(each, StructMeta):
            with suppress(ValidationError):
                convert({}, each)
    return query


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("query", [document(1, PARTS), EVERY_KIND])
def test_dropped_types_are_freed_by_a_collection_of_the_youngest_generation(query: str) -> None:
    dropped.add(compiled_query(query).types)  # what all have in common stays
    dropped.collect()
    gc.collect()  # what other tests left behind
    before = structs()
    queries = [compiled_query(f"{query}#{number}") for number in range(3)]
    cycle = Cycle()
    gone = ref(cycle)
    gc.collect()
    del cycle
    while queries:
        dropped.add(queries.pop().types)
    assert structs() > before
    dropped.collect()
    assert structs() == before
    assert gone() is not None


@pytest.mark.usefixtures("no_collections")
def test_dropped_compiled_documents_are_collected_before_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Struct classes refer to themselves, and freeing many at once is slow."""
    monkeypatch.setattr(compiler, "MAX_STRUCTS", 50)
    monkeypatch.setattr(dropping, "GARBAGE", 3 * 50)
    dropped.collect()
    before = structs()
    for number in range(12):
        query = COMPILED.find(document(number, PARTS), None) or COMPILED.find(document(number, PARTS), None)
        assert query is not None
        assert query.roots(()) is None
    assert structs() - before < 5 * 50


@pytest.mark.usefixtures("no_collections")
async def test_a_dropped_type_that_is_in_use_goes_on_working() -> None:
    query = compiled_query(EVERY_KIND)
    (cursor, *_) = query.roots(()) or ()
    nobody: Any = None
    dropped.add(query.types)
    dropped.collect()
    assert await cursor.walk(Run(nobody, {}, {}, {}), ["c"]) == ["c"]
    gc.collect()
    assert await cursor.walk(Run(nobody, {}, {}, {}), ["c"]) == ["c"]


def test_documents_that_clients_register_are_bounded_in_bytes() -> None:
    known = PersistedDocuments()
    for number in range(2 * persisted.SENT_BYTES // 20_000):
        text = f"{{ a{number} }}{' ' * 19_000}"
        known.text(text, sha256(text), None)
    assert 0 < known._sent.weight <= persisted.SENT_BYTES


FOLLOW = "subscription ($id: ID!) { pipeline(environment: $id) { version } }"


def test_a_subscription_with_too_many_variables_is_refused(tmp_path: Path) -> None:
    size = documents.MAX_FOLLOWED
    (error,) = schema.documents.read(FOLLOW).limit_errors(None, {"id": "x" * size})
    assert (error.extensions or {})["code"] == "TOO_LARGE"
    assert f"{size:,}" in error.message
    assert schema.documents.read(FOLLOW).limit_errors(None, {"id": "x" * (size - 20)}) == []
    long = FOLLOW + "#" * documents.MAX_KEPT
    (error,) = schema.documents.read(long).limit_errors(None, {})
    assert (error.extensions or {})["code"] == "TOO_MANY_CHARACTERS"


def test_open_subscriptions_are_bounded_in_bytes_and_count_a_document_once() -> None:
    known = schema.documents.read(FOLLOW)
    holding = Holding(200_000)
    with holding.subscription("a", FOLLOW, known, {"id": "x"}):
        alone = holding.weight
        with holding.subscription("a", FOLLOW, known, {"id": "x"}):
            assert holding.weight < 2 * alone
        assert holding.weight == alone
    assert holding.weight == 0
    assert limits.MAX_CHARACTERS > documents.MAX_KEPT


def test_no_token_keeps_others_from_subscribing() -> None:
    known = schema.documents.read(FOLLOW)
    holding = Holding(200_000)

    def follow(token: str, size: int) -> AbstractContextManager[None]:
        return holding.subscription(token, FOLLOW, known, {"id": "x" * size})

    with follow("a", 6_000):
        held = holding.weight
        with pytest.raises(TooManyOpen, match="of this token"), follow("a", 1_500):
            pass
        with follow("b", 1_500), pytest.raises(TooManyOpen, match="of this node"), follow("b", 3_000):
            pass
        assert holding.weight == held
    assert holding.weight == 0


def test_an_open_subscription_keeps_nothing_of_its_earlier_events(tmp_path: Path) -> None:
    asked = "subscription ($id: ID!) { pipelineEvents(environment: $id) { cursor message actor { id } } }"
    with served(tmp_path) as stageline, stageline.socket() as socket:
        environment = Environment(stageline)
        socket.subscribe("1", asked, id=environment.id)
        _create_stages(environment, socket, 3)
        before = _collected()
        _create_stages(environment, socket, 30)
        assert _collected() <= before + 10


def _create_stages(environment: Environment, socket: Socket, count: int) -> None:
    """Create *count* stages, and receive the event of each."""
    for number in range(count):
        name = f"{number + 1} of {count}"
        environment.do("createStage", name=name)
        message = socket.receive()
        while name not in str(message):
            assert message["type"] == "next", message
            message = socket.receive()


def _collected() -> int:
    gc.collect()
    return sum(isinstance(each, CollectedFields) for each in gc.get_objects())
