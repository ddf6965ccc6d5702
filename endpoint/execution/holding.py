"""
The memory that open subscriptions hold: their documents and variables, bounded in bytes.

A document counts once, however many subscriptions share it.
"""

import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from graphql import GraphQLError

from endpoint.execution.documents import ParsedDocument
from endpoint.metrics import SUBSCRIPTIONS

OPEN_BYTES = 64 * 1024 * 1024
"""Maximum size of the documents and variables of all open subscriptions of a node, in bytes."""

SHARE = 0.75
"""Maximum fraction of it for the subscriptions of one token: 10,000 usual ones take half."""

OPEN = 3000
"""Size of an open subscription, in bytes, beside its document and its variables."""

VARIABLE_BYTE = 20
"""Size of a variable for each byte of its JSON, in bytes, as for a list of small numbers."""


class TooManyOpen(GraphQLError):
    """The open subscriptions take all the memory that they may hold."""

    def __init__(self, owner: str, limit: int) -> None:
        super().__init__(
            f"Too many open subscriptions of {owner}: their documents and variables may take at most"
            f" {limit // 1024 // 1024} MiB. Subscribe again later, with fewer variables or with shared documents.",
            extensions={"code": "TOO_MANY_OPEN", "limit": limit},
        )


class Quota:
    """The memory that a set of subscriptions holds, at most *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._documents: Counter[int] = Counter()  # subscriptions by the identity of their document

    def has_room(self, own: int, document: ParsedDocument) -> bool:
        """Whether a subscription fits that takes *own* bytes beside its document."""
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
    """The memory that all open subscriptions hold: at most *limit* bytes, and `SHARE` of them for one token."""

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
        """Count a subscription of *token* while it is open; raises `TooManyOpen`."""
        own = OPEN + sys.getsizeof(query) + len(msgspec.json.encode(variables)) * VARIABLE_BYTE
        quota = self._by_token.get(token) or Quota(int(self._all.limit * SHARE))
        for each, owner in ((quota, "this token"), (self._all, "this node")):
            if not each.has_room(own, document):
                raise TooManyOpen(owner, each.limit)
        self._by_token[token] = quota
        for each in (quota, self._all):
            each.add(own, document)
        try:
            with SUBSCRIPTIONS.track_inprogress():
                yield
        finally:
            for each in (quota, self._all):
                each.remove(own, document)
            if not quota.weight:
                self._by_token.pop(token, None)


open_subscriptions = Holding(OPEN_BYTES)
"""The memory of this process's subscriptions."""
