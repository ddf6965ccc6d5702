"""The progress of a long command, on a terminal."""

import sys


def show(share: float) -> None:
    """Show the finished share, from 0 to 1, in place of the previous one."""
    if sys.stderr.isatty():
        print(f"\r{share:4.0%}" if share < 1 else "\r    \r", end="", file=sys.stderr, flush=True)
