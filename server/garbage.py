"""
Thresholds of Python's garbage collector: full collections are rare, because the process stops for them.

A full collection visits every object, and takes up to 0.7 ms for a thousand of them. To keep each one below 100 ms:

- Objects from the start of the server are never visited again.
- Caches are limited in bytes (see `cache.lru`), and so in the number of their objects, which have at least 100 bytes.
- Nearly everything is freed without a collection. Documents keep no tokens, and executions have no reference cycles
  (see `endpoint.execution.slim`, `endpoint.execution.schema`). A closed connection leaves nothing behind.
- Evicted compiled documents are collected alone (see `endpoint.execution.compiled.dropped`).

glibc keeps freed memory, in a separate arena for each thread. So all threads share one arena, and every ten seconds its
free memory is returned to the system. After 20,000 hostile requests the server is 45 MiB smaller with it.
"""

import ctypes
import gc
import logging
import platform
import time

THRESHOLDS = 2_000, 10, 100
"""Arguments of `gc.set_threshold`: a full collection needs two million new objects that stay (Python: 70,000).

With one million, there was a full collection after each long answer.
"""

SLOW = 0.1
"""CPU time of a collection from which it is logged, in seconds."""

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""

logger = logging.getLogger("stageline")

_libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def share_arena() -> None:
    """Make all threads share one arena of malloc. The GIL lets only one of them allocate, nearly always."""
    if _libc is not None:
        _libc.mallopt(_ARENA_MAX, 1)


def return_free_memory() -> None:
    """Return free memory to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def collect_rarely() -> None:
    """Set the thresholds, and exclude all present objects from later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(SlowCollections())


class SlowCollections:
    """A callback of the collector that logs collections of `SLOW` or longer: nothing else runs during one."""

    def __init__(self) -> None:
        self._start = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._start = time.thread_time()
        elif (seconds := time.thread_time() - self._start) >= SLOW:
            logger.warning(
                "A garbage collection stopped the process for %(milliseconds)d ms",
                {"milliseconds": 1000 * seconds, **info},
            )
