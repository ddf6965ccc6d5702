"""A server removes old output by itself, and `stageline prune` does: on SQLite while no server runs."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from domain.deployment.step import Phase
from server import retention
from store import ids
from store.retention import Retention
from store.sqlite.log import SqliteLog
from store.sqlite.output import MemoryOutput
from tests.serving import serving
from tests.store.sample import A

IN = "--project", "Shop", "--environment", "staging"


async def test_a_server_prunes_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FIRST", 0)
    output, log = MemoryOutput(), await SqliteLog.open(tmp_path / "log.db")
    await output.append(A, ids.new(), Phase.BUILD, 1, ["one"], offset=4)
    limits = Retention(output_age=timedelta(0), output_bytes=None, key_age=None)
    pruning = asyncio.create_task(retention.run(output, log, limits))
    async with asyncio.timeout(30):
        while await output.stored():
            await asyncio.sleep(0.01)
    pruning.cancel()
    assert [line.text for line in await output.read(A)] == ["1 line of output removed by the server's retention."]
    await output.close()
    await log.close()


@pytest.mark.long
def test_prune_removes_old_output_once_the_server_is_stopped(tmp_path: Path) -> None:
    with serving(tmp_path) as server:

        def told(*arguments: str) -> str:
            done = server.stageline(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        told("project", "create", "-n", "Shop", "--idempotency-key", "first")
        told("environment", "create", "-n", "staging", "--project", "Shop")
        add = ("service", "add", "-n", "job", "-t", "job", "--directory", str(tmp_path), "--run", "echo one; echo two")
        told(*add, *IN)
        told("environment", "deploy", "--watch", *IN)
        prune = ("prune", "--data", str(server.data), "--json", "--keep-output", "0.00000001", "--keep-keys", "1e-8")
        found = json.loads(told(*prune, "--dry-run"))
        assert (found["deployments"], found["lines"], found["idempotencyKeys"]) == (1, 2, 4)
        refused = server.stageline(*prune)
        assert (refused.returncode, "A running server prunes by itself" in refused.stderr) == (1, True)
        assert "two" in told("deployment", "logs", *IN)
        server.stop()
        assert json.loads(told(*prune)) == found | {"dryRun": False}
        server.start()
        logs = told("deployment", "logs", *IN)
        assert "2 lines of output removed" in logs
        assert "two" not in logs
        told("fsck", "--data", str(server.data))
        server.stop()
        with closing(sqlite3.connect(server.data / "log.db")) as log:
            assert log.execute("SELECT count(*) FROM keys").fetchone() == (0,)
