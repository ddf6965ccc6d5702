"""
Marks of fields, given as metadata where the field is defined:

    @strawberry.subscription(description="…", metadata=LOSSLESS)

A subscription without a mark is executed for each subscriber. A field with `PERSONAL` holds personal data, which may
have to be erased: payloads with such a field are never shared or kept.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from graphql import GraphQLField
from msgspec import Struct

DELIVERY = "delivery"
"""Key of the metadata that holds the mark of a subscription's field."""


class Lossless(Struct, frozen=True):
    """A subscription that yields objects with a `cursor`, each once and in order, after the argument `after`.

    *origin* names the list of its cursors, and *end* gives the list's last position, 0 if it need not be known. Both
    get the request's context and the field's arguments. A subscription whose objects hold several positions is not
    shared: where an object begins depends on the cursor that its client started after. Such an object may also come
    again with the same cursor.
    """

    origin: Callable[[Any, Mapping[str, Any]], str]
    end: Callable[[Any, Mapping[str, Any]], Awaitable[int]]
    is_shared: bool = True


class Newest(Struct, frozen=True):
    """A subscription that yields an object again after each change: only the newest payload counts."""


NEWEST = {DELIVERY: Newest()}
"""Metadata of a subscription whose newest payload counts."""

PERSONAL = {"personal": True}
"""Metadata of a field with personal data."""


def delivery(field: GraphQLField) -> Lossless | Newest | None:
    """Return the mark of a subscription's field."""
    found = _metadata(field).get(DELIVERY)
    return found if isinstance(found, Lossless | Newest) else None


def is_personal(field: GraphQLField) -> bool:
    """Whether *field* holds personal data."""
    return bool(_metadata(field).get("personal"))


def _metadata(field: GraphQLField) -> Mapping[Any, Any]:
    defined = field.extensions.get("strawberry-definition")
    return {} if defined is None else defined.metadata
