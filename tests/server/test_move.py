"""`stageline migrate --from`: what a server kept in SQLite goes on in a PostgreSQL, whole or not at all."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from server.move import move
from server.stores import prepare
from store.log import Author, IdempotencyKey, LogUnavailable, Origin
from store.move import DataFolder
from store.postgres.errors import describe_database
from store.sqlite.keys import SqliteKeys
from store.sqlite.log import SqliteLog
from tests.serving import PATIENCE, ROOT, Serving
from tests.store.sample import ANN, BOB, A, B, change
from tests.waiting import wait_until

IN = "--project", "Shop", "--environment", "staging"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Serving]:
    """A server that is still to be started."""
    node = Serving(tmp_path)
    yield node
    node.close()


async def kept(folder: Path) -> None:
    """Has something of every kind there but output."""
    log, keys = await SqliteLog.open(folder / "log.db"), await SqliteKeys.open(folder / "keys.db")
    await log.append([change(A, 0, "a1", "a2")], ANN, IdempotencyKey(key="key", request="asked", subject=A))
    await log.append([change(B, 0, "b1"), change(A, 2, "a3")], BOB)
    await keys.make("ann")
    await log.close()
    await keys.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asyncio.run(kept(tmp_path))
    return tmp_path


def told(node: Serving, *arguments: str) -> str:
    done = node.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as database:
        found = database.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert found is not None
    return int(found[0])


def keys(folder: Path) -> list[str]:
    async def read() -> list[str]:
        keys = await SqliteKeys.open(folder / "keys.db")
        found = await keys.get(["ann"])
        await keys.close()
        return list(found)

    return asyncio.run(read())


def lag(node: Serving) -> int:
    """Of the read models behind the log."""
    found: int = httpx.get(f"{node.url}/health", trust_env=False, timeout=PATIENCE).json()["lag"]
    return found


def status(node: Serving) -> str:
    """Of the newest deployment."""
    found: str = json.loads(told(node, "deployment", "list", *IN, "--json"))["deployments"][0]["status"]
    return found


@pytest.mark.long
def test_everything_goes_on_where_it_has_moved_to(node: Serving, empty: str) -> None:
    """A deployment that is under way, an export from its cursor, a signed head; no step is carried out twice."""
    marks, gate = node.folder / "marks", node.folder / "gate"
    export, head, key = (str(node.folder / name) for name in ("export", "head", "key"))
    service = ("service", "add", "--directory", str(node.folder), *IN)
    node.start()
    told(node, "project", "create", "-n", "Shop")
    told(node, "environment", "create", "-n", "staging", "--project", "Shop")
    told(node, "actor", "set", "admin", "--name", "Ann Example")
    told(node, *service, "-n", "quick", "-t", "application", "--run", "exec sleep 600")
    told(node, "environment", "deploy", "--watch", *IN)
    run = f"echo begun; echo x >> {marks}; until test -e {gate}; do sleep 0.1; done; echo ended"
    told(node, *service, "-n", "slow", "-t", "job", "--run", run)
    told(node, "environment", "deploy", *IN)
    wait_until(lambda: "begun" in told(node, "deployment", "logs", *IN), "the job runs, and its output is kept")
    told(node, "audit", "export", "-o", export)
    told(node, "audit", "head", "-o", head)
    told(node, "audit", "key", "-o", key)
    node.stop()

    moved = node.stageline("migrate", "--from", str(node.data), "--database", empty)
    assert (moved.returncode, moved.stderr) == (0, "")
    events = (
        f"Moved {count(empty, 'stored_events')} events, and all other data of the server, to {describe_database(empty)}"
    )
    assert moved.stdout.startswith(events)
    assert count(empty, "procrastinate_jobs") == 1  # the first deployment's isn't done again

    node.start("--database", empty)
    wait_until(lambda: lag(node) == 0, "the read models are rebuilt, which reads wait for only 5 s")
    assert "Ann Example" in told(node, "actor", "list")
    gate.touch()
    wait_until(lambda: status(node) == "SUCCEEDED", "the deployment goes on")
    assert marks.read_text() == "x\n"
    logs = told(node, "deployment", "logs", *IN)
    assert [logs.count("begun"), logs.count("ended")] == [1, 1]
    told(node, "audit", "export", "-o", export)  # where it stopped
    told(node, "audit", "verify", export, "--head", head, "--key", key)
    told(node, "fsck", "--database", empty)


def test_what_has_moved_is_not_served_from_there_any_more(
    folder: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor are keys left there, by which somebody could be known who was forgotten."""
    move(folder, empty)
    assert capsys.readouterr().out.startswith("Moved 4 events")
    assert [count(empty, table) for table in ("stored_events", "keys", "actor_keys")] == [4, 1, 1]
    assert keys(folder) == []
    with pytest.raises(SystemExit, match=r"log\.db was moved to the database .*: name that database"):
        move(folder, empty)
    with pytest.raises(LogUnavailable, match=r"log\.db was moved to the database .*: name that database"):
        asyncio.run(SqliteLog.open(folder / "log.db"))


