"""What a node keeps of what it is asked is bounded by bytes, and is freed without a collection of garbage."""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from weakref import ref

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_operation_ast
from graphql.execution.collect_fields import CollectedFields
from msgspec import StructMeta

from gql import compiled, compiler, limit, persisted, reading, subscription
from gql.compiled import Query
from gql.holding import Holding, TooManyOpen
from gql.persisted import Persisted, hashed
from gql.reading import Read, read
from store.cache import Cache
from tests.gql.environment import Environment
from tests.gql.stageline import Socket, served

FIELDS = "stages { id name services { id name stage { id name } } }"

PARTS = 20
"""Fields of a document that is compiled."""


def document(number: int, parts: int = 46) -> str:
    """A valid document of 5 KB that no other number gives."""
    fields = [f'a{part}: pipeline(environment: "{number:08}{part:024}") {{ {FIELDS} }}' for part in range(parts)]
    return f"{{ {' '.join(fields)} }}"


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Cache[object, object]]]:
    """Empty caches, as long as one test."""
    made = []
    for module, name in [(reading, "_good"), (reading, "_others"), (compiled, "_asked_once"), (subscription, "_plans")]:
        made.append(Cache[object, object](getattr(module, name).limit))
        monkeypatch.setattr(module, name, made[-1])
    yield made
    compiled._queries.clear()


def taken(keep: Callable[[], object]) -> int:
    """The bytes that are taken by what is kept."""
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


def test_a_document_takes_no_more_than_it_is_weighed_as() -> None:
    read(document(0))
    size = taken(lambda: [reading._read(document(number)) for number in range(1, 6)])
    known = reading._read(document(1))
    assert isinstance(known, Read)
    assert size / 5 < known.weight + sys.getsizeof(document(1))
    assert known.weight < 50 * len(document(1))


def test_a_compiled_document_takes_no_more_than_it_is_weighed_as() -> None:
    def queries(first: int) -> list[Query]:
        made = []
        for number in range(first, first + 5):
            known = read(document(number, PARTS))
            (operation,) = known.document.definitions
            assert isinstance(operation, OperationDefinitionNode)
            query = Query(known, operation, (document(number, PARTS), None))
            assert query.roots(()) is not None
            made.append(query)
        return made

    weight = queries(0)[0].weight
    assert taken(lambda: queries(10)) / 5 < weight * 1.1


def test_however_many_documents_are_asked_those_that_are_kept_take_so_many_bytes() -> None:
    for number in range(100):
        read(document(number))
    assert 0 < reading._good.weight <= reading.GOOD_BYTES
    assert len(reading._good) < 100


def test_documents_that_are_kept_are_nothing_that_a_collection_looks_at() -> None:
    read(document(0))
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1, 20):
        read(document(number))
    gc.collect()
    assert len(gc.get_objects()) - before < 19 * 200  # of some 1,200 each


def test_a_document_is_freed_without_a_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        known = reading._read(document(1))
        assert isinstance(known, Read)
        gone = ref(known.document)
        del known
        assert gone() is None
    finally:
        gc.enable()


def test_a_document_that_was_carried_out_is_freed_without_a_collection(tmp_path: Path) -> None:
    with served(tmp_path) as stageline:
        stageline.execute(document(0))
        gc.collect()
        gc.disable()
        try:
            stageline.execute(document(1))
            gone = ref(read(document(1)).document)
            reading._good.clear()
            assert gone() is None
        finally:
            gc.enable()


def test_an_error_names_its_place_though_the_tokens_are_gone() -> None:
    known = read("{\n  cursor\n}")
    operation = get_operation_ast(known.document, None)
    assert operation is not None
    places = GraphQLError("a fault", list(operation.selection_set.selections)).locations or []
    assert [(each.line, each.column) for each in places] == [(2, 3)]
    (error,) = read("{\n  nothing\n}").errors
    with pytest.raises(GraphQLError) as raised:
        read("{\n  cursor(\n}")
    for fault, line in ((error, 2), (raised.value, 3)):
        assert [each.line for each in fault.locations or ()] == [line]


@pytest.mark.parametrize("wrong", ["{ cursor", "{ nothing }"])
def test_what_is_wrong_with_a_document_keeps_nothing_of_who_asked(wrong: str) -> None:
    class Asked:
        """What somebody asks, with variables of any size."""

    def ask() -> "ref[Asked]":
        asked = Asked()
        with suppress(GraphQLError):
            read(wrong)
        return ref(asked)

    gone = ask()
    gc.collect()
    assert gone() is None


