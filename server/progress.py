"""The progress of a long command, on a terminal."""

import sys


def tell(share: float) -> None:
    """Write the share that is done, from 0 to 1, over the previous one."""
    if sys.stderr.isatty():
        print(f"\r{share:4.0%}" if share < 1 else "\r    \r", end="", file=sys.stderr, flush=True)
