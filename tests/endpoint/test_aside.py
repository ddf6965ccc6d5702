"""Long queries: they do not delay others, and give the same answers."""

import asyncio
import gc
import sqlite3
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from weakref import ref

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Message

from endpoint.execution.aside import AT_ONCE, Aside, ClientGone, Departure, encode_pieces, on_current_loop
from endpoint.execution.compiled.query import Call, CompiledQueries, _execute
from endpoint.execution.cost import LONG_COST
from endpoint.execution.persisted import PersistedDocuments
from endpoint.http.view import View
from endpoint.identity import Credentials, Identity
from gql.context import Application, Context
from gql.contract import cursor as cursors
from gql.document.pipeline import in_thread
from gql.schema import schema
from server.components import running
from server.settings import Settings
from store import ids
from store.sqlite.log import SqliteLog
from tests.gql.stageline import Stageline
from tests.waiting import wait_until

HERE, THERE = "a context on the node's loop", "the same context in the thread"

PATIENCE = 10.0


@pytest.fixture
async def aside() -> AsyncIterator[Aside[str]]:
    made = Aside[str](lambda context: THERE)
    yield made
    async with asyncio.timeout(PATIENCE):
        await made.stop()


async def test_other_requests_run_while_a_long_query_runs(aside: Aside[str]) -> None:
    begun, others = threading.Event(), threading.Event()

    async def work(context: str) -> bool:
        assert context == THERE
        begun.set()
        return others.wait(PATIENCE)  # it blocks this thread meanwhile

    long = asyncio.create_task(aside.run(HERE, work))
    while not begun.is_set():
        await asyncio.sleep(0)
    others.set()
    assert await long


async def test_long_queries_beyond_the_limit_wait_in_order(aside: Aside[str]) -> None:
    begun: list[int] = []
    may_end = [threading.Event() for _ in range(AT_ONCE + 2)]

    async def work(number: int, _: str) -> None:
        begun.append(number)
        while not may_end[number].is_set():
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(aside.run(HERE, partial(work, n))) for n in range(len(may_end))]
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


