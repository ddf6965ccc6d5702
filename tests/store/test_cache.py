"""A cache is bounded by the bytes of what it keeps."""

from store.cache import ENTRY, PART, Cache, Versions

SIZE = 1000
LIMIT = 10 * (SIZE + ENTRY)


def test_it_never_takes_more_than_its_limit_and_keeps_what_was_used_last() -> None:
    cache: Cache[int, str] = Cache(LIMIT)
    for number in range(100):
        cache.put(number, "", SIZE)
        assert cache.get(0) == ""
        assert cache.weight <= LIMIT
    assert len(cache) == 10
    assert cache.get(50) is None


def test_of_those_that_were_used_least_recently_the_heaviest_goes_first() -> None:
    cache: Cache[str, str] = Cache(LIMIT)
    for key in "abcdefghij":
        cache.put(key, key, SIZE + (200 if key == "c" else 0))
    cache.put("k", "k", SIZE)
    assert cache.get("c") is None
    assert cache.get("a") == "a"


def test_what_takes_too_large_a_part_is_not_kept_and_pushes_nothing_out() -> None:
    cache: Cache[str, str] = Cache(LIMIT)
    cache.put("small", "s", SIZE)
    cache.put("large", "l", LIMIT // PART)
    assert (cache.get("small"), cache.get("large")) == ("s", None)


def test_what_goes_is_told_and_counted_no_more() -> None:
    gone: list[tuple[str, int]] = []
    cache: Cache[str, int] = Cache(LIMIT, lambda key, value: gone.append((key, value)))
    cache.put("a", 1, SIZE)
    cache.put("a", 2, SIZE)
    assert cache.pop("a") == 2
    assert gone == [("a", 1), ("a", 2)]
    cache.put("b", 3, SIZE)
    cache.clear()
    assert (cache.weight, len(cache), gone[-1]) == (0, 0, ("b", 3))


def test_a_value_that_is_kept_again_is_only_weighed_again() -> None:
    gone: list[str] = []
    value = ["a list"]
    cache: Cache[str, list[str]] = Cache(LIMIT, lambda key, _: gone.append(key))
    cache.put("a", value, SIZE)
    cache.put("a", value, SIZE // 2)
    assert (gone, cache.weight) == ([], SIZE // 2 + ENTRY)


def test_states_are_bounded_by_bytes_however_many_versions_they_come_to() -> None:
    kept: Versions[int, list[str]] = Versions(1_000_000)
    for stream in range(200):
        for version in range(1, 20):
            kept.put(stream, ["x" * 100] * version * 5, version)
    assert kept.get(199) == ["x" * 100] * 95
    assert 0 < len(kept) <= 1_000_000 // (19 / 1.25 * 500 * 4)
