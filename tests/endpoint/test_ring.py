"""Rings: bounded in entries and bytes, each and all rings of a node together."""

import pytest

from endpoint.streams import ring
from endpoint.streams.ring import Budget, Ring, RingEntry

SIZE = 100
"""Size of each payload, in bytes."""

WEIGHT = SIZE + ring.ENTRY
"""Size of each entry, in bytes."""


def _fill(filled: Ring, entries: int) -> None:
    for position in range(filled.end + 1, filled.end + 1 + entries):
        filled.append(RingEntry(position, None, b"x" * SIZE))


def test_a_ring_keeps_its_newest_entries_and_their_start() -> None:
    kept = Ring(Budget(), entries=10)
    _fill(kept, 25)
    assert 5 <= kept.end - kept.start <= 10
    assert kept.after(kept.start) == kept.find(kept.start + 1) == RingEntry(kept.start + 1, None, b"x" * SIZE)
    assert (kept.end, kept.after(25)) == (25, None)


def test_a_ring_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "BYTES", 10 * WEIGHT)
    kept = Ring(Budget())
    _fill(kept, 25)
    assert kept.bytes <= 10 * WEIGHT
    kept.append(RingEntry(26, None, b"x" * SIZE * 40))  # the newest entry stays, whatever its size
    assert kept.find(26) is not None
    assert kept.bytes == 40 * SIZE + ring.ENTRY


def test_all_rings_of_a_node_are_bounded_in_bytes() -> None:
    budget = Budget(limit=20 * WEIGHT)
    rings = [Ring(budget) for _ in range(4)]
    for each in rings:
        _fill(each, 25)
    assert budget.used == sum(each.bytes for each in rings) <= budget.limit + WEIGHT * len(rings)
    for each in rings:
        each.clear()
    assert budget.used == 0