async def test_a_long_query_is_cancelled_with_its_caller(aside: Aside[str]) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work(_: str) -> None:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    long = asyncio.create_task(aside.run(HERE, work))
    while not begun.is_set():
        await asyncio.sleep(0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert await asyncio.to_thread(cancelled.wait, PATIENCE)


async def test_a_running_query_is_cancelled_at_the_stop() -> None:
    aside, begun = Aside[str](lambda context: THERE), threading.Event()

    async def work(_: str) -> None:
        begun.set()
        await asyncio.sleep(PATIENCE)

    long = asyncio.create_task(aside.run(HERE, work))
    while not begun.is_set():
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await aside.stop()
    with pytest.raises(asyncio.CancelledError):
        await long


async def test_a_waiting_query_does_not_start_after_the_stop() -> None:
    aside, begun = Aside[str](lambda context: THERE), threading.Semaphore(0)

    async def work(_: str) -> None:
        begun.release()
        await asyncio.sleep(PATIENCE)

    waiting = [asyncio.create_task(aside.run(HERE, work)) for _ in range(AT_ONCE + 2)]
    for _ in range(AT_ONCE):
        assert await asyncio.to_thread(begun.acquire, timeout=PATIENCE)
    async with asyncio.timeout(PATIENCE):
        await aside.stop()
    async with asyncio.timeout(PATIENCE):
        told = await asyncio.gather(*waiting, aside.run(HERE, work), return_exceptions=True)
    assert {type(each) for each in told} == {asyncio.CancelledError}
    assert not begun.acquire(blocking=False)


async def test_a_query_whose_client_left_frees_its_turn(aside: Aside[str]) -> None:
    begun, cancelled = threading.Semaphore(0), threading.Semaphore(0)
    has_left = asyncio.Event()

    async def work(_: str) -> None:
        begun.release()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            cancelled.release()

    async def gone() -> None:
        await has_left.wait()

    asked = [asyncio.create_task(aside.run(HERE, work, gone)) for _ in range(AT_ONCE + 2)]
    for _ in range(AT_ONCE):
        assert await asyncio.to_thread(begun.acquire, timeout=PATIENCE)
    has_left.set()
    assert {type(each) for each in await asyncio.gather(*asked, return_exceptions=True)} == {ClientGone}
    for _ in range(AT_ONCE):
        assert await asyncio.to_thread(cancelled.acquire, timeout=PATIENCE)
    assert not begun.acquire(blocking=False), "who has left before their turn never has one"

    async def short(_: str) -> int:
        return 1

    assert await aside.run(HERE, short, departure=asyncio.Event().wait) == 1


async def test_a_thread_that_never_started_can_be_stopped() -> None:
    await Aside[str](lambda context: THERE).stop()


async def test_a_part_runs_on_the_loop_that_owns_it(aside: Aside[str]) -> None:
    class Part:
        name = "part"

        async def loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        async def fail(self) -> None:
            raise LookupError("as it is here")

    part = on_current_loop(Part())

    async def work(_: str) -> tuple[str, bool]:
        with pytest.raises(LookupError, match="as it is here"):
            await part.fail()
        return part.name, await part.loop() is asyncio.get_running_loop()

    assert await aside.run(HERE, work) == ("part", False)
    assert await part.loop() is asyncio.get_running_loop()


class Fault(Exception):
    """The fault of some work."""


async def fault_of(work: Awaitable[object]) -> "ref[Fault]":
    try:
        await work
    except Fault as fault:
        return ref(fault)
    raise AssertionError("the work fails")


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("departure", [None, asyncio.Event().wait])
async def test_a_fault_is_freed_without_a_collection(aside: Aside[str], departure: Departure | None) -> None:
    class Part:
        async def fail(self) -> None:
            raise Fault

    part = on_current_loop(Part())

    async def work(_: str) -> None:
        await part.fail()

    fault = await fault_of(aside.run(HERE, work, departure))
    await asyncio.sleep(0)
    wait_until(lambda: fault() is None, "the fault is freed")


@pytest.mark.usefixtures("no_collections")
async def test_a_fault_of_a_document_is_freed_without_a_collection() -> None:
    def read() -> None:
        raise Fault

    fault = await fault_of(in_thread(read))
    await asyncio.sleep(0)
    wait_until(lambda: fault() is None, "the fault is freed")


class Thing(Struct, rename="camel"):
    an_item: Any
    list: Any


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=50) | st.dictionaries(st.text(), inner) | st.builds(Thing, inner, inner),
)


@given(json)
def test_a_value_encoded_in_pieces_equals_the_value_encoded_at_once(value: Any) -> None:
    assert encode_pieces(deepcopy(value)) == msgspec.json.encode(value)


PAGE = """query ($environment: ID!, $first: Int!) {
  pipelineHistory(environment: $environment, first: $first) { edges { node { id version message } } }
}"""
DIFFERENCE = """query ($environment: ID!, $to: Int!) {
  pipelineDiff(environment: $environment, from: { version: 1 }, to: { version: $to }) {
    differences { change { message } }
  }
}"""


@pytest.fixture
def environment(stageline: Stageline) -> str:
    """An environment whose pipeline is at version 8."""
    project = stageline.do("createProject", name=f"Shop {ids.new()}")["id"]
    made: str = stageline.do("createEnvironment", project=project, name="Production")["environment"]["id"]
    for number in range(3):
        stageline.do("createStage", environment=made, name=f"Stage {number}")
    return made


def test_a_long_query_has_the_same_answer_over_every_transport(stageline: Stageline, environment: str) -> None:
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


def test_a_long_query_contains_earlier_changes(stageline: Stageline, environment: str) -> None:
    for number in range(20):
        stageline.do("createStage", environment=environment, name=f"Another {number}")
        edges = stageline.execute(PAGE, environment=environment, first=500)["pipelineHistory"]["edges"]
        assert edges[0]["node"]["version"] == 9 + number


def test_errors_of_a_long_query_are_reported_as_usual(stageline: Stageline, environment: str) -> None:
    (error,) = stageline.ask(DIFFERENCE, environment=environment, to=99)["errors"]
    assert error["extensions"]["code"] == "VERSION_NOT_FOUND"
    assert error["path"] == ["pipelineDiff"]
    found = stageline.execute(DIFFERENCE, environment=environment, to=8)["pipelineDiff"]["differences"]
    assert len(found) > 3


