"""
The only cache implementation: least recently used values are evicted, and the size is bounded in bytes.

Of the few least recently used values the largest is evicted first. Unlike the caches of libraries it weighs keys, calls
back on eviction, and is safe for several threads.

A cache has a limit of its own, and all caches of a process share a budget. When that is used up, the largest cache
evicts. So a cache can use what the others leave, and a flood of values displaces no small cache.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from threading import RLock
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

import msgspec
from msgspec import Struct

BUDGET = 8 * 1024 * 1024
"""Maximum size of all caches of a process, in bytes, beside what the operator allows for answers."""

PARTS = 4
"""The parts of a limit, of a cache or of the budget: a value that takes more than a quarter is not cached."""

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


class Spender(Protocol):
    """A cache, as its budget sees it."""

    weight: int

    def evict(self) -> None:
        """Drop a value; the cache is not empty."""
        ...


class Budget:
    """The bytes that caches share, at most *limit*. They also share its lock, since each evicts for the others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.lock = RLock()
        self._spenders: WeakSet[Spender] = WeakSet()

    def join(self, spender: Spender) -> None:
        with self.lock:
            self._spenders.add(spender)

    def spend(self, weight: int) -> None:
        """Count *weight* bytes more, or fewer if it is negative."""
        with self.lock:
            self.used += weight

    def keep_within(self) -> None:
        """Evict values of the largest cache as long as the limit is exceeded."""
        with self.lock:
            while self.used > self.limit:
                largest = max(self._spenders, key=lambda each: each.weight)
                if not largest.weight:  # the rest is that of a cache that is being freed
                    return
                largest.evict()


shared = Budget(BUDGET)
"""The budget of this process."""


class Cache(Generic[Key, Value]):
    """Values of at most *limit* bytes in all. *on_drop* is called with the key and the value of each dropped one.

    A value that takes more than one of *parts* of the limit, or of the budget, is not cached.
    """

    def __init__(
        self,
        limit: int,
        on_drop: Callable[[Key, Value], None] = lambda key, value: None,
        budget: Budget = shared,
        parts: int = PARTS,
    ) -> None:
        self.limit = limit
        self._parts = parts
        self.weight = 0
        self._on_drop = on_drop
        self._entries: OrderedDict[Key, WeighedValue[Value]] = OrderedDict()
        self._budget = budget
        self.lock = budget.lock
        budget.join(self)

    def __del__(self) -> None:
        self._budget.spend(-self.weight)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value, and mark it as used."""
        with self.lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found.value

    def put(self, key: Key, value: Value, weight: int) -> None:
        """Cache *value*, which takes *weight* bytes with its key, unless that is too much."""
        weight += ENTRY
        is_cacheable = weight * self._parts <= min(self.limit, self._budget.limit)
        with self.lock:
            before = self._entries.get(key)
            if before is None or before.value is not value or not is_cacheable:
                self.pop(key)
            else:  # the same value with another weight
                self._count(-self._entries.pop(key).weight)
            if not is_cacheable:
                return
            self._entries[key] = WeighedValue(value, weight)
            self._count(weight)
            while self.weight > self.limit:
                self.evict()
            self._budget.keep_within()

    def evict(self) -> None:
        """Drop one of the least recently used values; the newest one only if it is the only one."""
        oldest = islice(self._entries, max(1, min(LAST, len(self._entries) - 1)))
        self.pop(max(oldest, key=lambda each: self._entries[each].weight))

    def pop(self, key: Key) -> Value | None:
        """Drop the value and return it."""
        with self.lock:
            found = self._entries.pop(key, None)
            if found is None:
                return None
            self._count(-found.weight)
            self._on_drop(key, found.value)
            return found.value

    def clear(self) -> None:
        """Drop all values."""
        with self.lock:
            for key in list(self._entries):
                self.pop(key)

    def _count(self, weight: int) -> None:
        self.weight += weight
        self._budget.spend(weight)


class Version(Struct, Generic[Value], frozen=True):
    """A value that grows with its version, and its *weight* at the version *weighed_at*."""

    value: Value
    weight: int
    weighed_at: int


class Versions(Generic[Key, Value]):
    """The newest versions of values, of at most *limit* bytes in all.

    One may take all of it: without the version before, a new one is made from all events. *weigh* returns the size of a
    value, in bytes.
    """

    def __init__(self, limit: int, weigh: Callable[[Value], int] = weight) -> None:
        self._weigh = weigh
        self._entries: Cache[Key, Version[Value]] = Cache(limit, parts=1)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value, and mark it as used."""
        found = self._entries.get(key)
        return None if found is None else found.value

    def put(self, key: Key, value: Value, version: int) -> None:
        """Cache *value*, unless it takes too much."""
        known = self._entries.get(key)
        if known is not None and known.value is value:
            return
        if known is not None and known.weighed_at <= version < known.weighed_at * GROWTH:
            size, weighed_at = known.weight, known.weighed_at
        else:
            size, weighed_at = self._weigh(value), version
        self._entries.put(key, Version(value, size, weighed_at), size)

    def pop(self, key: Key) -> None:
        """Drop the value."""
        self._entries.pop(key)
