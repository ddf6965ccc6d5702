"""Waits of tests for a condition."""

import time
from collections.abc import Callable

LIMIT = 180.0
"""Seconds after which a condition is not going to be met, also on a busy machine."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* is true; fail the test with *what* if that takes longer than `LIMIT`."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
