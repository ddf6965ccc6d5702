"""`stageline archive`: what it says, and an archived log in the hands of servers and other commands."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from server import archive
from server.move import move
from server.settings import Settings
from store.log import EventLog
from store.postgres.log import PostgresLog
from store.sqlite.log import SqliteLog
from tests.serving import Serving
from tests.store.test_archive import Store, readings, write

IN = "--project", "Shop", "--environment", "staging"
AGE = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store("sqlite", tmp_path / "data", "")
    asyncio.run(write(store))
    return store


async def read(log: EventLog) -> list[object]:
    found = await readings(log)
    await log.close()
    return found


def test_it_says_what_it_archives(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(data=store.folder)
    archive.run(settings, AGE, dry_run=True, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["dryRun"], found["deployments"], found["events"], found["segments"]) == (True, 2, 37, 1)
    archive.run(settings, AGE, dry_run=False, as_json=True)
    done = json.loads(capsys.readouterr().out)
    assert done == found | {"dryRun": False, "logBytesAfter": done["logBytesAfter"]}
    assert done["archiveBytes"] == sum(path.stat().st_size for path in store.segments())
    archive.run(settings, AGE, dry_run=False, as_json=False)
    assert capsys.readouterr().out.startswith("Archived 0 events of 0 deployments: 0 bytes of the log, as 0 bytes in")


async def test_a_server_must_be_stopped_for_it_but_not_for_a_dry_run(store: Store) -> None:
    async with store.opened():
        with pytest.raises(SystemExit, match=r"Another Stageline server uses .* A dry run needs no stop"):
            await asyncio.to_thread(archive.run, Settings(data=store.folder), AGE, dry_run=False, as_json=False)
        await asyncio.to_thread(archive.run, Settings(data=store.folder), AGE, dry_run=True, as_json=False)
    assert not store.archive.exists()


def test_on_postgresql_the_folder_must_be_named(empty: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="give it with --archive, or in STAGELINE_ARCHIVE"):
        archive.run(Settings(data=tmp_path, database=empty), AGE, dry_run=False, as_json=False)


def test_archived_events_move_into_a_postgresql(store: Store, empty: str) -> None:
    before = asyncio.run(readings_of(store.folder))
    archive.run(Settings(data=store.folder), AGE, dry_run=False, as_json=False)
    move(store.folder, empty)

    async def moved() -> list[object]:
        return await read(await PostgresLog.open(empty))

    assert asyncio.run(moved()) == before


async def readings_of(folder: Path) -> list[object]:
    return await read(await SqliteLog.open(folder / "log.db"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Serving]:
    node = Serving(tmp_path)
    yield node
    node.close()


DEPLOYMENT = """
query ($environment: ID!) {
  deployments(environment: $environment, last: 1) { edges { node {
    number status version changedSince { to { version } }
    pipeline { stages { name services { name spec { runCommand } } } }
  } } }
}
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_servers_and_commands_read_archived_deployments_as_before(
    node: Serving, kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("database") if kind == "postgres" else None
    shared = () if database is None else ("--database", database, "--archive", str(node.folder / "archive"))
    where = shared or ("--data", str(node.data))

    def told(*arguments: str) -> str:
        done = node.stageline(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def shown() -> list[object]:
        commands = ("history",), ("deployment", "list"), ("explain", "1"), ("deployment", "watch", "1")
        return [node.execute(DEPLOYMENT, environment=environment), *[told(*command, *IN) for command in commands]]

    node.start(*shared)
    told("project", "create", "-n", "Shop")
    told("environment", "create", "-n", "staging", "--project", "Shop")
    told("service", "add", "-n", "job", "-t", "job", "--directory", str(node.folder), "--run", "echo one", *IN)
    environment = json.loads(told("environment", "list", "--project", "Shop", "--json"))["environments"][0]["id"]
    for _ in range(3):
        told("environment", "deploy", "--watch", *IN)
    told("audit", "export", "-o", "before.jsonl")
    told("audit", "head", "-o", "head.json")
    told("audit", "key", "-o", "key.pem")
    before = shown()
    if database is None:
        node.stop()
    done = json.loads(told("archive", "--older-than", "1s", "--json", *where))
    assert done["deployments"] == 3
    if database is None:
        (node.data / "views.db").unlink()  # it is rebuilt from the archived log
    else:
        node.stop()
    node.start(*shared)
    assert shown() == before
    told("audit", "export", "-o", "after.jsonl")
    assert (node.folder / "after.jsonl").read_text() == (node.folder / "before.jsonl").read_text()
    told("audit", "verify", "after.jsonl", "--head", "head.json", "--key", "key.pem")
    told("fsck", *where)
    told("environment", "deploy", "--watch", *IN)
    told("redeploy", "--watch", *IN)
