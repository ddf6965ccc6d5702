"""A backup is made while a server works, and a server goes on from what was restored: on SQLite and PostgreSQL."""

import asyncio
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from server.fsck import check
from server.settings import Settings
from tests.postgres import Server, binaries, named
from tests.serving import Serving, serving
from tests.waiting import wait_until

IN = "--project", "Shop", "--environment", "staging"
CREATE = "mutation ($name: String!) { createProject(name: $name) { __typename } }"
PROJECTS = "{ projects(first: 1) { totalCount } }"

pytestmark = pytest.mark.long


class Load:
    """Projects that are created one after another, and how many are known to be."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 1  # the shop

    def _run(self) -> None:
        while not self._ending.is_set():
            self._server.execute(CREATE, name=f"p{self.count}")
            self.count += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._thread.start()
        try:
            wait_until(lambda: self.count > 50, "the load has begun")
            yield
        finally:
            self._ending.set()
            self._thread.join()


def told(server: Serving, *arguments: str) -> str:
    done = server.stageline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def furnish(server: Serving) -> None:
    """Have something of each kind: names, secrets, output, a deployment."""
    told(server, "project", "create", "-n", "Shop")
    told(server, "environment", "create", "-n", "staging", "--project", "Shop")
    told(server, "actor", "set", "admin", "--name", "Ann Example")
    assert server.stageline("secret", "set", "KEY", *IN, stdin="opensesame").returncode == 0
    run = 'test "$KEY" = opensesame && echo it fits'
    service = ("service", "add", "-n", "job", "-t", "job", "--directory", str(server.folder), "--run", run)
    told(server, *service, "--env", "KEY=${{ secrets.KEY }}", *IN)
    told(server, "environment", "deploy", "--watch", *IN)


def goes_on(server: Serving, known: int) -> None:
    """Have what was there: the token, names, output, and a secret that a new deployment uses."""
    wait_until(lambda: server.execute(PROJECTS)["projects"]["totalCount"] >= known, "the projects are there")
    assert "Ann Example" in told(server, "actor", "list")
    assert "it fits" in told(server, "deployment", "logs", "1", *IN)
    told(server, "redeploy", "--watch", *IN)


def test_a_server_goes_on_from_a_backup_that_was_made_under_load(tmp_path: Path) -> None:
    backup, load = tmp_path / "backup", None
    with serving(tmp_path) as server:
        furnish(server)
        load = Load(server)
        with load.going_on():
            known = load.count
            said = told(server, "backup", "--data", str(server.data), str(backup))
        assert "keys.db, signing-key.pem" in said
        assert "verified" in said
        server.kill()
        shutil.rmtree(server.data)
        told(server, "restore", str(backup), "--data", str(server.data))
        server.start()
        told(server, "take-over", "--data", str(server.data))
        goes_on(server, known)
        told(server, "fsck", "--data", str(server.data))
        again = server.stageline("restore", str(backup), "--data", str(server.data))
        assert (again.returncode, "is not empty" in again.stderr) == (1, True)
        mixed = server.stageline("restore", str(backup), "--data", str(tmp_path / "new"), "--dry-run")
        assert (mixed.returncode, (tmp_path / "new").exists()) == (2, False)


class Receiver(BaseHTTPRequestHandler):
    """An address for webhooks that answers with `status`; `received` has the messages that it accepts."""

    received: ClassVar[list[bytes]] = []
    status: ClassVar[int] = 503

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.status == 200:
            self.received.append(body)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


def test_a_restored_copy_sends_no_webhook_and_goes_on_with_no_deployment_until_it_takes_over(tmp_path: Path) -> None:
    backup, mark = tmp_path / "backup", tmp_path / "mark"
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with closing(hook.socket), serving(tmp_path) as server:
        server.stop()
        server.start("--allow-webhook", "127.0.0.0/8")
        furnish(server)
        url = f"http://127.0.0.1:{hook.server_port}"
        told(server, "webhook", "create", "hook", "--url", url, "--event", "deployment-planned", *IN)
        told(server, "service", "edit", "-n", "job", "--run", f"echo ran >> {mark}", *IN)
        told(server, "redeploy", "--watch", *IN)
        server.kill()
        mark.unlink()
        told(server, "backup", "--data", str(server.data), str(backup))
        shutil.rmtree(server.data)
        said = told(server, "restore", str(backup), "--data", str(server.data))
        assert f"stageline take-over --data {server.data}" in said
        Receiver.status = 200
        server.start("--allow-webhook", "127.0.0.0/8")
        assert "is a restored copy: no webhook is sent and no deployment goes on" in server.log.read_text()
        told(server, "redeploy", *IN)
        assert (Receiver.received, mark.exists()) == ([], False)
        told(server, "take-over", "--data", str(server.data))
        wait_until(lambda: len(Receiver.received) >= 2, "both webhooks were sent")
        wait_until(mark.exists, "the deployment went on")
        again = server.stageline("take-over", "--data", str(server.data))
        assert (again.returncode, "is no restored copy" in again.stderr) == (1, True)
        hook.shutdown()


def test_a_backup_of_a_damaged_log_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        told(server, "project", "create", "-n", "Shop")
        server.stop()
        with closing(sqlite3.connect(server.data / "log.db")) as log, log:
            log.execute("DROP TRIGGER stored_events_update")
            log.execute("UPDATE stored_events SET actor = 'mallory' WHERE rowid = 1")
        done = server.stageline("backup", "--data", str(server.data), str(tmp_path / "backup"))
    assert done.returncode == 1
    assert "the event does not match its hash" in done.stdout
    assert "which is damaged" in done.stderr


def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    folder = binaries()
    assert folder is not None
    return subprocess.run([folder / program, *arguments], capture_output=True, text=True, check=False)


def test_a_server_goes_on_from_a_dump_that_was_made_under_load(empty: str, postgres: str, tmp_path: Path) -> None:
    dump, restored = tmp_path / "dump", named(postgres, f"{empty.rpartition('/')[2]}_restored")
    with serving(tmp_path, "--database", empty) as server:
        furnish(server)
        load = Load(server)
        with load.going_on():
            known = load.count
            made = run("pg_dump", "--format=custom", f"--file={dump}", empty)
            assert made.returncode == 0, made.stderr
        server.kill()
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {restored.rpartition('/')[2]}".encode())
        try:
            cut = tmp_path / "cut"
            cut.write_bytes(dump.read_bytes()[: dump.stat().st_size // 2])  # as of a dump that was killed
            options = ("--single-transaction", "--exit-on-error", f"--dbname={restored}")
            assert run("pg_restore", *options, str(cut)).returncode != 0
            with psycopg.connect(restored) as database:
                assert database.execute("SELECT count(*) FROM pg_class WHERE relname = 'keys'").fetchone() == (0,)
            loaded = run("pg_restore", *options, str(dump))
            assert loaded.returncode == 0, loaded.stderr
            _, findings = asyncio.run(check(Settings(data=tmp_path, database=restored)))
            assert findings == []
            server.start("--database", restored)
            goes_on(server, known)
            server.stop()
        finally:
            with psycopg.connect(postgres, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {restored.rpartition('/')[2]} WITH (FORCE)".encode())


def test_a_server_goes_on_from_a_base_backup(empty: str, postgres_server: Server, tmp_path: Path) -> None:
    """Of the database's own files, while a server writes and is killed."""
    with serving(tmp_path, "--database", empty) as server:
        furnish(server)
        load = Load(server)
        with load.going_on():
            known = load.count
            postgres_server.base_backup("base")
        server.kill()
        postgres_server.put_back("base")
        _, findings = asyncio.run(check(Settings(data=tmp_path, database=empty)))
        assert findings == []
        server.start("--database", empty)
        goes_on(server, known)
