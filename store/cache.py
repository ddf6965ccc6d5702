"""
The one cache: values by keys, bounded by the bytes that they take.

The values that were used least recently go first, and of the last few of those the heaviest. It weighs keys, tells who
wants to know what went, and may be used by several threads, which the caches of libraries don't do.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from threading import RLock
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

PART = 8
"""Fraction of a cache that one value may take: an eighth. What is heavier is not kept."""

LAST = 4
"""Number of values used least recently of which the heaviest goes first."""

ENTRY = 300
"""Bytes that an entry takes beside its key and its value."""

JSON_BYTE = 4
"""Size of an immutable value for each byte of its JSON, in bytes."""

GROWTH = 1.25
"""Factor by which a version grows until its value is weighed again: what is weighed each time takes long."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def weight(value: object) -> int:
    """Return the size of an immutable *value* that msgspec can encode, in bytes."""
    return len(msgspec.json.encode(value)) * JSON_BYTE


class Weighed(Struct, Generic[Value], frozen=True):
    """A value with its weight, in bytes."""

    value: Value
    weight: int


class Cache(Generic[Key, Value]):
    """Values that take at most *limit* bytes together. *dropped* is called with each one that goes, and its key."""

    def __init__(self, limit: int, dropped: Callable[[Key, Value], None] = lambda key, value: None) -> None:
        self.limit = limit
        self.weight = 0
        self._dropped = dropped
        self._kept: OrderedDict[Key, Weighed[Value]] = OrderedDict()
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Value | None:
        """Return the value, as the one that was used last."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found.value

    def put(self, key: Key, value: Value, weight: int) -> None:
        """Keep *value*, which takes *weight* bytes together with its key, unless that is too much."""
        weight += ENTRY
        with self._lock:
            before = self._kept.get(key)
            if before is None or before.value is not value or weight * PART > self.limit:
                self.pop(key)
            else:  # it is only weighed again
                self.weight -= self._kept.pop(key).weight
            if weight * PART > self.limit:
                return
            self._kept[key] = Weighed(value, weight)
            self.weight += weight
            while self.weight > self.limit:
                self.pop(max(islice(self._kept, LAST), key=lambda each: self._kept[each].weight))

    def pop(self, key: Key) -> Value | None:
        """Drop the value."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                return None
            self.weight -= found.weight
            self._dropped(key, found.value)
            return found.value

    def clear(self) -> None:
        with self._lock:
            for key in list(self._kept):
                self.pop(key)


class Version(Struct, Generic[Value], frozen=True):
    """A value that grows with its *version*, and what it weighed at another."""

    value: Value
    weight: int
    weighed_at: int


class Versions(Generic[Key, Value]):
    """The newest versions of values, which take at most *limit* bytes together."""

    def __init__(self, limit: int) -> None:
        self._kept: Cache[Key, Version[Value]] = Cache(limit)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Value | None:
        """Return the value, as the one that was used last."""
        found = self._kept.get(key)
        return None if found is None else found.value

    def put(self, key: Key, value: Value, version: int) -> None:
        """Keep *value*, which msgspec can encode, unless it takes too much."""
        known = self._kept.get(key)
        if known is not None and known.value is value:
            return
        if known is not None and known.weighed_at <= version < known.weighed_at * GROWTH:
            size, weighed_at = known.weight, known.weighed_at
        else:
            size, weighed_at = weight(value), version
        self._kept.put(key, Version(value, size, weighed_at), size)