def test_a_log_that_is_there_already_is_left_alone(folder: Path, empty: str) -> None:
    asyncio.run(kept(folder / "other"))
    move(folder / "other", empty)
    with pytest.raises(
        SystemExit, match=r"already has a log \(its last event has position 4\): name an empty database"
    ):
        move(folder, empty)
    assert keys(folder) == ["ann"]
    assert count(empty, "stored_events") == 4


def test_a_database_that_a_worker_is_at_work_in_is_left_alone(folder: Path, empty: str, tmp_path: Path) -> None:
    """It would go on with the log that it found there, and nobody would see read models of this one."""
    asyncio.run(prepare(empty))
    arguments = ["-m", "cli.main", "worker", "--database", empty, "--data", str(tmp_path / "worker")]
    worker = subprocess.Popen([sys.executable, *arguments], cwd=ROOT)
    try:
        wait_until(lambda: count(empty, "leases WHERE expires_at >= clock_timestamp()"), "the worker is at work")
        with pytest.raises(SystemExit, match=r"is in use\. Stop all servers and workers first"):
            move(folder, empty)
    finally:
        worker.terminate()
        worker.wait()
    assert [count(empty, "stored_events"), keys(folder)] == [0, ["ann"]]
    move(folder, empty)
    assert count(empty, "stored_events") == 4


def test_who_dies_in_the_middle_has_moved_nothing(folder: Path, empty: str) -> None:
    subprocess.run([sys.executable, "-m", "cli.main", "migrate", "--database", empty], cwd=ROOT, check=True)
    with psycopg.connect(empty) as holding:
        holding.execute("LOCK TABLE output_attempts")  # the last one to be written to
        arguments = ["-m", "cli.main", "migrate", "--from", str(folder), "--database", empty]
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT)
        waiting = "pg_locks WHERE NOT granted AND relation = 'output_attempts'::regclass"
        wait_until(lambda: count(empty, waiting), "all but that is written")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [count(empty, "stored_events"), keys(folder)] == [0, ["ann"]]
    move(folder, empty)
    assert count(empty, "stored_events") == 4


def test_who_dies_when_all_of_it_is_there_goes_on_from_there(
    folder: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DataFolder, "retire", die)
        with pytest.raises(SystemExit):
            move(folder, empty)
    assert keys(folder) == ["ann"]
    move(folder, empty)
    assert [count(empty, "stored_events"), keys(folder)] == [4, []]


def test_what_a_postgresql_can_not_keep_is_told_of(folder: Path, empty: str) -> None:
    async def write() -> None:
        log = await SqliteLog.open(folder / "log.db")
        await log.append([change(B, 1, "b2")], Author(actor="eve", origin=Origin.API, reason="nobody\0knows"))
        await log.close()

    asyncio.run(write())
    with pytest.raises(SystemExit, match=rf"PostgreSQL can't store the data in {folder}: .*0x00"):
        move(folder, empty)
    assert [count(empty, "stored_events"), keys(folder)] == [0, ["ann"]]


def test_what_is_there_without_a_log_is_told_of(folder: Path, empty: str) -> None:
    asyncio.run(prepare(empty))
    with psycopg.connect(empty) as database:
        database.execute("INSERT INTO actor_keys VALUES ('ann', '')")
    with pytest.raises(SystemExit, match=r"PostgreSQL can't store the data in .*: duplicate key"):
        move(folder, empty)
    assert [count(empty, "stored_events"), keys(folder)] == [0, ["ann"]]


def test_a_folder_without_a_log_or_with_a_server_is_told_of(folder: Path, empty: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere/log\.db does not exist: name the data folder of a server"):
        move(tmp_path / "nowhere", empty)
    assert not (tmp_path / "nowhere").exists()
    with DataFolder(folder), pytest.raises(SystemExit, match="Another Stageline server uses the data folder"):
        move(folder, empty)
