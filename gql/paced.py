"""Answers that take long, carried out and encoded in turns with what else there is to do."""

from collections.abc import Iterable
from typing import Any

import msgspec
from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from store.turn import in_turn, made_in_turn

FEW = 5
"""Items of a list that is completed at once: what is below each of them may be long again."""


class Paced(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which gives way between the items of lists."""

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        if not isinstance(items, list | tuple) or len(items) <= FEW:
            return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)
        iterator = in_turn(items)
        return self.complete_async_iterator_value(item_type, field_details_list, info, path, iterator, position_context)


async def encoded(value: object) -> bytes:
    """*value* as JSON, as msgspec has it."""
    if isinstance(value, dict):
        parts = [msgspec.json.encode(key) + b":" + await encoded(each) for key, each in value.items()]
        return b"{" + b",".join(parts) + b"}"
    if isinstance(value, list) and len(value) > FEW:
        return b"[" + b",".join(await made_in_turn(msgspec.json.encode, value)) + b"]"
    return msgspec.json.encode(value)
