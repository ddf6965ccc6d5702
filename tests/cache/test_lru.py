"""The cache, bounded in bytes."""

from cache.lru import ENTRY, PARTS, Budget, Cache, Versions

SIZE = 1000
LIMIT = 10 * (SIZE + ENTRY)


def test_a_cache_stays_within_its_limit_and_keeps_the_most_recently_used() -> None:
    cache: Cache[int, str] = Cache(LIMIT)
    for number in range(100):
        cache.put(number, "", SIZE)
        assert cache.get(0) == ""
        assert cache.weight <= LIMIT
    assert len(cache) == 10
    assert cache.get(50) is None


def test_the_largest_of_the_least_recently_used_values_is_evicted_first() -> None:
    cache: Cache[str, str] = Cache(LIMIT)
    for key in "abcdefghij":
        cache.put(key, key, SIZE + (200 if key == "c" else 0))
    cache.put("k", "k", SIZE)
    assert cache.get("c") is None
    assert cache.get("a") == "a"


def test_a_value_that_is_too_large_is_not_cached_and_displaces_nothing() -> None:
    cache: Cache[str, str] = Cache(LIMIT)
    cache.put("small", "s", SIZE)
    cache.put("large", "l", LIMIT // PARTS)
    assert (cache.get("small"), cache.get("large")) == ("s", None)


def test_a_dropped_value_is_reported_and_no_longer_counted() -> None:
    gone: list[tuple[str, int]] = []
    cache: Cache[str, int] = Cache(LIMIT, lambda key, value: gone.append((key, value)))
    cache.put("a", 1, SIZE)
    cache.put("a", 2, SIZE)
    assert cache.pop("a") == 2
    assert gone == [("a", 1), ("a", 2)]
    cache.put("b", 3, SIZE)
    cache.clear()
    assert (cache.weight, len(cache), gone[-1]) == (0, 0, ("b", 3))


def test_a_value_that_is_put_again_only_gets_its_new_weight() -> None:
    gone: list[str] = []
    value = ["a list"]
    cache: Cache[str, list[str]] = Cache(LIMIT, lambda key, _: gone.append(key))
    cache.put("a", value, SIZE)
    cache.put("a", value, SIZE // 2)
    assert (gone, cache.weight) == ([], SIZE // 2 + ENTRY)


def test_states_are_bounded_in_bytes_for_any_number_of_versions() -> None:
    kept: Versions[int, list[str]] = Versions(1_000_000)
    for stream in range(200):
        for version in range(1, 20):
            kept.put(stream, ["x" * 100] * version * 5, version)
    assert kept.get(199) == ["x" * 100] * 95
    assert 0 < len(kept) <= 1_000_000 // (19 / 1.25 * 500 * 4)


def test_one_state_may_take_the_whole_limit() -> None:
    kept: Versions[int, str] = Versions(1_000_000)
    kept.put(1, "x" * 200_000, 1)
    kept.put(2, "x" * 300_000, 1)
    assert (kept.get(1), kept.get(2)) == ("x" * 200_000, None)


def test_caches_share_a_budget_and_the_largest_one_evicts() -> None:
    budget = Budget(LIMIT)
    small: Cache[str, str] = Cache(LIMIT, budget=budget)
    large: Cache[int, str] = Cache(LIMIT, budget=budget)
    small.put("a", "a", SIZE)
    small.put("b", "b", SIZE)
    for number in range(100):
        large.put(number, "", SIZE)
        assert small.weight + large.weight == budget.used <= LIMIT
    assert (small.get("a"), small.get("b"), len(large)) == ("a", "b", 8)
    for key in "cdefghij":
        small.put(key, key, SIZE)
    assert (len(small), len(large)) == (5, 5)


def test_what_is_too_large_for_the_budget_is_not_cached() -> None:
    budget = Budget(LIMIT)
    cache: Cache[str, str] = Cache(2 * LIMIT, budget=budget)
    cache.put("large", "l", LIMIT // PARTS)
    assert (len(cache), budget.used) == (0, 0)


def test_a_cache_that_is_gone_leaves_its_part_of_the_budget_to_the_others() -> None:
    budget = Budget(LIMIT)
    cache: Cache[str, str] = Cache(LIMIT, budget=budget)
    cache.put("a", "a", SIZE)
    del cache
    assert budget.used == 0
