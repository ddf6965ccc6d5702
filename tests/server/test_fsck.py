"""Damage to the log and to the read models is found, on both stores."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from server.components import running
from server.fsck import check
from server.settings import Settings
from store.sqlite.output import MemoryOutput
from tests.runner.world import World

Damage = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgres"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a server that has been in use."""
    database = request.getfixturevalue("database") if request.param == "postgres" else None
    settings = Settings(data=tmp_path, database=database, works=False)
    async with running(settings) as parts:
        world = World(parts.application.log, MemoryOutput())
        environment = await world.environment(["api", "web"])
        await world.remove(environment, "web")
        await parts.application.projector.wait_for(await world.log.position(), 30)
        await world.outputs.close()
    return settings


@pytest.fixture
def damage(settings: Settings) -> Damage:
    """Carries out a statement that nobody is to carry out."""

    def on_sqlite(statement: str) -> None:
        name = "views" if "{documents}" in statement else "log"
        with closing(sqlite3.connect(settings.data / f"{name}.db")) as database, database:
            for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {trigger}")
            database.execute(statement.format(position="rowid", documents="rows", tags="tags", new="randomblob(16)"))

    def on_postgres(statement: str) -> None:
        assert settings.database is not None
        with psycopg.connect(settings.database) as database:
            database.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
            names = {
                "position": "notification_id",
                "documents": "documents",
                "tags": "tagged",
                "new": "gen_random_uuid()",
            }
            database.execute(statement.format(**names).encode())

    return on_postgres if settings.database else on_sqlite


async def wrong(settings: Settings) -> list[str]:
    return (await check(settings))[1]


async def test_nothing_is_wrong_with_what_was_left_alone(settings: Settings) -> None:
    position, findings = await check(settings)
    assert findings == []
    assert position > 5


async def test_an_event_that_was_changed_is_found(settings: Settings, damage: Damage) -> None:
    await asyncio.to_thread(damage, "UPDATE stored_events SET actor = 'eve' WHERE {position} = 2")
    assert "the log, changed: position 2" in (await wrong(settings))[0]


async def test_an_event_that_was_removed_is_found(settings: Settings, damage: Damage) -> None:
    await asyncio.to_thread(damage, "DELETE FROM stored_events WHERE {position} = 3")
    assert "the log, removed: position 3" in (await wrong(settings))[0]


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE {documents} SET position = position + 1", "differs in row"),
        ("UPDATE {documents} SET {tags} = NULL WHERE {tags} IS NOT NULL", "differs in row"),
        ("DELETE FROM {documents}", "lacks row"),
    ],
)
async def test_a_row_that_is_not_what_the_log_says_is_found(
    settings: Settings, damage: Damage, statement: str, finding: str
) -> None:
    await asyncio.to_thread(damage, statement)
    findings = await wrong(settings)
    assert findings
    assert all(finding in each for each in findings)


async def test_a_row_of_nothing_is_found(settings: Settings, damage: Damage) -> None:
    columns = "generation, key, parent, sort, position, document"
    copies = (
        f"INSERT INTO {{documents}} ({columns}) SELECT {columns.replace('key', '{new}')} FROM {{documents}} LIMIT 1"
    )
    await asyncio.to_thread(damage, copies)
    (finding,) = await wrong(settings)
    assert "has rows without events: 1" in finding


async def test_several_processes_find_the_same(settings: Settings, damage: Damage) -> None:
    assert (await check(settings, single_process=0))[1] == []
    await asyncio.to_thread(damage, "DELETE FROM {documents}")
    assert sorted((await check(settings, single_process=0))[1]) == sorted(await wrong(settings))


async def test_rows_that_there_is_no_room_for_are_checked_all_the_same(settings: Settings, damage: Damage) -> None:
    assert (await check(settings, max_rows=0))[1] == []
    await asyncio.to_thread(damage, "UPDATE {documents} SET position = position + 1 WHERE {tags} IS NULL")
    assert sorted((await check(settings, max_rows=0))[1]) == sorted(await wrong(settings)) != []


async def test_how_much_is_done_is_told(settings: Settings) -> None:
    shares: list[float] = []
    await check(settings, report=shares.append)
    assert shares[0] == 0
    assert shares[-1] == 1