LONG = "{ history(first: 500) { edges { node { id message } } } }"

AHEAD = """query ($at: String!) { history(first: 500, atLeast: $at) { edges { node { id message } } } }"""
"""A query that waits for a position that the log has not reached."""


class PendingRequest:
    """A request that is sent to *view*."""

    def __init__(self, view: View, application: Application, query: str) -> None:
        self.application = application
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        at = cursors.of_position(application.log.epoch, 1000)
        body = msgspec.json.encode({"query": query, "variables": {"at": at}})
        self.messages.put_nowait({"type": "http.request", "body": body})
        self._sent: list[Message] = []
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
        self.answering = asyncio.create_task(view(scope, self.messages.get, self._send))

    async def _send(self, message: Message) -> None:
        self._sent.append(message)

    async def answer(self) -> tuple[int, dict[bytes, bytes]]:
        """Return the status and the headers of the answer."""
        async with asyncio.timeout(PATIENCE):
            await self.answering
        return self._sent[0]["status"], dict(self._sent[0]["headers"])

    @property
    def message(self) -> str:
        """The message of the answer's only error."""
        (error,) = msgspec.json.decode(self._sent[1]["body"])["errors"]
        told: str = error["message"]
        return told


@pytest.fixture(params=[True, False], ids=["compiled", "not compiled"])
async def asking(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[..., PendingRequest]]:
    async def authenticate(_: Credentials) -> Identity:
        return Identity("admin", ids.new())

    async with running(Settings(data=tmp_path)) as parts:
        compiled = CompiledQueries(schema) if request.param else None
        view = View(schema, lambda: parts.backend, authenticate, Response(), PersistedDocuments(), compiled=compiled)
        yield lambda query=AHEAD: PendingRequest(view, parts.application, query)


async def _begun(asked: PendingRequest) -> None:
    """Wait until the query is parsed and waits for its position."""
    while not asked.messages.empty() or not asked.application.projector._waiters:
        await asyncio.sleep(0)


async def test_a_query_of_a_client_that_left_is_not_executed(asking: Callable[..., PendingRequest]) -> None:
    asked = asking(LONG)
    asked.messages.put_nowait({"type": "http.disconnect"})
    assert (await asked.answer())[0] == 499


async def test_a_stopping_server_answers_a_waiting_client(asking: Callable[..., PendingRequest]) -> None:
    asked = asking()
    await _begun(asked)
    asked.answering.cancel()
    status, headers = await asked.answer()
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert asked.message.startswith("Temporarily unavailable, and nothing was written: try again; ")


async def test_a_mutation_interrupted_by_the_stop_is_reported_as_possibly_done(
    asking: Callable[..., PendingRequest], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # blocks other writers
        asked = asking('mutation { createProject(name: "Shop") { __typename } }')
        while cast("SqliteLog", asked.application.log)._writing is None:
            await asyncio.sleep(0)
        asked.answering.cancel()
        assert (await asked.answer())[0] == 503
    assert asked.message.startswith("The outcome is unknown: try again with the same idempotencyKey")


async def test_a_query_that_waits_for_a_position_takes_no_turn(asking: Callable[..., PendingRequest]) -> None:
    ahead = [asking() for _ in range(AT_ONCE + 1)]
    await _begun(ahead[-1])
    assert (await asking(LONG).answer())[0] == 200
    assert not any(each.answering.done() for each in ahead)
    for each in ahead:
        each.answering.cancel()
        await each.answer()


async def test_fields_cancelled_before_they_start_leave_no_warning() -> None:
    async def resolve(_: Context) -> None: ...

    nobody: Any = SimpleNamespace(watched=lambda: None)
    field: Any = SimpleNamespace(key="a"), resolve
    work = asyncio.create_task(_execute(Call([field, field], {}, is_long=False), nobody, lambda _: b"", {}, {}))
    await asyncio.sleep(0)  # its fields are about to start
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        gc.collect()
    assert warned == []
