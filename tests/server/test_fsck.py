"""Damage to the log and to the read models is found, on both stores."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from domain.deployment.step import Phase
from server.components import running
from server.fsck import check
from server.settings import Settings
from store import ids
from store.log import LogUnavailable
from store.sqlite.log import SqliteLog
from store.sqlite.output import MemoryOutput
from tests import postgres
from tests.runner.world import World
from tests.store.sample import ANN, A, change

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
            names = {"position": "rowid", "documents": "rows", "tags": "tags", "new": "randomblob(16)"}
            values = {"bytes": "x'fffe'", "never": "'infinity'", "id": f"x'{ids.new().hex}'"}
            database.execute(statement.format(**names, **values))

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
            values = {"bytes": "'\\xfffe'::bytea", "never": "'infinity'", "id": "gen_random_uuid()"}
            database.execute(statement.format(**names, **values).encode())

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
        ("DELETE FROM places WHERE key IN (SELECT key FROM {documents})", "differs in row"),
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


@pytest.mark.long
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


async def test_an_event_that_is_no_json_is_named_by_its_position(settings: Settings, damage: Damage) -> None:
    await asyncio.to_thread(damage, "UPDATE stored_events SET state = '{{' WHERE {position} = 4")
    findings = await wrong(settings)
    assert "position 4" in findings[0]
    assert "the read models can't be checked: the log, position 4 can't be read" in findings[1]


@pytest.mark.parametrize(
    "value",
    [
        "state = '{{}}'",
        "state = {bytes}",
        "state = ''",
        "topic = 'pipeline.Nothing'",
        "topic = ''",
        "origin = 'NOWHERE'",
        "hash = ''",
        "previous = {bytes}",
        "recorded_at = {never}",
        "actor = ''",
        "reason = 'other'",
        "originator_version = 1000000000000",
        "token = {id}",
    ],
)
async def test_a_damaged_column_is_named_by_its_position(settings: Settings, damage: Damage, value: str) -> None:
    await asyncio.to_thread(damage, f"UPDATE stored_events SET {value} WHERE {{position}} = 4")
    assert "position 4" in (await wrong(settings))[0]


async def use(settings: Settings) -> UUID:
    """Has a stream with output; the environment's is as good as a deployment's."""
    async with running(settings) as parts:
        world = World(parts.application.log, parts.application.output)
        stream = await world.environment(["api"])
        await world.outputs.append(stream, ids.new(), Phase.BUILD, 1, ["built"])
        await parts.application.projector.wait_for(await world.log.position(), 30)
    return stream


@pytest.fixture
async def folder(tmp_path: Path) -> Settings:
    """The data folder of a server on SQLite that has run."""
    settings = Settings(data=tmp_path / "data")
    await use(settings)
    return settings


async def test_a_server_may_run_meanwhile(folder: Settings) -> None:
    async with running(folder):
        assert await check(folder, single_process=0) == (await position(folder), [])


async def position(settings: Settings) -> int:
    return (await check(settings))[0]


async def test_a_folder_that_is_none_is_refused_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="holds no log"):
        await check(Settings(data=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


async def test_a_log_that_was_copied_without_its_write_ahead_log_is_found(folder: Settings, tmp_path: Path) -> None:
    early = tmp_path / "early"
    early.mkdir()
    shutil.copy(folder.data / "log.db", early)
    deployment = await use(folder)
    before, after = await position(Settings(data=early)), await position(folder)
    shutil.copy(early / "log.db", folder.data)
    findings = await wrong(folder)
    assert f"the log lacks deployments that have output: 1, such as {deployment}" in findings
    assert (
        f"the log ends at position {before}, but its read models have events up to {after}: it lost the others"
        in findings
    )


async def test_a_log_that_lost_all_its_events_is_refused(folder: Settings) -> None:
    (folder.data / "log.db").write_bytes(b"")
    with pytest.raises(LogUnavailable, match="copied without its write-ahead log"):
        await check(folder)


async def test_damaged_pages_of_the_log_are_named_by_the_position_of_their_first_event(folder: Settings) -> None:
    log = await SqliteLog.open(folder.data / "log.db")
    await log.append([change(A, 0, *map(str, range(300)))], ANN)  # more than fit into one page
    await log.close()
    with closing(sqlite3.connect(folder.data / "log.db", isolation_level=None)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (leaf,) = database.execute(
            "SELECT min(pageno) FROM dbstat WHERE name = 'stored_events' AND pagetype = 'leaf'"
        ).fetchone()
    content = bytearray((folder.data / "log.db").read_bytes())
    content[(leaf - 1) * size : leaf * size] = bytes(size)
    (folder.data / "log.db").write_bytes(content)
    findings = await wrong(folder)
    assert findings[0].startswith("the log, position 1 can't be read: database disk image is malformed")


async def test_damaged_read_models_are_a_finding(folder: Settings) -> None:
    (folder.data / "views.db").write_bytes(b"no database" * 1000)
    (finding,) = await wrong(folder)
    assert "the read models can't be read, and the next start of the server rebuilds them" in finding


class DamagedPostgres:
    """A PostgreSQL server with a log of several pages, which can be damaged. Block -1 is the last one."""

    def __init__(self, server: postgres.Server, settings: Settings) -> None:
        self._server, self.settings = server, settings

    def block(self, block: int) -> int:
        last = self._value("SELECT pg_relation_size('stored_events') / %s - 1", postgres.PAGE)
        return last if block < 0 else block

    def first_event(self, block: int) -> int:
        """Return the position of the first event in a page."""
        return self._value(
            "SELECT min(notification_id) FROM stored_events WHERE (ctid::text::point)[0] >= %s", self.block(block)
        )

    def damage(self, table: str, block: int) -> None:
        block = self.block(block)
        with psycopg.connect(self._server.dsn) as database:
            path = database.execute("SELECT pg_relation_filepath(%s)", [table]).fetchall()[0][0]
        self._server.stop()
        self._server.damage(path, block)
        self._server.start()

    def _value(self, statement: LiteralString, parameter: int) -> int:
        with psycopg.connect(self._server.dsn) as database:
            return int(database.execute(statement, [parameter]).fetchall()[0][0])


@pytest.fixture
def damaged_postgres(tmp_path: Path) -> Iterator[DamagedPostgres]:
    with postgres.running(waits_for_disk=False) as server:
        settings = Settings(data=tmp_path, database=server.dsn, works=False)

        async def use() -> None:
            async with running(settings) as parts:
                world = World(parts.application.log, MemoryOutput())
                await world.environment(["api"])
                await world.log.append([change(A, 0, *map(str, range(300)))], ANN)  # more than fit into one page
                await parts.application.projector.wait_for(await world.log.position(), 30)
                await world.outputs.close()

        asyncio.run(use())
        yield DamagedPostgres(server, settings)


@pytest.mark.parametrize("block", [0, 1, -1])
def test_a_damaged_page_in_postgresql_is_named_by_the_position_of_its_first_event(
    damaged_postgres: DamagedPostgres, block: int
) -> None:
    position = damaged_postgres.first_event(block)
    damaged_postgres.damage("stored_events", block)
    findings = asyncio.run(wrong(damaged_postgres.settings))
    assert findings[0].startswith(f"the log, position {position} can't be read: The database postgres at ")
    assert f"invalid page in block {damaged_postgres.block(block)} of relation" in findings[0]


def test_a_damaged_page_of_the_read_models_in_postgresql_is_a_finding(damaged_postgres: DamagedPostgres) -> None:
    damaged_postgres.damage("documents", 0)
    (finding,) = asyncio.run(wrong(damaged_postgres.settings))
    assert finding.startswith("the read models can't be read: ")
