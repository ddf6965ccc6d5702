"""
When Python looks for garbage that refers to itself: rarely among what is old, because everything stands still then.

A full collection looks at every object that there is, a thousand of them in up to 0.7 ms. To keep each below 100 ms:

- What is there at the start is never looked at again.
- Caches are bounded by bytes (see `store.cache`), and so in their objects, which are 100 bytes and more.
- Nearly everything is freed without a collection. Documents keep no tokens, and executions don't refer to themselves
  (see `gql.reading`, `gql.schema`). Of a connection that was closed nothing is left over.
- Compiled documents that were dropped are collected before they are many (see `gql.compiled`).
"""

import gc

THRESHOLDS = 2_000, 10, 100
"""As `gc.set_threshold` has them: no full collection before two million objects came and stayed (Python: 70,000).

For a million it came behind each long answer.
"""


def collect_rarely() -> None:
    """Apply the thresholds, and never look at what is there already again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
