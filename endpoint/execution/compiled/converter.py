"""
Converters: functions from the value of a field to its part of the answer.

msgspec converts to structs and to the Python types of GraphQL's leaves. Another type has a converter of its own, which
msgspec calls.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any

import msgspec
from graphql import GraphQLEnumType, GraphQLLeafType
from msgspec import Meta, StructMeta

from endpoint.execution.compiled.selection import Unsupported

LEAVES: dict[str, Any] = {
    "Boolean": bool,
    "Float": Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)],
    "ID": str,
    "Int": Annotated[int, Meta(ge=-(2**31), lt=2**31)],
    "String": str,
}
"""Python types of GraphQL's scalars, with their ranges."""

Make = Callable[[Any], Any]
"""A converter."""


class UnexpectedValue(Exception):
    """A value is not of the expected type."""


class ConvertedType(type):
    """The metaclass of types whose values a converter returns: msgspec accepts any value as one of them."""

    make: Make

    def __instancecheck__(cls, instance: object) -> bool:
        return True


def type_of(make: Make) -> type:
    """Return a new type, whose values *make* returns."""
    return ConvertedType("Converted", (), {"__slots__": (), "make": staticmethod(make)})


@cache
def typename(name: str) -> type:
    """Return the type of `__typename`, which all documents have in common."""
    return type_of(lambda _: name)


def of_struct(kind: StructMeta) -> Make:
    """Return the converter to a struct."""
    return partial(msgspec.convert, type=kind, from_attributes=True, dec_hook=_make)


def wrapper(kind: Any) -> StructMeta:
    """Return a new struct with a value of another type."""
    return msgspec.defstruct("Wrapper", [("value", kind)])


def of_wrapper(wrapper: StructMeta) -> Make:
    """Return the converter to the type that a wrapper has."""
    fill = of_struct(wrapper)
    return lambda value: fill({"value": value}).value


@cache
def of_leaf(kind: Any) -> Make:
    """Return the converter to a leaf, which all documents have in common."""
    return of_wrapper(wrapper(kind))


def _make(kind: Any, value: Any) -> Any:
    return kind.make(value)


def one_of(makes: Mapping[type, Make], value: Any) -> Any:
    """Convert a value of one of several classes."""
    return makes[type(value)](value)


def as_dict(makes: Sequence[tuple[str, str, Make]], value: Any) -> dict[str, Any]:
    """Convert to a dict; *makes* are its keys, the attributes of the value, and their converters."""
    return {key: make(getattr(value, attribute)) for key, attribute, make in makes}


@cache
def leaf(type_: GraphQLLeafType) -> Any:
    """Return the Python type of a leaf, which all documents have in common."""
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    return LEAVES.get(type_.name) or type_of(partial(_scalar, type_.coerce_output_value))


def _scalar(serialize: Callable[[Any], Any], value: Any) -> Any:
    made = serialize(value)
    if made is None:
        raise UnexpectedValue
    return made


def _enum(type_: GraphQLEnumType) -> Any:
    """Return the enum itself if its values are the GraphQL names; else a converter to the names."""
    members = getattr(type_, "wrapped_cls", None)
    if members is None:
        raise Unsupported
    names: dict[Any, str] = {}
    for name, value in type_.values.items():
        names.setdefault(members(value.value), name)  # the first of several equal values
    if all(member.value == name for member, name in names.items()):
        return members
    return type_of(names.__getitem__)
