"""A pooler between Stageline and PostgreSQL: it may be there, but has to leave a connection its session."""

import pytest

from projections.postgres.views import PLANS
from store.log import LogUnavailable
from store.postgres.connection import SETTINGS, Pool, connect
from store.postgres.listener import Listener
from store.postgres.schema import migrate
from tests.pooler import pooled
from tests.store.postgres.test_log import opened
from tests.store.sample import ANN, A, change


async def test_nobody_starts_where_a_transaction_gets_any_session(database: str) -> None:
    async with pooled(database, keeps=False) as dsn:
        for _ in range(2):  # whatever the first left behind in the sessions
            with pytest.raises(LogUnavailable, match="a connection pooler uses another session for each"):
                await migrate(dsn)


async def test_a_pooler_that_keeps_sessions_no_more_is_named(database: str) -> None:
    async with pooled(database, keeps=False) as dsn:
        pool = await Pool.open(dsn, 1)
        await pool.fetch("SELECT 1")
        other = await connect(dsn)  # whose session is lent next
        with pytest.raises(LogUnavailable, match="a connection pooler uses another session for each"):
            await pool.fetch("SELECT 1")
        await other.close()
        await pool.close()


async def test_a_log_is_written_through_a_pooler_that_keeps_sessions(database: str) -> None:
    async with pooled(database, keeps=True) as dsn, opened(dsn) as [log]:
        assert (await log.append([change(A, 0, "a1")], ANN)).position == 1


async def test_a_connection_has_its_settings_through_a_pooler_too(database: str) -> None:
    settings = SETTINGS | PLANS
    async with pooled(database, keeps=True) as dsn:
        pool = await Pool.open(dsn, 1, **PLANS)
        [row] = await pool.fetch(f"SELECT {', '.join(f'current_setting({name!r})' for name in settings)}")
        assert list(row) == list(settings.values())
        await pool.close()


async def test_a_node_does_not_hear_itself_through_a_pooler_either(database: str) -> None:
    heard: list[str] = []
    async with pooled(database, keeps=True) as dsn:
        listener = Listener(dsn, ["stored_events"], heard.append)
        await listener.connection.fetch("SELECT pg_notify('stored_events', 'a word of its own')")
        await listener.connection.fetch("SELECT")  # it has come by now
        assert heard == [""]
        await listener.close()
