"""Waiting for a database that can't be reached just now."""

import pytest

from application.handler import Handler
from domain import project as projects
from domain.project import CreateProject
from runner.retry import backoff, follow, retry
from store.ids import new
from store.log import LogUnavailable, StreamMoved
from tests.runner.world import ANN, Faltering


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.retry.FIRST_PAUSE", 0.001)


def test_the_pauses_double_up_to_the_longest() -> None:
    waits = backoff()
    first = [next(waits) for _ in range(20)]
    assert first[:3] == [0.001, 0.002, 0.004]
    assert first[-1] == 5.0


@pytest.mark.parametrize("refusal", [LogUnavailable("the disk is full"), StreamMoved(new(), 1, 2)])
async def test_what_the_database_refuses_for_a_while_is_done_in_the_end(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def act() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise refusal
        return "done"

    assert await retry(act) == "done"
    assert caplog.messages == [f"Recording failed; retrying: {refusal}"]  # what lasts is said once


async def test_who_follows_gets_every_event_once_though_the_database_goes_away() -> None:
    log = Faltering()
    handler = Handler(log)
    for number in range(3):
        await handler.handle(projects.decider, new(), CreateProject(name=f"p{number}"), ANN)
    log.every = 1_000_000
    positions: list[int] = []
    async for batch in follow(log, 0):
        positions += [recorded.position for recorded in batch]
        if len(positions) < 6:
            log.every, every = None, log.every
            await handler.handle(projects.decider, new(), CreateProject(name="another"), ANN)
            log.every = every
        else:
            break
    assert positions == [1, 2, 3, 4, 5, 6]


async def test_who_follows_is_done_when_the_log_is_closed() -> None:
    log = Faltering()
    await Handler(log).handle(projects.decider, new(), CreateProject(name="p"), ANN)
    seen = 0
    async for _ in follow(log, 0):
        seen += 1
        await log.close()
    assert seen == 1
