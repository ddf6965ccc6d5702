"""
The golden file: examples of every shape in which an event was ever written, and their chain.

    python -m tests.store.golden    appends the examples of what is written now that are not in the file yet

A line of it is never edited or removed: it stands for the logs that people have.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec import inspect as shapes

from store import codec
from store.log import Author, Event, Origin

FILE = Path(__file__).with_name("golden_events.jsonl")
STREAM = UUID("0193c3a0-0000-7000-8000-000000000000")
RECORDED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
BY = Author(
    actor="ann", origin=Origin.CONSOLE, token=STREAM, correlation=STREAM, causation=STREAM, reason="Because – so."
)


class Golden(Struct, frozen=True):
    """An event as it is stored, what is read from it, and its link in the chain of all that are in the file."""

    name: str
    state: Raw
    value: Any
    digest: str


def read() -> list[Golden]:
    return [msgspec.json.decode(line, type=Golden) for line in FILE.read_bytes().splitlines()]


def value(thing: Any) -> Any:
    """*thing* in JSON's terms with every field, those that are not written because they have their default as well."""
    match thing:
        case Struct():
            return {name: value(getattr(thing, name)) for name in thing.__struct_fields__}
        case tuple():
            return [value(each) for each in thing]
        case _:
            return msgspec.to_builtins(thing)


def digest(before: list[Golden], name: str, state: bytes) -> str:
    """The link of the event that comes after those *before*."""
    previous = bytes.fromhex(before[-1].digest) if before else b""
    version = len(before) + 1
    return codec.digest(previous, UUID(int=version), STREAM, version, name, state, RECORDED_AT, BY).hex()


def examples() -> Iterator[Event]:
    """Of every event so many that each kind of value that its fields may have is in one of them."""
    for type_ in codec.TYPES.values():
        for values in _examples(shapes.type_info(type_), type_.__name__):
            event: Event = msgspec.convert(values, type_)
            yield event


def missing() -> list[Event]:
    """Examples that the file doesn't hold as they are written now."""
    known = {(golden.name, bytes(golden.state)) for golden in read()}
    return [event for event in examples() if (codec.name(event), codec.encode(event)) not in known]


def _examples(shape: shapes.Type, field: str) -> list[Any]:
    match shape:
        case shapes.StructType(fields=fields, tag_field=tag_field, tag=tag):
            kinds = {each.encode_name: _examples(each.type, each.encode_name) for each in fields}
            for each in fields:
                if each.default is not msgspec.NODEFAULT:
                    kinds[each.encode_name].append(msgspec.to_builtins(each.default))
            count = max((len(kind) for kind in kinds.values()), default=1)
            tagged = {} if tag_field is None else {tag_field: tag}
            return [tagged | {name: kind[n % len(kind)] for name, kind in kinds.items()} for n in range(count)]
        case shapes.UnionType(types=types):
            return [example for each in types for example in _examples(each, field)]
        case shapes.VarTupleType(item_type=item):
            return [_examples(item, field), []]
        case shapes.EnumType(cls=cls):
            return [member.value for member in cls]
        case shapes.NoneType():
            return [None]
        case shapes.BoolType():
            return [True, False]
        case shapes.UUIDType():
            return [str(UUID(int=sum(field.encode())))]
        case shapes.DateTimeType():
            return [RECORDED_AT.isoformat()]
        case shapes.StrType():
            return [f"{field} – “é”"]
        case shapes.IntType():
            return [len(field)]
        case shapes.FloatType():
            return [len(field) + 0.5]
        case _:
            raise NotImplementedError(f"{field}: say here how examples of {shape} look")


def main() -> None:
    known = read() if FILE.exists() else []
    FILE.touch()
    for event in missing():
        name, state = codec.name(event), codec.encode(event)
        known.append(Golden(name, Raw(state), value(event), digest(known, name, state)))
    FILE.write_bytes(b"".join(msgspec.json.encode(golden) + b"\n" for golden in known))


if __name__ == "__main__":
    main()
