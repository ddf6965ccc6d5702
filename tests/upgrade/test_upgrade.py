"""A data folder and a database written by an earlier version (commit abd754d), read and continued. See `write`."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import postgres
from tests.serving import Serving
from tests.upgrade.readings import EVENTS, STAGING, event_id, read

NAMES = {
    "homeOf": "defaultForType",
    "directory": "workingDirectory",
    "build": "buildCommands",
    "run": "runCommand",
    "buildTimeout": "buildTimeoutSeconds",
    "deployTimeout": "deployTimeoutSeconds",
    "stopGrace": "stopGraceSeconds",
    "health": "healthCheck",
    "interval": "intervalSeconds",
    "timeout": "timeoutSeconds",
    "startPeriod": "startPeriodSeconds",
}
"""The names that fields of a pipeline document had, and those of today."""

HERE = Path(__file__).parent

FOLLOW = """
subscription ($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after) { id version }
}
"""


@dataclass
class Upgrade:
    """A server of today over the data of yesterday, and what the earlier server answered."""

    server: Serving
    options: tuple[str, ...]
    answers: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def environment(self) -> str:
        id_: str = self.answers["environment"]["id"]
        return id_

    def run(self, *arguments: str) -> str:
        done = self.server.stageline(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def follow(self, after: str | None, count: int) -> list[Any]:
        """Return the first *count* pipeline events after a cursor, as a subscription sends them."""
        request = {"query": FOLLOW, "variables": {"environment": self.environment, "after": after}}
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {self.server.token}"}
        found: list[Any] = []
        url = f"{self.server.url}/graphql"
        with httpx.stream("POST", url, json=request, headers=headers, timeout=60, trust_env=False) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and (content := line.removeprefix("data:").strip()):
                    event = json.loads(content)["data"]["pipelineEvents"]
                    found.append(event | {"id": event_id(event["id"])})
                if len(found) == count:
                    break
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def upgrade(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    folder = tmp_path_factory.mktemp(request.param)
    with tarfile.open(HERE / f"{request.param}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    known = json.loads((folder / "known.json").read_text())
    server = Serving(folder)
    (server.config / "stageline").mkdir(parents=True)
    (server.config / "stageline/config.json").write_text(json.dumps({"tokens": {server.url: known["token"]}}))
    if request.param == "sqlite":
        yield from serve(Upgrade(server, (), known["answers"], known["events"]))
        return
    with postgres.created(request.getfixturevalue("postgres"), "template0") as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute((folder / "dump.sql").read_bytes())
        yield from serve(Upgrade(server, ("--database", dsn), known["answers"], known["events"]))


def serve(upgrade: Upgrade) -> Iterator[Upgrade]:
    upgrade.server.start(*upgrade.options)
    try:
        yield upgrade
    finally:
        upgrade.server.close()


CHANGES = """
query ($environment: ID!, $old: String!) {
  documentDiff(environment: $environment, document: $old) { differences { change { message } } }
}
"""


def test_everything_reads_as_before(upgrade: Upgrade) -> None:
    answers, before = read(upgrade.server.execute), dict(upgrade.answers)
    document = before.pop("document")["exportPipeline"]
    assert {name: answer for name, answer in answers.items() if name != "document"} == before
    document = re.sub(r"\b(\w+)(?=:)", lambda name: NAMES.get(name[1], name[1]), document)
    changes = upgrade.server.execute(CHANGES, environment=upgrade.environment, old=document)["documentDiff"]
    assert changes == {"differences": []}  # it had default values, which are left out now


def test_an_old_cursor_is_resumed_by_a_page_and_by_a_stream(upgrade: Upgrade) -> None:
    half = len(upgrade.events) // 2
    after, rest = upgrade.events[half - 1]["cursor"], upgrade.events[half:]
    page = upgrade.server.execute(EVENTS, environment=upgrade.environment, after=after)["pipelineEvents"]["edges"]
    for edge in page:
        edge["node"]["id"] = event_id(edge["node"]["id"])
    assert page[: len(rest)] == rest
    assert upgrade.follow(after, len(rest)) == [edge["node"] for edge in rest]
    assert upgrade.follow(None, len(upgrade.events)) == [edge["node"] for edge in upgrade.events]


def test_the_read_models_agree_with_the_log(upgrade: Upgrade) -> None:
    upgrade.server.stop()
    data = ("--data", str(upgrade.server.data))
    checked = json.loads(upgrade.run("fsck", "--json", *data, *upgrade.options))
    upgrade.server.start(*upgrade.options)
    assert checked["findings"] == []
    assert checked["logPosition"] >= len(upgrade.events)


def test_the_environment_is_changed_and_deployed_again(upgrade: Upgrade) -> None:
    before = upgrade.answers["pipeline"]["pipeline"]["version"]
    upgrade.run("environment", "stage", "create", "-n", "Later", *STAGING)
    assert "deployment 3 succeeded" in upgrade.run("environment", "deploy", "--watch", *STAGING)
    pipeline = read(upgrade.server.execute)["pipeline"]["pipeline"]
    assert pipeline["version"] == before + 1
    last = upgrade.events[-1]["cursor"]
    assert upgrade.follow(last, 1)[0]["version"] == before + 1


def test_an_export_agrees_with_the_head_that_was_signed_before(upgrade: Upgrade) -> None:
    folder = upgrade.server.folder
    upgrade.run("audit", "export", "-o", "log.jsonl")
    upgrade.run("audit", "verify", "log.jsonl", "--head", "head.json", "--key", "public.pem")
    upgrade.run("audit", "verify", "--live")
    upgrade.run("audit", "key", "-o", "key.pem")
    assert (folder / "key.pem").read_text() == (folder / "public.pem").read_text()
    lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    altered = folder / "altered.jsonl"
    altered.write_text("".join(lines[:2] + lines[3:]))
    assert upgrade.server.stageline("audit", "verify", "altered.jsonl").returncode != 0


@pytest.mark.long
def test_a_read_model_is_rebuilt_from_the_old_log(upgrade: Upgrade) -> None:
    """As when a later version raises the version of each."""
    before = read(upgrade.server.execute)
    upgrade.server.stop()
    if upgrade.options:
        with psycopg.connect(upgrade.options[1], autocommit=True) as connection:
            connection.execute("UPDATE checkpoints SET version = 0")
    else:
        for file in upgrade.server.data.glob("views.db*"):
            file.unlink()
    upgrade.server.start(*upgrade.options)
    assert read(upgrade.server.execute) == before
