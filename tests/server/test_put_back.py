"""The database is put back to an earlier state while a server serves and a worker drives: both end, and start anew."""

import asyncio
import json
from pathlib import Path

import pytest

from tests import postgres
from tests.postgres import Server
from tests.runner import test_crash
from tests.runner.test_worker_crash import worker
from tests.server.test_database_away import health, marks, until
from tests.server.test_nodes import STAGING, told
from tests.serving import Serving, serving

data = test_crash.data

RUN = "echo run >> marks; while ! test -f go; do sleep 0.02; done"
SAID = "was restored to an earlier state: event"


def begin(server: Serving, database: Server, folder: Path) -> None:
    told(server, "project", "create", "-n", "Shop")
    told(server, "environment", "create", "-n", "staging", "--project", "Shop")
    told(server, "service", "add", "-n", "job", "-t", "job", "--directory", str(folder), "--run", RUN, *STAGING)
    database.keep("then")
    until(lambda: health(server) == 200)
    told(server, "environment", "deploy", *STAGING)
    until(lambda: len(marks(folder)) == 1)
    database.put_back("then")


def go_on(server: Serving, folder: Path) -> None:
    (listed,) = json.loads(told(server, "environment", "list", "--project", "Shop", "--json"))["environments"]
    assert listed["name"] == "staging"
    assert json.loads(told(server, "deployment", "list", *STAGING, "--json"))["deployments"] == []
    (folder / "go").touch()
    assert "deployment 1 succeeded" in told(server, "environment", "deploy", "--watch", *STAGING)


@pytest.mark.long
async def test_what_runs_ends_and_goes_on_with_what_is_there_when_it_is_started_again(data: Path) -> None:
    steps = data / "steps"
    steps.mkdir()
    with postgres.running(waits_for_disk=False) as database, postgres.created(database.dsn, "template0") as dsn:
        options = "--database", dsn, "--no-worker"
        with serving(data, *options) as server:
            async with worker(dsn, data / "machine") as driving:
                await asyncio.to_thread(begin, server, database, steps)
                assert await driving.ended() == 1
            assert await asyncio.to_thread(server.ended) == 1
            for log in (server.log, data / "machine.log"):
                assert SAID in log.read_text()
                assert "Traceback" not in log.read_text()
            await asyncio.to_thread(server.start, *options)
            async with worker(dsn, data / "machine"):
                await asyncio.to_thread(go_on, server, steps)
