"""The root field `cursor`: the end of the log."""

import strawberry

from gql.context import Info
from gql.contract import cursor as cursors


@strawberry.type
class Query:
    @strawberry.field(
        description="Return the cursor of the end of the log. Later requests see everything before it; events followed"
        " after it leave none out."
    )
    async def cursor(self, info: Info) -> str:
        log = info.context.application.log
        return cursors.of_position(log.epoch, await log.position())
