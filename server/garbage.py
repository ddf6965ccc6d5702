"""
When Python looks for garbage that refers to itself: rarely among what is old, because everything stands still then.

A full collection looks at every object that there is, a thousand of them in up to 0.7 ms. To keep each below 100 ms:

- What is there at the start is never looked at again.
- Caches are bounded by bytes (see `cache.lru`), and so in their objects, which are 100 bytes and more.
- Nearly everything is freed without a collection. Documents keep no tokens, and executions don't refer to themselves
  (see `endpoint.execution.slim`, `endpoint.execution.schema`). Of a connection that was closed nothing is left over.
- Compiled documents that were dropped are collected by themselves (see `endpoint.execution.compiled.dropped`).

glibc keeps freed memory, in a part of its own for each thread. So there is one part for all threads, and every ten
seconds what is free in it goes back to the system. After 20,000 hostile requests this leaves the server 45 MiB less.
"""

import ctypes
import gc
import platform

THRESHOLDS = 2_000, 10, 100
"""As `gc.set_threshold` has them: no full collection before two million objects came and stayed (Python: 70,000).

For a million it came behind each long answer.
"""


_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""

_libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def keep_little_free() -> None:
    """Have one arena for all threads: the interpreter's lock lets only one at a time allocate, nearly always."""
    if _libc is not None:
        _libc.mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Give free memory back to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def collect_rarely() -> None:
    """Apply the thresholds, and never look at what is there already again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
