"""The round trips to a database that are counted."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY

from store.postgres.connection import Pool
from store.round_trip import in_thread


def count() -> float:
    return REGISTRY.get_sample_value("stageline_database_round_trip_seconds_count") or 0


async def test_work_in_a_thread_is_a_round_trip_also_if_it_fails() -> None:
    before = count()
    with ThreadPoolExecutor(1) as threads:
        assert await in_thread(threads, lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await in_thread(threads, lambda: 1 / 0)
    assert count() == before + 2


@pytest.mark.long
async def test_each_statement_of_a_pooled_connection_is_one(postgres: str) -> None:
    pool = await Pool.open(postgres, 1)
    await pool.fetch("SELECT 1")
    before = count()
    for number in range(3):  # after its release, too
        assert [tuple(row) for row in await pool.fetch("SELECT $1::int", number)] == [(number,)]
    await pool.close()
    assert count() == before + 3
