"""Stored events: what was ever written is read for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as shapes

from store import codec, ids
from store.log import Author, Event, Origin
from tests.examples import examples
from tests.store import golden

GOLDEN = golden.read()


def kept(now: Any, then: Any) -> Any:
    """Return the fields of *now* that *then* had; others may have come in between."""
    match now, then:
        case dict(), dict():
            return {name: kept(value, then[name]) for name, value in now.items() if name in then}
        case list(), list() if len(now) == len(then):
            return [kept(*pair) for pair in zip(now, then, strict=True)]
        case _:
            return now


@pytest.mark.parametrize("line", range(len(GOLDEN)), ids=lambda line: f"{line + 1}-{GOLDEN[line].name}")
def test_an_event_of_the_golden_file_is_what_it_was(line: int) -> None:
    old = GOLDEN[line]
    event = codec.decode(old.name, bytes(old.state))
    assert codec.name(event) == old.name
    assert old.value == kept(golden.value(event), old.value)
    written = kept(msgspec.json.decode(codec.encode(event)), msgspec.json.decode(old.state))
    assert bytes(old.state) == msgspec.json.encode(written)
    assert old.digest == golden.digest(GOLDEN[:line], old.name, bytes(old.state))


def test_the_golden_file_has_every_event_as_it_is_written_now() -> None:
    missing = golden.missing()
    assert missing == [], (
        f"the golden file lacks {sorted({codec.name(event) for event in missing})} as they are written now. A new "
        "event, a new field with a default or a new value may be added: python -m tests.store.golden. Anything else "
        "changes what people's logs say."
    )


def test_the_names_of_events_begin_with_their_family() -> None:
    assert len(codec.NAMES) == len(codec.TYPES) == sum(len(decider.events) for decider in codec.DECIDERS)
    assert {name.split(".")[0] for name in codec.TYPES} == {decider.name for decider in codec.DECIDERS}


def test_an_event_that_is_not_known_is_not_read() -> None:
    for name in ("pipeline.StagePainted", "domain.stage:StageCreated", "os:system", ""):
        with pytest.raises(codec.UnknownEvent, match="newer"):
            codec.decode(name, b"{}")


def test_an_event_that_a_newer_version_writes_otherwise_is_not_read() -> None:
    for state in (b"{}", b'{"name":7}', b"[]"):
        with pytest.raises(codec.UnknownEvent, match=r"has an unknown form .* newer"):
            codec.decode("pipeline.EnvironmentRenamed", state)


# Round trip


def values(shape: shapes.Type) -> st.SearchStrategy[Any]:
    match shape:
        case shapes.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{each.name: values(each.type) for each in fields})
        case shapes.UnionType(types=types):
            return st.one_of(*map(values, types))
        case shapes.VarTupleType(item_type=item):
            lists: st.SearchStrategy[Any] = st.lists(values(item), max_size=3)
            return lists.map(tuple)
        case shapes.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case shapes.NoneType():
            return st.none()
        case shapes.BoolType():
            return st.booleans()
        case shapes.UUIDType():
            return st.uuids()
        case shapes.DateTimeType():
            return st.datetimes(timezones=st.just(UTC))
        case shapes.StrType():
            return st.text(max_size=20)
        case shapes.IntType():
            return st.integers(-(2**63), 2**63 - 1)
        case shapes.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case _:
            raise NotImplementedError(shape)


events: st.SearchStrategy[Event] = st.one_of(*(values(shapes.type_info(type_)) for type_ in codec.TYPES.values()))


@settings(deadline=None, max_examples=examples(300))
@given(events)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert event == codec.decode(codec.name(event), codec.encode(event))


# The chain

AT = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
ANN = Author(actor="ann", origin=Origin.API)
LINK: dict[str, Any] = {
    "previous": b"\x01" * 32,
    "id_": UUID(int=1),
    "stream": UUID(int=2),
    "version": 3,
    "name": "pipeline.EnvironmentRenamed",
    "state": b'{"name":"a"}',
    "recorded_at": AT,
    "by": ANN,
}


def others() -> Iterator[tuple[str, object]]:
    yield "previous", b""
    yield "id_", UUID(int=9)
    yield "stream", UUID(int=9)
    yield "version", 4
    yield "name", "pipeline.StageRenamed"
    yield "state", b'{"name":"b"}'
    yield "recorded_at", AT + timedelta(microseconds=1)
    given: dict[str, Any] = {"actor": "bob", "origin": Origin.CLI, "reason": "because"}
    for field in Author.__struct_fields__:
        yield "by", msgspec.structs.replace(ANN, **{field: given.get(field, ids.new())})


@pytest.mark.parametrize(("field", "other"), list(others()))
def test_everything_that_is_kept_of_an_event_is_in_its_hash(field: str, other: object) -> None:
    assert codec.digest(**LINK) != codec.digest(**LINK | {field: other})


def test_the_hash_is_the_same_wherever_the_clock_stands() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert codec.digest(**LINK) == codec.digest(**LINK | {"recorded_at": elsewhere})


def test_the_hash_is_documented_by_an_example() -> None:
    text = (
        b'["0101010101010101010101010101010101010101010101010101010101010101",'
        b'"00000000-0000-0000-0000-000000000001","00000000-0000-0000-0000-000000000002",3,'
        b'"pipeline.EnvironmentRenamed","{\\"name\\":\\"a\\"}","2026-01-02T03:04:05.000006Z","ann","API",'
        b"null,null,null,null]"
    )
    assert codec.digest(**LINK) == sha256(text).digest()
