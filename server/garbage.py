"""
Thresholds of Python's garbage collector: full collections are rare, because the process stops for them.

A full collection visits every object, and takes up to 0.7 ms for a thousand of them. To keep each one below 100 ms:

- Objects from the start of the server are never visited again.
- Caches are limited in bytes (see `cache.lru`), and so in the number of their objects, which have at least 100 bytes.
- Nearly everything is freed without a collection. Documents keep no tokens, and executions have no reference cycles
  (see `endpoint.execution.slim`, `endpoint.execution.schema`). A closed connection leaves nothing behind.
- Evicted compiled documents are collected before there are many (see `endpoint.execution.compiled.query`).
"""

import gc

THRESHOLDS = 2_000, 10, 100
"""Arguments of `gc.set_threshold`: a full collection needs two million new objects that stay (Python: 70,000).

With one million, there was a full collection after each long answer.
"""


def collect_rarely() -> None:
    """Set the thresholds, and exclude all present objects from later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
