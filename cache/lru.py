"""
The only cache implementation: least recently used values are evicted, and the size is bounded in bytes.

Of the few least recently used values the largest is evicted first. Unlike the caches of libraries it weighs keys, calls
back on eviction, and is safe for several threads.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from threading import RLock
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

PART = 8
"""Divisor of a cache's limit: a value that takes more than this part, an eighth, is not cached."""

LAST = 4
"""Number of least recently used values of which the largest is evicted."""

ENTRY = 300
"""Size of an entry, in bytes, beside its key and its value."""

JSON_BYTE = 4
"""Size of an immutable value for each byte of its JSON, in bytes."""

GROWTH = 1.25
"""Factor by which a version grows until its value is weighed again; weighing is slow."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def weight(value: object) -> int:
    """Return the size of an immutable *value* that msgspec can encode, in bytes."""
    return len(msgspec.json.encode(value)) * JSON_BYTE


class WeighedValue(Struct, Generic[Value], frozen=True):
    """A value with its weight, in bytes."""

    value: Value
    weight: int


class Cache(Generic[Key, Value]):
    """Values of at most *limit* bytes in all. *on_drop* is called with the key and the value of each dropped one."""

    def __init__(self, limit: int, on_drop: Callable[[Key, Value], None] = lambda key, value: None) -> None:
        self.limit = limit
        self.weight = 0
        self._on_drop = on_drop
        self._entries: OrderedDict[Key, WeighedValue[Value]] = OrderedDict()
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value, and mark it as used."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found.value

    def put(self, key: Key, value: Value, weight: int) -> None:
        """Cache *value*, which takes *weight* bytes with its key, unless that is too much."""
        weight += ENTRY
        with self._lock:
            before = self._entries.get(key)
            if before is None or before.value is not value or weight * PART > self.limit:
                self.pop(key)
            else:  # the same value with another weight
                self.weight -= self._entries.pop(key).weight
            if weight * PART > self.limit:
                return
            self._entries[key] = WeighedValue(value, weight)
            self.weight += weight
            while self.weight > self.limit:
                self.pop(max(islice(self._entries, LAST), key=lambda each: self._entries[each].weight))

    def pop(self, key: Key) -> Value | None:
        """Drop the value and return it."""
        with self._lock:
            found = self._entries.pop(key, None)
            if found is None:
                return None
            self.weight -= found.weight
            self._on_drop(key, found.value)
            return found.value

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            for key in list(self._entries):
                self.pop(key)


class Version(Struct, Generic[Value], frozen=True):
    """A value that grows with its version, and its *weight* at the version *weighed_at*."""

    value: Value
    weight: int
    weighed_at: int


class Versions(Generic[Key, Value]):
    """The newest versions of values, of at most *limit* bytes in all."""

    def __init__(self, limit: int) -> None:
        self._entries: Cache[Key, Version[Value]] = Cache(limit)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value, and mark it as used."""
        found = self._entries.get(key)
        return None if found is None else found.value

    def put(self, key: Key, value: Value, version: int) -> None:
        """Cache *value*, which msgspec can encode, unless it takes too much."""
        known = self._entries.get(key)
        if known is not None and known.value is value:
            return
        if known is not None and known.weighed_at <= version < known.weighed_at * GROWTH:
            size, weighed_at = known.weight, known.weighed_at
        else:
            size, weighed_at = weight(value), version
        self._entries.put(key, Version(value, size, weighed_at), size)
