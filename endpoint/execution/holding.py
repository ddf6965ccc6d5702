"""
What open subscriptions hold: their documents and variables, for as long as they are open, bounded by bytes.

A document counts once, however many subscriptions have it in common.
"""

import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from graphql import GraphQLError

from endpoint.execution.documents import ParsedDocument

OPEN_BYTES = 64 * 1024 * 1024
"""Maximum size of what all open subscriptions of a node hold, in bytes."""

SHARE = 0.75
"""Largest part of it that the subscriptions of one token may hold: 10,000 usual ones take half."""

OPEN = 3000
"""Size of an open subscription, in bytes, beside its document and its variables."""

VARIABLE_BYTE = 20
"""Size of a variable for each byte of its JSON, in bytes: a list of small numbers takes as much."""


class TooManyOpen(GraphQLError):
    """Open subscriptions hold too much for one more."""

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(
            f"The documents and variables of {whose}'s open subscriptions take {limit // 1024 // 1024} MiB, and no more"
            " are allowed: subscribe again later, with fewer variables or with documents that others share.",
            extensions={"code": "TOO_MANY_OPEN", "limit": limit},
        )


class Quota:
    """Subscriptions of one kind: what they hold, in bytes, *limit* at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._documents: Counter[int] = Counter()  # by the identities of those that are open

    def has_room(self, own: int, document: ParsedDocument) -> bool:
        return self.weight + own + (0 if id(document) in self._documents else document.weight) <= self.limit

    def add(self, own: int, document: ParsedDocument) -> None:
        if not self._documents[id(document)]:
            self.weight += document.weight
        self._documents[id(document)] += 1
        self.weight += own

    def remove(self, own: int, document: ParsedDocument) -> None:
        self.weight -= own
        self._documents[id(document)] -= 1
        if not self._documents[id(document)]:
            del self._documents[id(document)]
            self.weight -= document.weight


class Holding:
    """What is held, *limit* bytes at most, and `SHARE` of them by one token."""

    def __init__(self, limit: int) -> None:
        self._all = Quota(limit)
        self._by_token: dict[Hashable, Quota] = {}

    @property
    def weight(self) -> int:
        return self._all.weight

    @contextmanager
    def subscription(
        self, token: Hashable, query: str, document: ParsedDocument, variables: Mapping[str, object]
    ) -> Iterator[None]:
        """Count one of *token* that is open as long as this; raises `TooManyOpen`."""
        own = OPEN + sys.getsizeof(query) + len(msgspec.json.encode(variables)) * VARIABLE_BYTE
        held = self._by_token.get(token) or Quota(int(self._all.limit * SHARE))
        for each, whose in ((held, "this token"), (self._all, "this node")):
            if not each.has_room(own, document):
                raise TooManyOpen(whose, each.limit)
        self._by_token[token] = held
        for each in (held, self._all):
            each.add(own, document)
        try:
            yield
        finally:
            for each in (held, self._all):
                each.remove(own, document)
            if not held.weight:
                self._by_token.pop(token, None)


holding = Holding(OPEN_BYTES)
"""Of this process."""
