"""
What open subscriptions hold: their documents and variables, for as long as they are open, bounded by bytes.

A document counts once, however many subscriptions have it in common.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from graphql import GraphQLError

from gql.reading import Read

OPEN_BYTES = 64 * 1024 * 1024
"""Maximum size of what all open subscriptions of a node hold, in bytes."""

OPEN = 3000
"""Size of an open subscription, in bytes, beside its document and its variables."""

VARIABLE_BYTE = 20
"""Size of a variable for each byte of its JSON, in bytes: a list of small numbers takes as much."""


class TooManyOpen(GraphQLError):
    """Open subscriptions hold too much for one more."""

    def __init__(self) -> None:
        super().__init__(
            f"The documents and variables of this node's open subscriptions take {OPEN_BYTES // 1024 // 1024} MiB, and"
            " no more are allowed: subscribe again later, with fewer variables or with documents that others share.",
            extensions={"code": "TOO_MANY_OPEN", "limit": OPEN_BYTES},
        )


class Holding:
    """What is held, *limit* bytes at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._documents: Counter[int] = Counter()  # by the identities of those that are open

    @contextmanager
    def subscription(self, query: str, document: Read, variables: Mapping[str, object]) -> Iterator[None]:
        """Count one that is open as long as this; raises `TooManyOpen`."""
        own = OPEN + sys.getsizeof(query) + len(msgspec.json.encode(variables)) * VARIABLE_BYTE
        if self.weight + own + (0 if id(document) in self._documents else document.weight) > self.limit:
            raise TooManyOpen
        if not self._documents[id(document)]:
            self.weight += document.weight
        self._documents[id(document)] += 1
        self.weight += own
        try:
            yield
        finally:
            self.weight -= own
            self._documents[id(document)] -= 1
            if not self._documents[id(document)]:
                del self._documents[id(document)]
                self.weight -= document.weight


holding = Holding(OPEN_BYTES)
"""Of this process."""
