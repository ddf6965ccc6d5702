"""What a page of a stream costs, and following it: no more than is shown, however long the stream is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from store import feed
from store.sqlite.log import SqliteLog
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, served
from tests.gql.test_environment_event import follow

SERVICES = 150
PAGE = 5
NAMES = 500
"""Events at most that are read for the names in a page, behind a snapshot."""


class Reads:
    """What was read of the log meanwhile: by how many statements, and how many rows."""

    def __init__(self) -> None:
        self.statements = self.rows = 0


@contextmanager
def reading() -> Iterator[Reads]:
    reads, select = Reads(), SqliteLog._select

    async def counted(log: SqliteLog, *arguments: object) -> list[object]:
        found: list[object] = await select(log, *arguments)  # type: ignore[arg-type]  # those that it was given
        reads.statements += 1
        reads.rows += len(found)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SqliteLog, "_select", counted)
        yield reads


@pytest.fixture(scope="module")
def stageline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("long")) as made:
        yield made


@pytest.fixture(scope="module")
def long(stageline: Stageline) -> Environment:
    """An environment with a long history, and another beside it."""
    made = Environment(stageline)
    Environment(stageline)
    for is_skipped in (False, True, False, True, False, True, True):
        services = [
            {
                "name": f"service {number}",
                "type": "JOB",
                "isSkipped": is_skipped and number > 10,
                "spec": {"runCommand": "true"},
            }
            for number in range(SERVICES)
        ]
        services += [{"name": "first", "type": "JOB", "spec": {"runCommand": "true", "buildCommands": ["true"]}}]
        made.do("applyPipeline", document=json.dumps({"stages": [{"name": "Jobs", "services": services}]}))
    return made


@pytest.fixture(scope="module")
def over(long: Environment) -> Data:
    """A deployment that is over."""
    return long.end(long.do("deploy"))


def edges(stageline: Stageline, field: str, **subject: object) -> list[Data]:
    """All of a connection."""
    found: list[Data] = []
    while True:
        after = {"after": found[-1]["cursor"]} if found else {}
        page = stageline.query(field, first=500, **subject, **after)
        found += page["edges"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


@pytest.mark.parametrize("part", [{"first": PAGE}, {"last": PAGE}], ids=["forwards", "backwards"])
def test_a_page_of_a_long_pipelines_events_costs_a_page(long: Environment, part: Data) -> None:
    _check(long.stageline, "pipelineEvents", part, NAMES, environment=long.id)


@pytest.mark.parametrize("part", [{"first": PAGE}, {"last": PAGE}], ids=["forwards", "backwards"])
def test_a_page_of_a_deployments_events_costs_a_page(long: Environment, over: Data, part: Data) -> None:
    _check(long.stageline, "deploymentEvents", part, 0, deployment=over["id"])


def _check(stageline: Stageline, field: str, part: Data, names: int, **subject: object) -> None:
    whole = edges(stageline, field, **subject)
    side, step = ("after", 1) if "first" in part else ("before", -1)
    for place in range(0, len(whole), max(1, len(whole) // 12)):
        with reading() as reads:
            page = stageline.query(field, **part, **subject, **{side: whole[place]["cursor"]})
        near = whole[place + 1 : place + 1 + PAGE] if step > 0 else whole[max(0, place - PAGE) : place]
        assert page["edges"] == near
        assert reads.statements <= 9, place
        assert reads.rows <= PAGE + names + 9, place
    with reading() as reads:
        assert stageline.query(field, **part, **subject)["edges"] == (whole[:PAGE] if step > 0 else whole[-PAGE:])
    assert reads.rows <= PAGE + names + 9


def test_who_is_behind_reads_only_the_streams_of_the_environment_and_from_there(
    long: Environment, over: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL_SIZE", 4)  # so that nobody is fed from memory
    other = Environment(long.stageline)
    for number in range(30):
        other.do("createStage", name=f"Elsewhere {number}")
    last = long.do("createStage", name="Last")
    for number in range(3):
        other.do("createStage", name=f"At the end {number}")
    with reading() as reads:
        closed, created = islice(follow(long, over["cursor"]), 2)
    assert (closed["queueEventType"], created["version"]) == ("DEPLOYMENT_CLOSED", last["version"])
    assert 0 < reads.rows <= 25
