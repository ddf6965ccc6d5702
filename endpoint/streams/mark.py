"""
How a subscription's root field is delivered, said where the field is defined:

    @strawberry.subscription(description="…", metadata=LOSSLESS)

A field without a mark is carried out for each subscriber anew.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from graphql import GraphQLField
from msgspec import Struct

from gql.context import Application

DELIVERY = "delivery"


class Lossless(Struct, frozen=True):
    """Gives objects with a `cursor`, each of them once and in order, and takes the cursor to begin after as `after`.

    By the field's arguments, *origin* says in which list its cursors are numbered, and *end* gives the list's last
    number, 0 where that isn't asked.
    """

    origin: Callable[[Application, Mapping[str, Any]], str]
    end: Callable[[Application, Mapping[str, Any]], Awaitable[int]]


class Newest(Struct, frozen=True):
    """Gives the same thing again whenever it has changed: only the newest counts."""


LOSSLESS = {
    DELIVERY: Lossless(
        origin=lambda application, _: application.log.epoch, end=lambda application, _: application.log.position()
    )
}
NEWEST = {DELIVERY: Newest()}


def delivery(field: GraphQLField) -> Lossless | Newest | None:
    """The mark of *field*."""
    defined = field.extensions.get("strawberry-definition")
    found = None if defined is None else defined.metadata.get(DELIVERY)
    return found if isinstance(found, Lossless | Newest) else None
