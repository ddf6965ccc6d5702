"""A directory of names, whose look-ups and changes cost about the same however many names it has."""

from collections.abc import Iterable, Iterator
from itertools import chain
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from domain import name as names

BUCKETS = 256
"""Number of the buckets of an index. A change copies one bucket and the list of them: 2 µs up to 10,000 names."""


class Entry(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str


Index = tuple[tuple[Entry, ...], ...]

EMPTY: Index = ((),) * BUCKETS


class Directory(Struct, frozen=True, kw_only=True):
    """The entries in two indexes: by id, and by name without case. A name has one entry."""

    by_id: Index = EMPTY
    by_name: Index = EMPTY

    def __len__(self) -> int:
        return sum(map(len, self.by_id))

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries in no particular order."""
        return chain.from_iterable(self.by_id)

    def get(self, id: UUID) -> Entry | None:
        """Return the entry with that id."""
        wanted = id.int  # integers compare much faster than UUIDs
        return next((entry for entry in self.by_id[_id_place(id)] if entry.id.int == wanted), None)

    def named(self, name: str) -> Entry | None:
        """Return the entry with that name, ignoring case.

        An old log may have two names with the same key: then the exact one is meant.
        """
        wanted = names.key(name)
        found = [entry for entry in self.by_name[_name_place(wanted)] if names.key(entry.name) == wanted]
        return next((entry for entry in found if entry.name == name), found[0] if found else None)

    def changed(self, changes: Iterable[tuple[UUID, str | None]]) -> "Directory":
        """Return the directory after *changes*: each gives an id a name, or removes it if the name is None."""
        by_id, by_name = list(self.by_id), list(self.by_name)
        for id_, name in changes:
            place = _id_place(id_)
            for old in by_id[place]:
                if old.id.int == id_.int:
                    by_id[place] = _without(by_id[place], old)
                    old_place = _name_place(names.key(old.name))
                    by_name[old_place] = _without(by_name[old_place], old)
            if name is not None:
                entry = Entry(id=id_, name=name)
                by_id[place] += (entry,)
                by_name[_name_place(names.key(name))] += (entry,)
        return Directory(by_id=tuple(by_id), by_name=tuple(by_name))


def _without(bucket: tuple[Entry, ...], gone: Entry) -> tuple[Entry, ...]:
    return tuple(entry for entry in bucket if entry is not gone)


def _id_place(id: UUID) -> int:
    """Return the bucket of *id*: the end of a UUID of version 7 is random."""
    return id.int % BUCKETS


def _name_place(key: str) -> int:
    return crc32(key.encode(errors="surrogatepass")) % BUCKETS
