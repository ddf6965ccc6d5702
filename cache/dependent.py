"""A cache of values that depend on subjects, and are dropped when one of those changes."""

from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from msgspec import Struct

from cache.lru import Cache

SUBJECT = 400
"""Size that each subject adds to a value, in bytes."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Subject = TypeVar("Subject", bound=Hashable)


class DependentValue(Struct, Generic[Value, Subject], frozen=True):
    """A value, and the subjects that it depends on."""

    value: Value
    subjects: frozenset[Subject]


class Computation(Generic[Subject]):
    """The computation of values; *changed* are the subjects that have changed since its start."""

    def __init__(self) -> None:
        self.changed: set[Subject] = set()


class DependentCache(Generic[Key, Value, Subject]):
    """Values of at most *limit* bytes in all; safe for several threads."""

    def __init__(self, limit: int) -> None:
        self._cached: Cache[Key, DependentValue[Value, Subject]] = Cache(limit, self._on_drop)
        self._keys_of: dict[Subject, set[Key]] = {}
        self._computations: set[Computation[Subject]] = set()
        self._lock = self._cached.lock  # another cache may evict a value of this one

    def __len__(self) -> int:
        return len(self._cached)

    @property
    def weight(self) -> int:
        """Size of all values, in bytes."""
        return self._cached.weight

    def get(self, key: Key) -> Value | None:
        """Return the value, and mark it as used."""
        found = self._cached.get(key)
        return None if found is None else found.value

    @contextmanager
    def computation(self) -> Iterator[Computation[Subject]]:
        """Track the changes during the computation of values; enter it before anything is read."""
        computation = Computation[Subject]()
        with self._lock:
            self._computations.add(computation)
        try:
            yield computation
        finally:
            with self._lock:
                self._computations.discard(computation)

    def put(
        self, key: Key, value: Value, weight: int, subjects: frozenset[Subject], computation: Computation[Subject]
    ) -> None:
        """Cache *value*, which takes *weight* bytes, unless one of its *subjects* has changed meanwhile."""
        with self._lock:
            if not computation.changed.isdisjoint(subjects):
                return
            cached = DependentValue(value, subjects)
            self._cached.put(key, cached, weight + len(subjects) * SUBJECT)
            if self._cached.get(key) is cached:  # it was not too large
                for subject in subjects:
                    self._keys_of.setdefault(subject, set()).add(key)

    def change(self, subjects: Collection[Subject]) -> None:
        """Drop the values that depend on one of *subjects*."""
        with self._lock:
            for computation in self._computations:
                computation.changed.update(subjects)
            for subject in subjects:
                for key in list(self._keys_of.get(subject, ())):
                    self._cached.pop(key)

    def _on_drop(self, key: Key, cached: DependentValue[Value, Subject]) -> None:
        for subject in cached.subjects:
            of_subject = self._keys_of.get(subject)
            if of_subject is None:  # the value was evicted before its subjects were recorded
                continue
            of_subject.discard(key)
            if not of_subject:
                del self._keys_of[subject]
