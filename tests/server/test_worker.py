"""`stageline migrate` and `stageline worker` as the operator meets them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import created, named

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """The address of a database with nothing in it."""
    with created(postgres, "template0") as dsn:
        yield dsn


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
        assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(empty) as database:
        found = database.execute("SELECT to_regclass('stored_events'), to_regclass('procrastinate_jobs')").fetchone()
    assert found == ("stored_events", "procrastinate_jobs")


@pytest.mark.parametrize("command", ["migrate", "worker", "serve"])
def test_nothing_starts_on_a_newer_schema_than_it_knows(empty: str, tmp_path: Path, command: str) -> None:
    assert stageline("migrate", "--database", empty).returncode == 0
    with psycopg.connect(empty) as database:
        database.execute("UPDATE meta SET value = '1000' WHERE name = 'schema'")
    options = {"serve": ["--data", str(tmp_path), "--port", "0"], "worker": ["--data", str(tmp_path)]}
    done = stageline(command, "--database", empty, *options.get(command, []))
    assert done.returncode == 1
    assert "was written by a newer version of Stageline" in done.stderr


def test_a_worker_needs_a_database(tmp_path: Path) -> None:
    done = stageline("worker", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "No database is named" in done.stderr


@pytest.mark.parametrize("command", ["migrate", "worker", "serve", "fsck"])
def test_a_database_that_is_not_there_is_told_in_a_sentence_without_the_password(
    postgres: str, tmp_path: Path, command: str
) -> None:
    dsn = named(postgres, "nowhere").replace("stageline@", "stageline:sesame@")
    options = {"serve": ["--data", str(tmp_path), "--port", "0"], "worker": ["--data", str(tmp_path)]}
    done = stageline(command, "--database", dsn, *options.get(command, []))
    assert done.returncode == 1
    assert "it isn't there: create it" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("hosts", ["one:5432,other:5432", "one:port"])
def test_what_is_no_address_is_refused_without_telling_it(hosts: str) -> None:
    done = stageline("migrate", "--database", f"postgresql://stageline:sesame@{hosts}/stageline")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is no address of a PostgreSQL" in done.stderr
    assert "has one host" in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_worker_in_order(empty: str, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "cli.main", "worker", "--database", empty, "--data", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert "is at work" in worker.stderr.readline()
        worker.send_signal(number)
        _, said = worker.communicate(timeout=60)
    assert (worker.returncode, said) == (0, "INFO  Handing over what is under way to other workers\n")
