"""
Collection of the types that evicted compiled documents leave.

A class refers to itself, so only the garbage collector frees it. A full collection visits every object of the server,
and stopped the event loop for 150 ms. So the dropped types and the objects that connect them are moved to the youngest
generation first. A collection of that generation takes 10 ms.
"""

import ctypes
import gc
from collections.abc import Collection, Iterator
from functools import partial
from threading import RLock
from types import CellType, FunctionType, GenericAlias, MemberDescriptorType, UnionType

from msgspec import StructMeta

GARBAGE = 500
"""Maximum number of dropped types that are not collected yet. To free that many takes 10 ms."""

CONNECTING = frozenset(
    {CellType, FunctionType, GenericAlias, MemberDescriptorType, UnionType, dict, list, partial, staticmethod, tuple}
)
"""Types of the objects that connect compiled types, beside msgspec's description of a struct."""

_track = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("PyObject_GC_Track", ctypes.pythonapi))
_untrack = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("PyObject_GC_UnTrack", ctypes.pythonapi))


class DroppedTypes:
    """The types of compiled documents that were dropped since the last collection of them."""

    def __init__(self) -> None:
        self._types: list[type] = []
        self._lock = RLock()  # any thread may evict compiled documents

    def add(self, types: Collection[type]) -> None:
        """Add *types*, which may still be in use. Free the earlier ones before there are too many."""
        with self._lock:
            if len(self._types) + len(types) > GARBAGE:
                self.collect()
            self._types += types

    def collect(self) -> None:
        """Free the types. A type that a running query uses is left to a usual collection."""
        with self._lock:
            for each in _connected(self._types):
                if gc.is_tracked(each):
                    _untrack(each)
                    _track(each)  # it joins the youngest generation
            self._types = []
            gc.collect(0)


def _connected(types: Collection[type]) -> Iterator[object]:
    """Yield *types* and the objects that connect them."""
    seen = {id(each) for each in types}
    waiting: list[object] = list(types)
    while waiting:
        each = waiting.pop()
        yield each
        # a function also refers to its whole module
        found = [each.__closure__] if isinstance(each, FunctionType) else gc.get_referents(each)
        for part in found:
            if id(part) not in seen and _connects(part):
                seen.add(id(part))
                waiting.append(part)


def _connects(part: object) -> bool:
    kind = type(part)
    return kind in CONNECTING or (kind.__name__, kind.__module__) == ("StructInfo", StructMeta.__module__)


dropped = DroppedTypes()
