"""`stageline migrate` and `stageline worker` as the operator meets them."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from domain.deployment.step import Status
from server.fsck import check
from server.settings import Settings
from store.postgres.errors import describe_database
from tests.postgres import named
from tests.proxy import far
from tests.runner import test_worker_crash
from tests.runner.test_worker_crash import waiting, worker
from tests.runner.world import World

ROOT = Path(__file__).parents[2]

OTHERS = [pytest.param(each, marks=pytest.mark.long) for each in ("worker", "serve", "fsck")]
"""The commands that open a database as `migrate` does."""

data, world = test_worker_crash.data, test_worker_crash.world


def stageline(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "DATABASE" not in name} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_database_is_migrated_once(empty: str) -> None:
    for _ in range(2):
        done = stageline("migrate", DATABASE_URL=empty)
        assert (done.returncode, done.stderr, done.stdout) == (
            0,
            "",
            f"The tables in {describe_database(empty)} are up to date.\n",
        )
    with psycopg.connect(empty) as database:
        found = database.execute("SELECT to_regclass('stored_events'), to_regclass('procrastinate_jobs')").fetchone()
    assert found == ("stored_events", "procrastinate_jobs")


@pytest.mark.parametrize(
    ("command", "newer"),
    [
        pytest.param("migrate", "'1000' WHERE name = 'schema'", marks=pytest.mark.long),
        pytest.param("worker", "'1000' WHERE name = 'schema'", marks=pytest.mark.long),
        ("serve", "'1000' WHERE name = 'schema'"),
        pytest.param("worker", "'1000 ' || value WHERE name = 'jobs'", marks=pytest.mark.long),
    ],
)
def test_nothing_starts_on_a_newer_schema_than_it_knows(
    empty: str, tmp_path: Path, command: str, newer: LiteralString
) -> None:
    assert stageline("migrate", "--database", empty).returncode == 0
    with psycopg.connect(empty) as database:
        database.execute("UPDATE meta SET value = " + newer)
    options = {"serve": ["--data", str(tmp_path), "--port", "0"], "worker": ["--data", str(tmp_path)]}
    done = stageline(command, "--database", empty, *options.get(command, []))
    assert done.returncode == 1
    assert "was written by a newer version of Stageline" in done.stderr
    assert "is 1000, this version knows" in done.stderr


def test_a_worker_needs_a_database(tmp_path: Path) -> None:
    done = stageline("worker", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "No database is given" in done.stderr


@pytest.mark.parametrize("command", ["migrate", *OTHERS])
def test_a_database_that_is_not_there_is_told_in_a_sentence_without_the_password(
    postgres: str, tmp_path: Path, command: str
) -> None:
    dsn = named(postgres, "nowhere").replace("stageline@", "stageline:sesame@")
    options = {"serve": ["--data", str(tmp_path), "--port", "0"], "worker": ["--data", str(tmp_path)]}
    done = stageline(command, "--database", dsn, *options.get(command, []))
    assert done.returncode == 1
    assert "the database does not exist: create it" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("hosts", ["one:5432,other:5432", pytest.param("one:port", marks=pytest.mark.long)])
def test_what_is_no_address_is_refused_without_telling_it(hosts: str) -> None:
    done = stageline("migrate", "--database", f"postgresql://stageline:sesame@{hosts}/stageline")
    assert (done.returncode, done.stderr.count("\n")) == (1, 2)
    assert done.stderr.startswith("Warning: The password of the database is on the command line")
    assert "Invalid database address" in done.stderr
    assert "with one host" in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize("command", ["migrate", *OTHERS])
def test_an_address_that_is_empty_is_none(tmp_path: Path, command: str) -> None:
    """It isn't SQLite that is meant by `--database "$FORGOTTEN"`."""
    options = {"serve": ["--port", "0"], "migrate": []}.get(command, [])
    done = stageline(command, "--database", "", *options, *(["--data", str(tmp_path)] if command != "migrate" else []))
    assert done.returncode == 1
    assert "Invalid database address" in done.stderr
    assert not (tmp_path / "log.db").exists()


@pytest.mark.parametrize("command", [pytest.param("serve", marks=pytest.mark.long), "worker"])
async def test_ctrl_c_once_more_ends_it_at_once_and_nothing_is_lost(
    world: World, database: str, data: Path, command: str
) -> None:
    """Its database is silent, so that once isn't enough."""
    id_ = await waiting(world, data)
    options = ["--data", str(data / "machine"), *(["--port", "0"] if command == "serve" else [])]
    async with far(database) as (proxy, dsn):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", command, "--database", dsn, *options),
            cwd=ROOT,
            env=os.environ | {"XDG_CONFIG_HOME": str(data / "config")},
            stderr=PIPE,
        )
        assert process.stderr is not None
        await world.reaches(id_, "BuildStarted", 2)
        proxy.hush()
        process.send_signal(signal.SIGINT)
        while b"Press Ctrl-C again to quit" not in (line := await process.stderr.readline()):
            assert line, "the process ended without saying so"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == -signal.SIGINT  # a shell says 130
    (data / "go").touch()
    async with worker(database, data / "machine"):
        assert (await world.over(id_)).status == Status.SUCCEEDED
    assert sorted((data / "marks").read_text().split()) == ["api.1", "web.1"]
    assert (await check(Settings(data=data, database=database)))[1] == []


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_signal_ends_a_worker_in_order(empty: str, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "cli.main", "worker", "--database", empty, "--data", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert "The worker is running" in worker.stderr.readline()
        worker.send_signal(number)
        _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert said.partition(" ")[2] == (
        "INFO The worker is stopping; other workers resume its deployments. Press Ctrl-C again to quit\n"
    )
