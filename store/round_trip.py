"""
The round trips of this process to its databases: statements on PostgreSQL, and work in a store's thread on SQLite.

procrastinate's own connections are not counted.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import perf_counter
from typing import TypeVar

from prometheus_client import Histogram

T = TypeVar("T")

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the durations, in seconds."""

ROUND_TRIPS = Histogram(
    "stageline_database_round_trip_seconds", "Time of a round trip to the database.", buckets=BUCKETS
)


async def in_thread(threads: Executor, work: Callable[[], T]) -> T:
    """Return what *work* returns in one of the *threads*, as one round trip."""
    began = perf_counter()
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    finally:
        ROUND_TRIPS.observe(perf_counter() - began)
