"""How far a long work has come, for who waits for it at a terminal."""

import sys


def tell(share: float) -> None:
    """Writes how much is done, from 0 to 1, over what it wrote before."""
    if sys.stderr.isatty():
        print(f"\r{share:4.0%}" if share < 1 else "\r    \r", end="", file=sys.stderr, flush=True)
