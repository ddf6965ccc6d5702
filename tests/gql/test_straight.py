"""An object that lasts is looked at once for each document, and answers the same from then on."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from graphql import get_operation_ast, parse
from hypothesis import given
from hypothesis import strategies as st

from endpoint.execution import compiler
from endpoint.execution.straight import Make
from gql.types.pipeline import Pipeline
from tests.gql.documents import CORE


def compiled(selected: str) -> Make:
    document = parse(f'{{ pipeline(environment: "x") {{ {selected} }} }}')
    operation = get_operation_ast(document)
    assert operation is not None
    (root,) = compiler.roots(CORE, document, operation, {})
    return root.make


def pipeline(*specs: Any) -> Any:
    """One that has what these tests ask for."""
    made: Any = object.__new__(Pipeline)
    made.stages = [SimpleNamespace(services=[SimpleNamespace(spec=spec) for spec in specs])]
    return made


def answers(make: Make, value: Any) -> list[bytes]:
    """What is made of it when it is asked for again and again."""
    return [msgspec.json.encode(make(value)) for _ in range(3)]


TIMEOUTS = compiled("stages { services { spec { buildTimeout } } }")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60), max_size=5))
def test_floats_are_written_as_floats_also_where_they_are_whole_numbers(given: list[float]) -> None:
    specs = [{"spec": {"buildTimeout": float(each)}} for each in given]
    expected = msgspec.json.encode({"stages": [{"services": specs}]})
    made = pipeline(*(SimpleNamespace(build_timeout=each) for each in given))
    assert [expected] * 3 == answers(TIMEOUTS, made)


def test_both_zeros_are_written_as_they_are() -> None:
    made = pipeline(SimpleNamespace(build_timeout=0.0), SimpleNamespace(build_timeout=-0.0))
    first, *others = answers(TIMEOUTS, made)
    assert first.count(b":0.0") == first.count(b":-0.0") == 1
    assert [first] * 2 == others


def test_another_document_looks_at_it_too() -> None:
    made = pipeline(SimpleNamespace(build_timeout=1.5, run=5))
    answers(TIMEOUTS, made)
    with pytest.raises(msgspec.ValidationError):
        answers(compiled("stages { services { spec { run } } }"), made)


def test_what_was_found_wrong_is_found_wrong_again() -> None:
    made = pipeline(SimpleNamespace(build_timeout="soon"))
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            answers(TIMEOUTS, made)


def test_lists_and_things_may_be_null() -> None:
    make = compiled("stages { services { spec { health { http { path } interval } build env { name } } } }")
    checked = SimpleNamespace(http=SimpleNamespace(path="/health"), interval=1.0)
    one = SimpleNamespace(health=checked, build=["make"], env=[SimpleNamespace(name="A")])
    other = SimpleNamespace(health=None, build=[], env=[])
    first, *others = answers(make, pipeline(one, other))
    assert [first] * 2 == others
    assert answers(make, None) == [b"null"] * 3
