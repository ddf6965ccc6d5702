"""The subscription of the list of tokens."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from domain.access import ACCESS
from gql.context import Info
from gql.contract.connection import DEFAULT_PAGE, MAX_PAGE, Connection, part
from gql.contract.newest import RATE, Reading, newest
from gql.types.token import Token, page


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The first tokens of the list in the order of their issue, now and after each change of one. A"
        f" token that expires is no change. {RATE}.",
    )  # not shared, since each actor sees its own
    async def tokens(
        self,
        info: Info,
        first: Annotated[
            int | None, strawberry.argument(description=f"Number of tokens, 1 to {MAX_PAGE}; null for {DEFAULT_PAGE}.")
        ] = None,
    ) -> AsyncGenerator[Connection[Token], None]:
        slice_ = part(first, None, None, None)

        async def read() -> Reading[Connection[Token]]:
            found, position = await page(info.context, slice_)
            return Reading(value=found, position=position, is_final=False)

        async with aclosing(newest(info.context.application.log, read, stream=ACCESS)) as values:
            async for value in values:
                yield value
