"""The output of a step, on its way to the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType
from runner import output as outputs
from runner.output import BufferedOutput
from runner.targets.contract import StepRequest
from store.ids import new
from store.output import MAX_UNFINISHED, LineKind, OutputSelection
from store.sqlite.output import MemoryOutput
from tests.store.sample import followed, take

DEPLOYMENT, SERVICE = new(), new()


class Counting(MemoryOutput):
    """A store that counts what it is given, and keeps nothing while it has a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.appends = 0
        self.fault: Exception | None = None

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: LineKind = LineKind.LINE,
        offset: int | None = None,
    ) -> None:
        if self.fault is not None:
            raise self.fault
        await super().append(deployment, service, phase, attempt, lines, kind, offset)
        self.appends += 1

    async def texts(self) -> list[str]:
        return [line.text for line in await self.read(DEPLOYMENT, OutputSelection(service=SERVICE))]


@pytest.fixture
async def store() -> AsyncIterator[Counting]:
    store = Counting()
    yield store
    await store.close()


def attempt(number: int = 1) -> StepRequest:
    return StepRequest(
        environment=new(),
        deployment=DEPLOYMENT,
        number=1,
        service=SERVICE,
        name="api",
        type=ServiceType.APPLICATION,
        spec=ServiceSpec(),
        phase=Phase.BUILD,
        attempt=number,
    )


async def test_lines_are_kept_a_little_later_and_together(store: Counting) -> None:
    async with BufferedOutput(store, attempt()) as output:
        await output.write(["one"], 4)
        await output.write(["two", "three"], 14)
        assert await store.texts() == []
        async with asyncio.timeout(5):
            async for lines in followed(store, DEPLOYMENT):
                assert [line.text for line in lines] == ["one", "two", "three"]
                break
        assert await output.offset() == 14
    assert store.appends == 1


async def test_many_lines_are_kept_at_once(store: Counting) -> None:
    async with BufferedOutput(store, attempt()) as output:
        await output.write(["line"] * outputs.LINES, 5 * outputs.LINES)
        assert len(await store.texts()) == outputs.LINES


async def test_everything_is_kept_when_the_step_has_ended(store: Counting) -> None:
    async with BufferedOutput(store, attempt()) as output:
        await output.write(["one"], 4)
    assert await store.texts() == ["one"]


async def test_whoever_stops_watching_leaves_the_rest_to_the_next_one(store: Counting) -> None:
    async def cancelled() -> None:
        async with BufferedOutput(store, attempt()) as output:
            await output.write(["one"], 4)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cancelled()
    async with BufferedOutput(store, attempt()) as output:
        assert await output.offset() == 0


async def test_a_note_comes_behind_what_was_printed_before_it(store: Counting) -> None:
    async with BufferedOutput(store, attempt()) as output:
        await output.write(["one"], 4)
        await output.note("failed: \n no reason")
    assert [(line.kind, line.text) for line in await store.read(DEPLOYMENT)] == [
        (LineKind.LINE, "one"),
        (LineKind.NOTE, "failed: no reason"),
    ]


async def test_a_note_is_not_repeated_by_who_takes_the_attempt_up(store: Counting) -> None:
    for number in (1, 1, 2):
        async with BufferedOutput(store, attempt(number)) as output:
            await output.note("failed")
    assert await store.texts() == ["failed", "failed"]


async def test_an_unfinished_line_is_kept_until_its_end_comes(store: Counting) -> None:
    async def unfinished() -> list[str]:
        return [line.text for line in await store.unfinished(DEPLOYMENT)]

    async with BufferedOutput(store, attempt()) as output, asyncio.timeout(5):
        await output.write(["one"], 4)
        await output.show_unfinished("10%")
        await output.show_unfinished("x" * 2000)
        await take(followed(store, DEPLOYMENT), 1)
        while await unfinished() != ["x" * MAX_UNFINISHED]:
            await asyncio.sleep(0)
        await output.note("still at it")
        assert await unfinished() == []
        await output.show_unfinished("20%")
        await output.write(["30%"], 8)
    assert await unfinished() == []
    assert await store.texts() == ["one", "still at it", "30%"]


async def test_an_unfinished_line_does_not_outlive_its_step(store: Counting) -> None:
    async with BufferedOutput(store, attempt()) as output, asyncio.timeout(5):
        await output.show_unfinished("10%")
        while not await store.unfinished(DEPLOYMENT):
            await asyncio.sleep(0)
    assert await store.unfinished(DEPLOYMENT) == ()


async def interrupted(store: Counting, lines: Sequence[str]) -> None:
    """Keeps each of *lines* with time in between, in which only the first meets a fault."""
    store.fault = ValueError("a fault")
    async with BufferedOutput(store, attempt()) as output:
        for number, line in enumerate(lines, 1):
            await output.write([line], number)
            for _ in range(10):
                await asyncio.sleep(0)
            store.fault = None


@pytest.mark.parametrize("lines", [["one"], ["one", "two"]])
async def test_behind_lines_that_could_not_be_kept_nothing_is(
    store: Counting, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    monkeypatch.setattr(outputs, "PAUSE", 0)
    with pytest.raises(ValueError, match="a fault"):
        await interrupted(store, lines)
    assert await store.texts() == []
