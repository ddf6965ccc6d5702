"""The write path: what is decided holds although others decide at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from application import handler as handling
from application.handler import ATTEMPTS, Handler, Outcome, States, StreamState, Transaction
from domain import pipeline
from domain.errors import IdempotencyKeyReused, InvalidConcurrency, NameTaken, StageNotFound, VersionMismatch
from domain.pipeline.environment import CreateEnvironment, EditEnvironment
from domain.pipeline.ref import StageId
from domain.pipeline.stage import CreateStage, EditStage, StageRenamed
from domain.pipeline.state import Pipeline
from domain.project import ProjectId
from store import ids
from store.log import EventLog, LogUnavailable, StreamMoved
from store.sqlite.log import SqliteLog
from tests.store.sample import ANN, BOB, A, B, change

Work = Callable[[Transaction], Awaitable[UUID]]


def environment(name: str) -> CreateEnvironment:
    one, two, three, four = (StageId(ids.new()) for _ in range(4))
    return CreateEnvironment(project=ProjectId(ids.new()), name=name, stages=(one, two, three, four))


def stage(name: str) -> CreateStage:
    return CreateStage(stage=StageId(ids.new()), name=name)


def on(stream: UUID, *commands: pipeline.PipelineCommand, expected: int | None = None) -> Work:
    async def work(transaction: Transaction) -> UUID:
        for command in commands:
            await transaction.do(pipeline.decider, stream, command, expected)
        return stream

    return work


@pytest.fixture
async def handler(log: EventLog) -> Handler:
    """With an environment in each of the streams A and B, at version 5."""
    handler = Handler(log)
    await handler.handle(pipeline.decider, A, environment("a"), ANN)
    await handler.handle(pipeline.decider, B, environment("b"), ANN)
    return handler


async def test_a_command_is_answered_with_the_state_it_led_to(handler: Handler) -> None:
    handled = await handler.handle(pipeline.decider, A, EditStage(stage="JOB DEFAULT", name="Jobs"), BOB)
    assert [each.name for each in handled.state.stages][1] == "Jobs"
    assert (handled.subject.stream, handled.subject.version) == (A, 7)
    assert handled.receipt.position == await handler.log.position() == 12
    assert [type(event).__name__ for event in handled.events] == ["StageRenamed", "StageDescribed"]
    assert handled.events == tuple(await handler.log.events(A, after=5))
    assert {recorded.by for recorded in handled.receipt.recorded} == {BOB}


async def test_a_refusal_writes_nothing(handler: Handler) -> None:
    before = await handler.log.position()
    with pytest.raises(StageNotFound):
        await handler.transact(on(A, stage("new"), EditStage(stage="none", name="x")), pipeline.decider, ANN)
    assert await handler.log.position() == before


async def test_a_command_that_changes_nothing_is_answered_too(handler: Handler) -> None:
    handled = await handler.handle(pipeline.decider, A, EditEnvironment(name="a"), ANN)
    assert (handled.subject.version, handled.events, handled.receipt.recorded) == (5, (), ())
    assert handled.receipt.position == await handler.log.position()


async def test_a_transaction_sees_what_it_decided(handler: Handler) -> None:
    work = on(A, stage("new"), EditStage(stage="new", name="newer"))
    handled = await handler.transact(work, pipeline.decider, ANN)
    assert handled.state.stages[-1].name == "newer"
    assert handled.subject == await Handler(handler.log).states.load(pipeline.decider, A)


async def test_a_transaction_over_several_streams_is_one(handler: Handler) -> None:
    async def work(transaction: Transaction) -> UUID:
        await transaction.do(pipeline.decider, A, stage("new"))
        await transaction.do(pipeline.decider, B, stage("new"))
        return B

    handled = await handler.transact(work, pipeline.decider, ANN)
    assert [(recorded.stream, recorded.version) for recorded in handled.receipt.recorded] == [(A, 6), (B, 6)]
    assert handled.subject.stream == B
    assert len(handled.events) == 1


async def test_who_takes_a_state_as_it_was_last_seen_decides_on_what_others_did_since(handler: Handler) -> None:
    other = Handler(handler.log)
    await other.states.load(pipeline.decider, A)
    await handler.handle(pipeline.decider, A, stage("new"), ANN)
    handled = await other.transact(on(A, EditStage(stage="new", name="newer")), pipeline.decider, BOB, cached=True)
    assert handled.subject == await handler.states.load(pipeline.decider, A)
    assert handled.state.stages[-1].name == "newer"


async def test_who_takes_a_state_as_it_was_last_seen_is_refused_for_what_others_did_since(handler: Handler) -> None:
    other = Handler(handler.log)
    await other.states.load(pipeline.decider, A)
    await handler.handle(pipeline.decider, A, stage("new"), ANN)
    with pytest.raises(VersionMismatch) as refused:
        await other.transact(on(A, stage("newer"), expected=5), pipeline.decider, ANN, cached=True)
    assert refused.value == VersionMismatch(expected=5, current=6)


async def test_a_state_that_was_told_of_need_not_be_read(handler: Handler) -> None:
    seen, gap = States(handler.log), States(handler.log)
    for states in (seen, gap):
        await states.load(pipeline.decider, A)
    handled = await handler.handle(pipeline.decider, A, stage("new"), ANN)
    seen.learn(handled.receipt.recorded)
    handled = await handler.handle(pipeline.decider, A, stage("newer"), ANN)
    for states in (seen, gap):
        states.learn(handled.receipt.recorded)
    await handler.log.close()  # from now on nothing can be read
    assert await seen.cached(pipeline.decider, A) == handled.subject
    assert (await gap.cached(pipeline.decider, A)).version == 5  # as it was seen: it wasn't told of all


async def test_a_decision_need_not_read_what_was_read_with_the_first_event(handler: Handler) -> None:
    short, long = States(handler.log), States(handler.log)
    first = await short.first(A)
    await handler.transact(on(A, stage("one"), stage("two"), stage("three")), pipeline.decider, ANN)
    assert first == await long.first(A) == (await handler.log.read(A, until=1))[0]
    assert await short.first(ids.new()) is None
    await handler.log.close()  # from now on nothing can be read
    assert (await short.cached(pipeline.decider, A)).version == 5
    with pytest.raises(LogUnavailable):
        await long.cached(pipeline.decider, A)  # there were more events than it read


async def test_a_state_that_its_caller_holds_is_not_cached(handler: Handler) -> None:
    other = Handler(handler.log)
    held = (await handler.handle(pipeline.decider, A, stage("new"), ANN)).subject
    work = on(A, EditStage(stage="new", name="newer"))
    handled = await other.transact(work, pipeline.decider, BOB, cached=True, held=held)
    assert handled.state.stages[-1].name == "newer"
    await handler.log.close()  # from now on nothing can be read
    with pytest.raises(LogUnavailable):
        await other.states.cached(pipeline.decider, A)


async def test_who_holds_a_stale_state_decides_on_what_others_did_since(handler: Handler) -> None:
    held = await handler.states.load(pipeline.decider, A)
    await handler.handle(pipeline.decider, A, stage("new"), ANN)
    work = on(A, EditStage(stage="new", name="newer"))
    handled = await Handler(handler.log).transact(work, pipeline.decider, BOB, cached=True, held=held)
    assert handled.subject == await handler.states.load(pipeline.decider, A)
    assert handled.state.stages[-1].name == "newer"


# The expected version


async def test_the_expected_version_is_the_one_before_the_command(handler: Handler) -> None:
    await handler.transact(on(A, stage("one"), expected=5), pipeline.decider, ANN)
    with pytest.raises(VersionMismatch) as refused:
        await handler.transact(on(A, stage("two"), expected=5), pipeline.decider, ANN)
    assert refused.value == VersionMismatch(expected=5, current=6)


async def test_of_those_who_expect_the_same_version_one_is_answered(handler: Handler) -> None:
    works = (on(A, stage(f"stage {number}"), expected=5) for number in range(10))
    outcomes = await asyncio.gather(
        *(handler.transact(work, pipeline.decider, ANN) for work in works), return_exceptions=True
    )
    assert len([each for each in outcomes if isinstance(each, Outcome)]) == 1
    assert len([each for each in outcomes if each == VersionMismatch(expected=5, current=6)]) == 9


# Others at the same time


async def test_commands_that_meet_on_a_stream_are_all_carried_out(handler: Handler) -> None:
    handlers = [handler, Handler(handler.log), Handler(handler.log)]
    handled = await asyncio.gather(
        *(handlers[number % 3].handle(pipeline.decider, A, stage(f"{number}"), ANN) for number in range(90))
    )
    assert sorted(each.subject.version for each in handled) == list(range(6, 96))
    state = (await handler.states.load(pipeline.decider, A)).state
    assert {each.name for each in state.stages[4:]} == {f"{number}" for number in range(90)}


async def test_of_those_who_want_the_same_name_one_gets_it(handler: Handler) -> None:
    outcomes = await asyncio.gather(
        *(handler.handle(pipeline.decider, A, stage("wanted"), ANN) for _ in range(20)), return_exceptions=True
    )
    assert len([each for each in outcomes if isinstance(each, Outcome)]) == 1
    assert len([each for each in outcomes if each == NameTaken(kind="stage", name="wanted")]) == 19


async def test_what_was_only_read_still_stands_when_the_rest_is_written(handler: Handler) -> None:
    """One of two environments may go down to 1; each transaction reads both and writes its own."""

    def lower(own: UUID, other: UUID) -> Work:
        async def work(transaction: Transaction) -> UUID:
            if (await transaction.load(pipeline.decider, other)).state.concurrency > 1:
                await transaction.do(pipeline.decider, own, EditEnvironment(concurrency=1))
            return own

        return work

    works = [lower(A, B), lower(B, A)]
    await asyncio.gather(*(handler.transact(work, pipeline.decider, ANN) for work in works))
    states = [(await handler.states.load(pipeline.decider, stream)).state for stream in (A, B)]
    assert sorted(state.concurrency for state in states) == [1, 8]


async def test_a_refusal_of_what_never_was_at_once_is_decided_again(handler: Handler) -> None:
    """The two environments always have the same concurrency, but are read before and after it is changed."""
    others = iter([5])

    async def both(concurrency: int, transaction: Transaction) -> UUID:
        for stream in (A, B):
            await transaction.do(pipeline.decider, stream, EditEnvironment(concurrency=concurrency))
        return A

    async def work(transaction: Transaction) -> UUID:
        first = await transaction.load(pipeline.decider, A)
        for concurrency in others:
            await handler.transact(partial(both, concurrency), pipeline.decider, ANN)
        second = await transaction.load(pipeline.decider, B)
        if first.state.concurrency != second.state.concurrency:
            raise InvalidConcurrency(concurrency=second.state.concurrency, most=first.state.concurrency)
        return A

    assert (await handler.transact(work, pipeline.decider, ANN)).state.concurrency == 5


async def test_who_always_comes_second_is_told(handler: Handler) -> None:
    attempts = 0

    async def work(transaction: Transaction) -> UUID:
        nonlocal attempts
        attempts += 1
        loaded: StreamState[Pipeline] = await transaction.load(pipeline.decider, A)
        await handler.log.append([change(A, loaded.version, f"name {attempts}")], BOB)
        return A

    with pytest.raises(StreamMoved):
        await handler.transact(work, pipeline.decider, ANN)
    assert attempts == ATTEMPTS


# Dry runs


async def test_a_dry_run_writes_nothing_and_says_what_would_be(handler: Handler) -> None:
    before = await handler.log.position()
    handled = await handler.transact(on(A, stage("new")), pipeline.decider, ANN, "k", "r", dry_run=True)
    assert handled.state.stages[-1].name == "new"
    assert (handled.subject.version, handled.receipt.position, len(handled.events)) == (6, before, 1)
    assert await handler.log.position() == before
    assert await handler.log.find("k", "r") is None
    assert (await handler.states.load(pipeline.decider, A)).version == 5
    [imagined] = handled.preview(BOB)
    assert (imagined.position, imagined.version, imagined.by) == (before + 1, 6, BOB)


async def test_a_dry_run_is_refused_as_the_command_would_be(handler: Handler) -> None:
    with pytest.raises(StageNotFound):
        await handler.transact(on(A, EditStage(stage="none", name="x")), pipeline.decider, ANN, dry_run=True)


# Idempotency keys


async def test_a_key_gives_the_first_answer_also_after_later_changes(handler: Handler) -> None:
    first = await handler.transact(on(A, stage("new")), pipeline.decider, ANN, "k", "r")
    await handler.handle(pipeline.decider, A, EditStage(stage="new", name="newer"), ANN)
    for again in (handler, Handler(handler.log)):
        second = await again.transact(on(A, stage("new")), pipeline.decider, ANN, "k", "r")
        assert (second.subject, second.receipt.position) == (first.subject, first.receipt.position)
        assert (second.receipt.is_repeat, second.events) == (True, ())
    assert (await handler.states.load(pipeline.decider, A)).state.stages[-1].name == "newer"


async def test_a_key_gives_the_first_answer_after_the_log_was_opened_again(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    first = await Handler(log).transact(on(A, environment("a")), pipeline.decider, ANN, "k", "r")
    await Handler(log).handle(pipeline.decider, A, stage("new"), ANN)
    await log.close()
    log = await SqliteLog.open(tmp_path / "log.db")
    second = await Handler(log).transact(on(B, environment("another")), pipeline.decider, ANN, "k", "r")
    assert (second.subject, second.receipt.position) == (first.subject, first.receipt.position)
    assert await log.position() == 6
    await log.close()


async def test_a_key_of_another_request_is_refused(handler: Handler) -> None:
    await handler.transact(on(A, stage("new")), pipeline.decider, ANN, "k", "r")
    with pytest.raises(IdempotencyKeyReused):
        await handler.transact(on(A, stage("other")), pipeline.decider, ANN, "k", "another")


async def test_a_key_is_remembered_though_nothing_was_to_be_changed(handler: Handler) -> None:
    silent = await handler.transact(on(A, EditEnvironment(name="a")), pipeline.decider, ANN, "k", "r")
    await handler.handle(pipeline.decider, A, EditEnvironment(name="renamed"), ANN)
    again = await handler.transact(on(A, EditEnvironment(name="a")), pipeline.decider, ANN, "k", "r")
    assert (again.subject, again.receipt.is_repeat) == (silent.subject, True)
    assert (await handler.states.load(pipeline.decider, A)).state.name == "renamed"


async def test_a_key_of_a_refused_command_is_still_good(handler: Handler) -> None:
    work = on(A, EditStage(stage="new", name="newer"))
    with pytest.raises(StageNotFound):
        await handler.transact(work, pipeline.decider, ANN, "k", "r")
    await handler.handle(pipeline.decider, A, stage("new"), ANN)
    assert not (await handler.transact(work, pipeline.decider, ANN, "k", "r")).receipt.is_repeat


async def test_a_request_that_comes_many_times_at_once_is_carried_out_once(handler: Handler) -> None:
    """Each one is decided again, and all but the first find that their own name is taken."""
    handled = await asyncio.gather(
        *(handler.transact(on(A, stage("new")), pipeline.decider, ANN, "k", "r") for _ in range(20))
    )
    assert len({each.subject.version for each in handled}) == 1
    assert len({each.state.stages[-1].id for each in handled}) == 1
    assert sorted(each.receipt.is_repeat for each in handled) == [False] + [True] * 19
    assert len(await handler.log.events(A)) == 6


# States


async def test_a_state_is_read_at_any_version(handler: Handler) -> None:
    await handler.handle(pipeline.decider, A, EditStage(stage="JOB DEFAULT", name="Jobs", description=""), ANN)
    states = handler.states
    assert (await states.load_at(pipeline.decider, A, 6)).state.stages[1].name == "Jobs"
    old = await states.load_at(pipeline.decider, A, 5)
    assert (old.version, old.state.stages[1].name) == (5, "JOB DEFAULT")
    assert (await states.load_at(pipeline.decider, A, 99)).version == 7
    assert isinstance((await handler.log.events(A, 5, 6))[0], StageRenamed)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
async def test_a_long_stream_is_read_in_parts(handler: Handler, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await handler.handle(pipeline.decider, A, stage("new"), ANN)
    whole = await States(handler.log).load(pipeline.decider, A)
    monkeypatch.setattr(handling, "CHUNK", size)
    assert await States(handler.log).load(pipeline.decider, A) == whole
    assert await States(handler.log).load_at(pipeline.decider, A, whole.version) == whole
    assert (await States(handler.log).load_at(pipeline.decider, A, 4)).version == 4
