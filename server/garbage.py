"""
When Python looks for garbage that refers to itself: rarely among what is old, because everything stands still then.

A full collection looks at every object that there is, and a node with 5,000 connections has nearly a million: that
takes hundreds of milliseconds, again and again while they come. Nearly everything is freed without it: of a connection
that was closed nothing is left over, and of one that was set up some 20 objects, which are found while they are young.
"""

import gc

THRESHOLDS = 2_000, 10, 500
"""As `gc.set_threshold` has them: a full collection for ten million objects that came and stayed (Python: 70,000).

For a million it came behind each long answer, and took 90 ms to find five thousand objects.
"""


def collect_rarely() -> None:
    """From now on; what is there already is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
