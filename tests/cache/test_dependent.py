"""Values are dropped when a subject that they depend on changes."""

from cache.dependent import SUBJECT, DependentCache
from cache.lru import ENTRY, PARTS, shared


def filled(limit: int = 10**6) -> DependentCache[str, str, int]:
    cache = DependentCache[str, str, int](limit)
    with cache.computation() as computation:
        cache.put("of both", "first", 10, frozenset([1, 2]), computation)
        cache.put("of two", "second", 10, frozenset([2]), computation)
    return cache


def test_a_value_is_dropped_when_one_of_its_subjects_changes() -> None:
    cache = filled()
    cache.change([1, 3])
    assert [cache.get(key) for key in ("of both", "of two")] == [None, "second"]
    cache.change([2])
    assert (len(cache), cache.weight) == (0, 0)


def test_a_value_whose_subject_changed_during_the_computation_is_not_cached() -> None:
    cache = filled()
    with cache.computation() as computation:
        cache.change([1])
        cache.put("of one", "late", 10, frozenset([1]), computation)
        cache.put("of three", "in time", 10, frozenset([3]), computation)
    assert [cache.get(key) for key in ("of one", "of three")] == [None, "in time"]


def test_subjects_count_for_the_limit() -> None:
    assert filled().weight == 2 * (10 + ENTRY) + 3 * SUBJECT
    assert len(filled(limit=PARTS * (10 + ENTRY + SUBJECT))) == 1  # the one with two subjects is too large


def test_a_value_that_is_evicted_for_another_cache_depends_on_nothing_more() -> None:
    cache = DependentCache[int, str, int](10 * shared.limit)
    with cache.computation() as computation:
        for number in range(20):
            cache.put(number, "", shared.limit // PARTS // 2, frozenset([number]), computation)
    kept = {number for number in range(20) if cache.get(number) is not None}
    assert shared.used <= shared.limit
    assert 0 < len(kept) < 20
    assert cache._keys_of == {number: {number} for number in kept}
