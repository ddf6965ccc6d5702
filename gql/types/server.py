"""The root field `server`: the server that answers."""

import strawberry

from gql.context import Info
from gql.types.target import Target


@strawberry.type(description="The server that answers.")
class Server:
    targets: list[Target] = strawberry.field(description="The targets that it offers to environments, by name.")


@strawberry.type
class Query:
    @strawberry.field(description="Return what the server that answers offers.")
    async def server(self, info: Info) -> Server | None:
        return Server(targets=sorted(info.context.application.targets))
