"""The check before a stage: what passes, what does not, and what it never does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest
from msgspec.structs import replace

from domain import pipeline as pipelines
from domain.deployment.step import Status
from domain.pipeline.gate import StageCheck
from domain.pipeline.stage import EditStage, StagePolicy
from projections.words.deployment import cause_words
from runner.check import find_problem, wait_until_passed
from store.memory import MemoryLog
from store.sqlite.output import MemoryOutput
from tests.runner.target import fixed_port
from tests.runner.world import ANN, UNBUILT, World

OK, AWAY, MOVED = "200 OK", "503 Service Unavailable", "302 Found\r\nLocation: http://127.0.0.1:{port}/elsewhere"


class Site:
    """Answers one status after another, the last one again and again."""

    def __init__(self, *statuses: str) -> None:
        self._statuses: Iterator[str] = chain(statuses, repeat(statuses[-1]))
        self.requests: list[str] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        status = next(self._statuses).format(port=self.url.rpartition(":")[2])
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def site(*statuses: str) -> AsyncIterator[Site]:
    made = Site(*statuses)
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("200 OK", None),
        ("204 No Content", None),
        ("299 Odd", None),
        ("100 Continue\r\n\r\nHTTP/1.1 200 OK", None),
        ("302 Found", "the status was 302"),
        ("404 Not Found", "the status was 404"),
        ("503 Service Unavailable", "the status was 503"),
    ],
)
async def test_a_status_from_200_to_299_passes(status: str, problem: str | None) -> None:
    async with site(status) as asked:
        assert await find_problem(f"{asked.url}/up?deep=1&name=a%20b") == problem
        (request,) = asked.requests
    assert request.startswith("GET /up?deep=1&name=a%20b HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_redirect_is_not_followed() -> None:
    async with site(MOVED) as asked:
        assert await find_problem(asked.url) == "the status was 302"
        assert len(asked.requests) == 1


async def test_what_does_not_answer_in_http_does_not_pass() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await find_problem(f"http://127.0.0.1:{port}") == "no HTTP response"
        assert (await find_problem(f"https://127.0.0.1:{port}") or "").startswith("no secure connection: ")
    assert await find_problem(f"http://127.0.0.1:{fixed_port()}") == "no connection"


async def test_a_check_is_tried_until_it_passes() -> None:
    async with site(AWAY, AWAY, OK) as asked:
        assert await wait_until_passed(StageCheck(url=asked.url, interval=0.01), None) is None
        assert len(asked.requests) == 3


async def test_a_check_tells_another_answer_than_before_but_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    check = StageCheck(url="", interval=0.01)
    for pause, expected in ((0.0, ["the status was 503", "the status was 302"]), (60.0, ["the status was 503"])):
        monkeypatch.setattr("runner.check.ANSWER_PAUSE", pause)
        told.clear()
        async with site(AWAY, AWAY, MOVED, OK) as asked:
            assert await wait_until_passed(replace(check, url=asked.url), None, told.append) is None
        assert told == expected


async def test_the_last_answer_of_a_check_is_in_what_its_deployment_waits_for() -> None:
    async with World(MemoryLog(), MemoryOutput()).standing() as world, site(AWAY) as asked:
        environment = await world.environment(["api"], spec=UNBUILT)
        policy = StagePolicy(check=StageCheck(url=asked.url, interval=0.02))
        await world.handler.handle(pipelines.decider, environment, EditStage(stage="stage 0", policy=policy), ANN)
        id_ = await world.request(environment)
        driving = asyncio.create_task(world.runner().drive(id_))
        await world.reaches(id_, "StageCheckAnswered")
        cause = (await world.deployment(id_)).cause
        assert cause is not None
        assert cause.answered_at is not None
        last = f"; last: the status was 503 since {cause.answered_at:%H:%M:%S} UTC"
        assert cause_words(cause).endswith(last)
        driving.cancel()


async def test_a_check_says_why_it_did_not_pass_in_time() -> None:
    async with site(AWAY) as asked:
        check = StageCheck(url=asked.url, interval=0.05, timeout=0.2)
        late = datetime.now(UTC) + timedelta(hours=2)  # the clock was set back since
        assert await wait_until_passed(check, late) == "it did not pass within 0.2 s: the status was 503"
        tries = len(asked.requests)
        assert 1 < tries <= 5
        past = datetime.now(UTC) - timedelta(hours=2)
        assert await wait_until_passed(check, past) is not None
        assert len(asked.requests) == tries + 1


@pytest.mark.parametrize(("statuses", "status"), [((AWAY, OK), Status.SUCCEEDED), ((AWAY,), Status.FAILED)])
async def test_a_stage_waits_for_its_time_and_for_its_check(statuses: tuple[str, ...], status: Status) -> None:
    async with World(MemoryLog(), MemoryOutput()).standing() as world, site(*statuses) as asked:
        environment = await world.environment(["api"], spec=UNBUILT)
        check = StageCheck(url=asked.url, interval=0.02, timeout=1)
        policy = StagePolicy(wait=0.05, check=check)
        await world.handler.handle(pipelines.decider, environment, EditStage(stage="stage 0", policy=policy), ANN)
        id_ = await world.request(environment)
        driving = asyncio.create_task(world.runner().drive(id_))
        await world.reaches(id_, "StageCheckStarted")
        if status is Status.SUCCEEDED:  # another worker goes on with it
            driving.cancel()
            driving = asyncio.create_task(world.runner().drive(id_))
        assert (await driving).status is status
        names = await world.recorded(id_)
    end = (
        ["StageStarted", "ServiceDeployStarted"] if status is Status.SUCCEEDED else ["ServiceCancelled", "StageFailed"]
    )
    last = "StageCheckPassed" if status is Status.SUCCEEDED else "StageCheckFailed"
    gates = [name for name in names if name.startswith(("StageWait", "StageCheck")) and name != "StageCheckAnswered"]
    assert gates == ["StageWaitStarted", "StageWaitEnded", "StageCheckStarted", last]
    assert names.count("StageCheckAnswered") <= 1
    assert names[names.index(last) + 1 :][:2] == end
