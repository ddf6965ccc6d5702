from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain import name as names
from domain.directory import BUCKETS, Directory, Entry

IDS = st.integers(0, 3 * BUCKETS).map(lambda number: UUID(int=number))
NAMES = st.sampled_from(["a", "A", "b", "ﬁ", "fi", "ß", "ss", "\udc80"])


@given(st.lists(st.tuples(IDS, st.none() | NAMES)))
def test_a_directory_holds_what_a_dictionary_would(changes: list[tuple[UUID, str | None]]) -> None:
    expected: dict[UUID, str] = {}
    accepted: list[tuple[UUID, str | None]] = []
    directory = Directory()
    for id_, name in changes:
        holder = None if name is None else directory.named(name)
        if holder is not None and holder.id != id_:
            continue  # the name is taken
        accepted.append((id_, name))
        directory = directory.changed([(id_, name)])
        expected.pop(id_, None)
        if name is not None:
            expected[id_] = name
    assert {entry.id: entry.name for entry in directory} == expected
    assert Directory().changed(accepted) == directory
    for id_, name in expected.items():
        assert directory.get(id_) == directory.named(names.key(name)) == Entry(id=id_, name=name)
    assert sum(map(len, directory.by_name)) == len(expected)


def test_a_change_copies_a_small_part_of_a_large_directory() -> None:
    """Time is too noisy to compare; the entries of a bucket are what a look-up and a change walk over."""
    directory = Directory().changed((UUID(int=number), f"Environment {number}") for number in range(2000))
    assert max(map(len, directory.by_id)) <= 32
    assert max(map(len, directory.by_name)) <= 32
    changed = directory.changed([(UUID(int=2000), "One more")])
    assert sum(one is not other for one, other in zip(directory.by_id, changed.by_id, strict=True)) == 1
    assert sum(one is not other for one, other in zip(directory.by_name, changed.by_name, strict=True)) == 1
