"""Long queries: they hold nobody up, and answer what they would have answered."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from copy import deepcopy
from functools import partial
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gql.aside import AT_ONCE, Aside, elsewhere, encoded
from gql.context import Application
from gql.cost import LONG_COST
from store import ids
from tests.gql.stageline import Stageline

APPLICATION = cast("Application", object())
"""Nothing is wanted of it here."""

PATIENCE = 10.0


@pytest.fixture
async def aside() -> AsyncIterator[Aside]:
    made = Aside(APPLICATION)
    yield made
    await asyncio.wait_for(made.stop(), PATIENCE)


async def test_others_go_on_while_something_long_is_carried_out(aside: Aside) -> None:
    begun, others = threading.Event(), threading.Event()

    async def work(application: Application) -> bool:
        assert application is APPLICATION
        begun.set()
        return others.wait(PATIENCE)  # as long as that, nothing else goes on in this thread

    long = asyncio.create_task(aside.carry_out(work))
    while not begun.is_set():
        await asyncio.sleep(0)
    others.set()
    assert await long


async def test_what_is_too_much_at_once_waits_in_order(aside: Aside) -> None:
    begun: list[int] = []
    may_end = [threading.Event() for _ in range(AT_ONCE + 2)]

    async def work(number: int, _: Application) -> None:
        begun.append(number)
        while not may_end[number].is_set():
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(aside.carry_out(partial(work, n))) for n in range(len(may_end))]
    while len(begun) < AT_ONCE:
        await asyncio.sleep(0)
    may_end[1].set()
    await tasks[1]
    while len(begun) == AT_ONCE:
        await asyncio.sleep(0)
    assert begun == [*range(AT_ONCE + 1)]
    for each in may_end:
        each.set()
    await asyncio.gather(*tasks)
    assert begun == [*range(AT_ONCE + 2)]


async def test_what_nobody_waits_for_any_more_is_cancelled(aside: Aside) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work(_: Application) -> None:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    long = asyncio.create_task(aside.carry_out(work))
    while not begun.is_set():
        await asyncio.sleep(0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert await asyncio.to_thread(cancelled.wait, PATIENCE)


async def test_what_is_not_over_at_the_end_is_cancelled() -> None:
    aside, begun = Aside(APPLICATION), threading.Event()

    async def work(_: Application) -> None:
        begun.set()
        await asyncio.sleep(PATIENCE)

    long = asyncio.create_task(aside.carry_out(work))
    while not begun.is_set():
        await asyncio.sleep(0)
    await asyncio.wait_for(aside.stop(), PATIENCE)
    with pytest.raises(asyncio.CancelledError):
        await long


async def test_nothing_has_to_be_stopped_that_was_never_wanted() -> None:
    await Aside(APPLICATION).stop()


async def test_a_part_is_used_on_the_loop_that_it_belongs_to(aside: Aside) -> None:
    class Part:
        name = "part"

        async def loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        async def fail(self) -> None:
            raise LookupError("as it is here")

    part = elsewhere(Part())

    async def work(_: Application) -> tuple[str, bool]:
        with pytest.raises(LookupError, match="as it is here"):
            await part.fail()
        return part.name, await part.loop() is asyncio.get_running_loop()

    assert await aside.carry_out(work) == ("part", False)
    assert await part.loop() is asyncio.get_running_loop()


async def test_full_collections_of_garbage_are_put_off_meanwhile_and_no_longer(aside: Aside) -> None:
    usual = gc.get_threshold()

    async def work(_: Application) -> tuple[int, ...]:
        return gc.get_threshold()

    young, middle, old = await aside.carry_out(work)
    assert (young, middle) == usual[:2]
    assert old > usual[2]
    assert gc.get_threshold() == usual


class Thing(Struct, rename="camel"):
    an_item: Any
    list: Any


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=50) | st.dictionaries(st.text(), inner) | st.builds(Thing, inner, inner),
)


@given(json)
def test_what_is_encoded_piece_by_piece_is_what_it_is_at_once(value: Any) -> None:
    assert encoded(deepcopy(value)) == msgspec.json.encode(value)


PAGE = """query ($environment: ID!, $first: Int!) {
  pipelineHistory(environment: $environment, first: $first) { edges { node { id version message } } }
}"""
DIFFERENCE = """query ($environment: ID!, $to: Int!) {
  pipelineDiff(environment: $environment, from: { version: 1 }, to: { version: $to }) { differences { message } }
}"""


@pytest.fixture
def environment(stageline: Stageline) -> str:
    """One whose pipeline is at version 8."""
    project = stageline.do("createProject", name=f"Shop {ids.new()}")["id"]
    made: str = stageline.do("createEnvironment", project=project, name="Production")["environment"]["id"]
    for number in range(3):
        stageline.do("createStage", environment=made, name=f"Stage {number}")
    return made


def test_a_long_query_has_the_same_answer_whichever_way_it_comes(stageline: Stageline, environment: str) -> None:
    asked = {"environment": environment, "first": 500}
    assert LONG_COST < 500 * 5
    whole = stageline.execute(PAGE, **asked)
    assert [each["node"]["version"] for each in whole["pipelineHistory"]["edges"]] == [*range(8, 0, -1)]
    assert whole == stageline.execute(PAGE, **{**asked, "first": 8})
    headers = {"authorization": f"Bearer {stageline.token}", "accept": "text/event-stream"}
    events = stageline.send(json={"query": PAGE, "variables": asked}, headers=headers).text
    assert msgspec.json.encode({"data": whole}).decode() in events
    with stageline.socket() as socket:
        socket.subscribe("1", PAGE, **asked)
        assert socket.receive()["payload"] == {"data": whole}


def test_a_long_query_knows_what_was_done_before_it(stageline: Stageline, environment: str) -> None:
    for number in range(20):
        stageline.do("createStage", environment=environment, name=f"Another {number}")
        edges = stageline.execute(PAGE, environment=environment, first=500)["pipelineHistory"]["edges"]
        assert edges[0]["node"]["version"] == 9 + number


def test_what_is_wrong_with_a_long_query_is_told_as_usual(stageline: Stageline, environment: str) -> None:
    (error,) = stageline.ask(DIFFERENCE, environment=environment, to=99)["errors"]
    assert error["extensions"]["code"] == "VERSION_NOT_FOUND"
    assert error["path"] == ["pipelineDiff"]
    found = stageline.execute(DIFFERENCE, environment=environment, to=8)["pipelineDiff"]["differences"]
    assert len(found) > 3
