"""Rings: the newest rendered payloads of a stream, for followers near its end."""

from bisect import bisect_right

from msgspec import Struct

ENTRIES = 1000
"""Maximum number of payloads in a ring; when it is full, the older half is dropped."""

BYTES = 1024 * 1024
"""Maximum size of a ring, in bytes."""

NODE_BYTES = 8 * 1024 * 1024
"""Maximum size of all rings of a node, in bytes."""

ENTRY = 250
"""Size of an entry, in bytes, beside its payload."""


class RingEntry(Struct, frozen=True, gc=False):
    """The payload of the stream's event at *position*, and the cursor to resume after it."""

    position: int
    cursor: str | None
    payload: bytes


class Budget:
    """The bytes that all rings of a node hold, at most *limit*."""

    def __init__(self, limit: int = NODE_BYTES) -> None:
        self.limit = limit
        self.used = 0


class Ring:
    """The newest entries after the position *start*, at most *entries* of them."""

    def __init__(self, budget: Budget, start: int = 0, entries: int = ENTRIES) -> None:
        self.start = start
        self.bytes = 0
        self._budget = budget
        self._limit = entries
        self._positions: list[int] = []
        self._entries: list[RingEntry] = []

    @property
    def end(self) -> int:
        """The position of the last entry."""
        return self._positions[-1] if self._positions else self.start

    def append(self, entry: RingEntry) -> None:
        self._positions.append(entry.position)
        self._entries.append(entry)
        self._count(len(entry.payload) + ENTRY)
        while len(self._entries) > 1 and self._is_full():
            self._drop(max(1, len(self._entries) // 2))

    def after(self, position: int) -> RingEntry | None:
        """Return the next entry after *position*, which must not be before the ring's start; None at the end."""
        place = bisect_right(self._positions, position)
        return self._entries[place] if place < len(self._entries) else None

    def find(self, position: int) -> RingEntry | None:
        """Return the entry at *position*, if the ring has it."""
        found = self.after(position - 1)
        return found if found is not None and found.position == position else None

    def clear(self) -> None:
        self._drop(len(self._entries))

    def _is_full(self) -> bool:
        return len(self._entries) > self._limit or self.bytes > BYTES or self._budget.used > self._budget.limit

    def _drop(self, count: int) -> None:
        if not count:
            return
        self.start = self._positions[count - 1]
        self._count(-sum(len(entry.payload) + ENTRY for entry in self._entries[:count]))
        del self._positions[:count], self._entries[:count]

    def _count(self, size: int) -> None:
        self.bytes += size
        self._budget.used += size