def test_invalid_documents_take_so_many_bytes_and_push_out_no_valid_one() -> None:
    read("{ cursor }")
    for number in range(300):
        with pytest.raises(GraphQLError):
            read(f"{{ cursor # {number} {'x' * 90_000}")
    assert reading._others.weight <= reading.OTHER_BYTES
    assert reading._good.get("{ cursor }") is not None


def test_a_long_document_is_compiled_when_it_is_asked_again() -> None:
    assert compiled.find(document(1), None) is None
    assert compiled.find(document(1), None) is not None
    assert compiled.find("{ cursor }", None) is not None


def test_a_document_of_too_many_structs_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(document(1, PARTS))
    (operation,) = known.document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert Query(known, operation, ("", None)).roots(()) is not None
    monkeypatch.setattr(compiler, "MAX_STRUCTS", 10)
    assert Query(known, operation, ("", None)).roots(()) is None


def test_compiled_documents_take_so_many_bytes(tmp_path: Path) -> None:
    with served(tmp_path) as stageline:
        for number in range(30):
            for _ in range(2):
                stageline.execute(document(number, PARTS))
    assert 0 < compiled._queries.weight <= compiled.BYTES
    assert len(compiled._queries) < 30
    assert len(compiled._calls) <= len(compiled._queries)


def structs() -> int:
    """The number of struct classes that there are, garbage among them."""
    return sum(isinstance(each, StructMeta) for each in gc.get_objects())


def test_compiled_documents_that_are_dropped_are_collected_before_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They refer to themselves, and to free many at once would take long."""
    monkeypatch.setattr(compiler, "MAX_STRUCTS", 50)
    monkeypatch.setattr(compiled, "GARBAGE", 3 * 50 * compiler.STRUCT)
    gc.collect()
    gc.disable()
    try:
        before = structs()
        for number in range(12):
            query = compiled.find(document(number, PARTS), None) or compiled.find(document(number, PARTS), None)
            assert query is not None
            assert query.roots(()) is None
        assert structs() - before < 6 * 50
    finally:
        gc.enable()


def test_documents_that_clients_register_take_so_many_bytes() -> None:
    known = Persisted()
    for number in range(2 * persisted.SENT_BYTES // 20_000):
        text = f"{{ a{number} }}{' ' * 19_000}"
        known.text(text, hashed(text), None)
    assert 0 < known._sent.weight <= persisted.SENT_BYTES


FOLLOW = "subscription ($id: ID!) { pipeline(environment: $id) { version } }"


def test_a_subscription_with_too_many_variables_is_refused(tmp_path: Path) -> None:
    size = reading.MAX_FOLLOWED
    (error,) = read(FOLLOW).exceeded(None, {"id": "x" * size})
    assert (error.extensions or {})["code"] == "TOO_LARGE"
    assert f"{size:,}" in error.message
    assert read(FOLLOW).exceeded(None, {"id": "x" * (size - 20)}) == []
    long = FOLLOW + "#" * reading.MAX_KEPT
    (error,) = read(long).exceeded(None, {})
    assert (error.extensions or {})["code"] == "TOO_MANY_CHARACTERS"


def test_open_subscriptions_hold_so_many_bytes_and_count_a_document_once() -> None:
    known = read(FOLLOW)
    holding = Holding(200_000)
    with holding.subscription("a", FOLLOW, known, {"id": "x"}):
        alone = holding.weight
        with holding.subscription("a", FOLLOW, known, {"id": "x"}):
            assert holding.weight < 2 * alone
        assert holding.weight == alone
    assert holding.weight == 0
    assert limit.MAX_CHARACTERS > reading.MAX_KEPT


def test_no_token_keeps_others_from_subscribing() -> None:
    known = read(FOLLOW)
    holding = Holding(200_000)

    def follow(token: str, size: int) -> AbstractContextManager[None]:
        return holding.subscription(token, FOLLOW, known, {"id": "x" * size})

    with follow("a", 6_000):
        held = holding.weight
        with pytest.raises(TooManyOpen, match="this token's"), follow("a", 1_500):
            pass
        with follow("b", 1_500), pytest.raises(TooManyOpen, match="this node's"), follow("b", 3_000):
            pass
        assert holding.weight == held
    assert holding.weight == 0


def test_an_open_subscription_keeps_nothing_of_the_events_that_it_gave(tmp_path: Path) -> None:
    asked = "subscription ($id: ID!) { pipelineEvents(environment: $id) { cursor message actor } }"
    with served(tmp_path) as stageline, stageline.socket() as socket:
        environment = Environment(stageline)
        socket.subscribe("1", asked, id=environment.id)
        _create_stages(environment, socket, 3)
        before = _collected()
        _create_stages(environment, socket, 30)
        assert _collected() <= before + 10


def _create_stages(environment: Environment, socket: Socket, count: int) -> None:
    """Create so many stages, and take the event of each."""
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
