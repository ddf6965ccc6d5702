"""
Two versions side by side on one PostgreSQL, as in a rolling upgrade: servers and workers of both, real programs.

The earlier one is a fixed commit of the history; see `earlier`.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from projections.postgres.projector import SharedProjector
from projections.postgres.views import PostgresViews
from server.stores import PROJECTIONS
from store import codec, ids
from store.log import Event, StreamChange
from store.postgres.log import PostgresLog
from tests.runner import test_crash
from tests.serving import PATIENCE, Serving, serving
from tests.store.sample import ANN
from tests.upgrade.earlier import EarlierServing, provide
from tests.waiting import wait_until

pytestmark = pytest.mark.long

STAGING = ("--project", "Shop", "--environment", "staging")
JOB = "echo run >> marks; until [ -e go ]; do sleep 0.05; done; rm go"

data = test_crash.data


def run(node: Serving, *arguments: str) -> str:
    done = node.stageline(*arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


@contextmanager
def working(program: Serving, database: str, folder: Path) -> Iterator[None]:
    """A worker of the version of *program* with the data *folder*, which is stopped as its operator does."""
    command = program.command("worker", "--database", database, "--data", str(folder))
    with folder.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(command, cwd=program.folder, env=program.env, stderr=log)  # -m looks there first
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, folder.with_suffix(".log").read_text()


def begin(node: Serving, folder: Path) -> int:
    """Request a deployment of the job at *node*; return its number once the job runs."""
    runs = len(marks(folder))
    number: int = json.loads(run(node, "environment", "deploy", "--json", *STAGING))["number"]
    wait_until(lambda: len(marks(folder)) > runs, "the job began")
    return number


def marks(folder: Path) -> list[str]:
    """Return a line for each time that the job began."""
    file = folder / "marks"
    return file.read_text().splitlines() if file.exists() else []


def finish(node: Serving, folder: Path, number: int) -> None:
    """Let the job end, and wait for the end of its deployment."""
    (folder / "go").touch()
    run(node, "deployment", "watch", str(number), *STAGING)


def change(nodes: tuple[Serving, Serving], count: int) -> None:
    """Change the pipeline by all nodes in turn; each change needs the one before it, which another node made."""
    for number in range(count):
        writer, reader = nodes[number % 2], nodes[1 - number % 2]
        before = json.loads(run(reader, "environment", "stage", "list", "--json", *STAGING))["version"]
        edit = "-n", "extra", "--new-description", f"change {number}", "--expected-version", str(before)
        run(writer, "environment", "stage", "edit", *edit, *STAGING)


def test_deployments_move_between_versions_and_no_event_is_lost(database: str, data: Path) -> None:
    provide()
    folders = data / "earlier", data / "present", data / "job", data / "worker"
    for folder in folders[:3]:
        folder.mkdir()
    job, worker = folders[2:]
    earlier, present = EarlierServing(folders[0]), Serving(folders[1])
    options = "--database", database, "--no-worker"
    try:
        earlier.start(*options)
        run(earlier, "project", "create", "-n", "Shop")
        run(earlier, "environment", "create", "-n", "staging", "--project", "Shop")
        run(earlier, "service", "add", "-n", "job", "-t", "job", "--directory", str(job), "--run", JOB, *STAGING)
        run(earlier, "environment", "stage", "create", "-n", "extra", *STAGING)
        present.start(*options, "--issue-token", "--traces", "http://127.0.0.1:9")  # its events have a new field
        change((earlier, present), 6)
        with working(earlier, database, worker):
            first = begin(present, job)
        with working(present, database, worker):  # it adopts the running job
            finish(earlier, job, first)
            second = begin(earlier, job)
        with working(earlier, database, worker):  # the upgrade is taken back
            finish(present, job, second)
            third = begin(present, job)
        with working(present, database, worker):
            change((present, earlier), 6)
            earlier.stop()
            finish(present, job, third)
            fourth = begin(present, job)
            finish(present, job, fourth)
        assert len(marks(job)) == 4
        listed = json.loads(run(present, "deployment", "list", "--json", *STAGING))["deployments"]
        assert {each["number"]: each["status"] for each in listed} == dict.fromkeys((1, 2, 3, 4), "SUCCEEDED")
        run(present, "audit", "export", "-o", "log.jsonl")
        run(present, "audit", "verify", "log.jsonl")
        exported = (folders[1] / "log.jsonl").read_text()
        assert exported.count("change ") == 12
        assert exported.count('\\"trace\\":\\"00-') == 3  # of the deployments that the present version was asked for
        assert present.stageline("fsck", "--database", database).returncode == 0
        texts = [log.read_text() for log in (earlier.log, present.log, worker.with_suffix(".log"))]
        assert [line for text in texts for line in text.splitlines() if " ERROR " in line] == []
    finally:
        earlier.close()
        present.close()


def test_an_earlier_version_refuses_archived_events_and_writes_nothing_wrong(database: str, data: Path) -> None:
    provide()
    folders = data / "earlier", data / "present"
    for folder in folders:
        folder.mkdir()
    earlier, present = EarlierServing(folders[0]), Serving(folders[1])
    archive = "--database", database, "--archive", str(data / "archive")
    try:
        earlier.start("--database", database)
        run(earlier, "project", "create", "-n", "Shop")
        run(earlier, "environment", "create", "-n", "staging", "--project", "Shop")
        run(earlier, "service", "add", "-n", "job", "-t", "job", "--directory", str(data), "--run", "true", *STAGING)
        run(earlier, "environment", "deploy", "--watch", *STAGING)
        run(earlier, "audit", "export", "-o", "before.jsonl")
        assert "of 1 deployments" in run(present, "archive", "--older-than", "1s", *archive)
        earlier.stop()
        earlier.start("--database", database)  # nothing that it needs is archived
        assert earlier.stageline("deployment", "watch", "1", *STAGING).returncode != 0
        assert "a newer version of Stageline wrote it" in earlier.log.read_text()
        run(earlier, "project", "create", "-n", "Other")
        assert earlier.stageline("redeploy", *STAGING).returncode != 0
        run(earlier, "environment", "stage", "create", "-n", "extra", *STAGING)
        earlier.stop()
        present.start(*archive, "--issue-token")
        run(present, "deployment", "watch", "1", *STAGING)
        run(present, "audit", "export", "-o", "after.jsonl")
        before, after = (folders[0] / "before.jsonl").read_text(), (folders[1] / "after.jsonl").read_text()
        assert after.startswith(before)
        run(present, "audit", "verify", "after.jsonl")
        run(present, "fsck", *archive)
    finally:
        earlier.close()
        present.close()


class Tomorrow(msgspec.Struct, frozen=True):
    """An event of a later version."""


@pytest.fixture
def is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one of a later version, which has another event."""
    tomorrow: type[Event] = Tomorrow
    monkeypatch.setitem(codec.TYPES, "pipeline.Tomorrow", tomorrow)
    monkeypatch.setitem(codec.NAMES, tomorrow, "pipeline.Tomorrow")
    monkeypatch.setitem(codec._decoders, "pipeline.Tomorrow", msgspec.json.Decoder(Tomorrow).decode)


@pytest.mark.usefixtures("is_newer")
async def test_a_node_leaves_events_of_a_newer_version_to_nodes_that_know_them(database: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--database", database) as older:  # it holds the lease of the read models
        run(older, "project", "create", "-n", "Shop")
        log, views = await PostgresLog.open(database), await PostgresViews.open(database)
        newer = SharedProjector(log, views, PROJECTIONS)
        try:
            await newer.start()
            await log.append([StreamChange(stream=ids.new(), expected=0, events=(Tomorrow(),))], ANN)
            await newer.wait_for(await log.position(), PATIENCE)
            run(older, "project", "create", "-n", "Other")  # a change that needs no newer event is made
            await newer.wait_for(await log.position(), PATIENCE)
            assert newer.is_active
            async with httpx.AsyncClient(base_url=older.url, trust_env=False) as client:
                live, ready = await client.get("/livez"), await client.get("/readyz")
            assert (live.status_code, ready.status_code) == (200, 503)
            assert "a newer version of Stageline wrote it" in ready.text
            listed = older.stageline("project", "list")
            assert listed.returncode == 3, listed.stdout
            assert "is unavailable" in listed.stderr
        finally:
            await newer.stop()
            await views.close()
            await log.close()
