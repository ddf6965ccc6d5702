"""References to things: their id, and name or number."""

from msgspec import Struct


class RefJson(Struct, rename="camel"):
    id: str
    name: str


class NumberedJson(Struct, rename="camel"):
    id: str
    number: int


class ServiceRefJson(Struct, rename="camel"):
    id: str
    name: str
    type: str
