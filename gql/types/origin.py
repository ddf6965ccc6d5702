"""Origins of changes."""

from gql.contract import enum
from store.log import Origin

__all__ = ["Origin"]

enum.describe(
    Origin,
    "Where a change came from.",
    API="The GraphQL API.",
    CLI="The command line.",
    CONSOLE="The web console.",
    ENGINE="The server itself, which carries out a deployment.",
)
