"""
Thresholds of Python's garbage collector, and the memory that malloc keeps.

The process stops for a collection. It takes up to 0.7 ms for a thousand objects, and 5,000 subscribers have 850,000. So
a full collection visits no object for ever: if it takes `LONG`, its survivors are frozen, and the next one visits only
newer objects. The objects from the start of the server are frozen, too.

Reference counting frees frozen objects like others. Only a reference cycle that was frozen and dropped later is never
freed, so old objects must not leave one:

- Documents keep no tokens, and executions have no reference cycles (see `endpoint.execution.slim`,
  `endpoint.execution.schema`). A closed connection leaves nothing behind.
- Evicted compiled documents are collected alone (see `endpoint.execution.compiled.dropped`).

glibc keeps freed memory, in a separate arena for each thread. So all threads share one arena, and every ten seconds its
free memory is returned to the system. After 20,000 hostile requests the server is 45 MiB smaller with it.
"""

import ctypes
import gc
import logging
import platform
import time

THRESHOLDS = 2_000, 10, 3
"""Arguments of `gc.set_threshold`: a full collection needs 60,000 new objects that stay, and takes 20 to 60 ms."""

LONG = 0.02
"""CPU time of a full collection from which its survivors are frozen, in seconds."""

FULL = 2
"""Generation of a full collection."""

SLOW = 0.1
"""CPU time of a collection from which it is logged, in seconds."""

MMAP_THRESHOLD = 128 * 1024
"""Size of a block that malloc takes from the system and returns at once, in bytes.

By itself glibc raises it to that of the largest freed block. Then bodies of requests leave holes between small blocks.
"""

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h."""

logger = logging.getLogger("stageline")

_libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def set_up_malloc() -> None:
    """Make all threads share one arena of malloc, and return large blocks when they are freed.

    The GIL lets only one thread allocate, nearly always.
    """
    if _libc is not None:
        _libc.mallopt(_ARENA_MAX, 1)
        _libc.mallopt(_MMAP_THRESHOLD, MMAP_THRESHOLD)


def return_free_memory() -> None:
    """Return free memory to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def collect_rarely() -> None:
    """Set the thresholds, and exclude all present objects from later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(Collections())


class Collections:
    """A callback of the collector that freezes old objects, and logs collections of `SLOW` or longer."""

    def __init__(self) -> None:
        self._start = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._start = time.thread_time()
            return
        seconds = time.thread_time() - self._start
        if info["generation"] == FULL and seconds >= LONG:
            gc.freeze()
        if seconds >= SLOW:
            logger.warning(
                "A garbage collection stopped the process for %(milliseconds)d ms",
                {"milliseconds": 1000 * seconds, **info},
            )
