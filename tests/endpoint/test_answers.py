"""The cache of answers: an answer is cached as long as it is valid, and no longer."""

import asyncio

from cache.dependent import SUBJECT
from cache.lru import ENTRY, PARTS
from endpoint.execution.answers import OVERHEAD, WHOLE, Answer, AnswerCache
from store.log import EventLog
from store.memory import MemoryLog
from store.postgres.log import PostgresLog
from tests.store.sample import ANN, A, B, change

FIRST, SECOND = Answer(b"first"), Answer(b"second")
FOREVER = 2**63


async def kept(answers: AnswerCache, key: str, answer: Answer, *reads: object) -> Answer | None:
    """Cache *answer*; return the answer that is found then."""
    position = await answers.confirm()
    with answers.computation() as computation:
        answers.keep(key, answer, frozenset(reads), computation)  # type: ignore[arg-type]  # they are streams
    return answers.find(key, position)


async def found(answers: AnswerCache, key: str) -> Answer | None:
    return answers.find(key, await answers.confirm())


async def test_an_answer_is_cached_until_a_stream_that_it_depends_on_changes() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    assert await kept(answers, "of both", FIRST, A, B) is FIRST
    assert await kept(answers, "of b", SECOND, B) is SECOND
    await log.append([change(A, 0, "a1")], ANN)
    assert await found(answers, "of both") is None
    assert await found(answers, "of b") is SECOND
    await log.append([change(B, 0, "b1")], ANN)
    assert await found(answers, "of b") is None


async def test_an_answer_that_depends_on_all_streams_is_dropped_at_any_event() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    assert await kept(answers, "k", FIRST, WHOLE) is FIRST
    await log.append([change(A, 0, "a1")], ANN)
    assert await found(answers, "k") is None


async def test_an_answer_whose_stream_changed_during_the_computation_is_not_cached() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    with answers.computation() as computation:
        await log.append([change(A, 0, "a1")], ANN)
    answers.keep("of a", FIRST, frozenset([A]), computation)
    answers.keep("of all", FIRST, frozenset([WHOLE]), computation)
    answers.keep("of b", FIRST, frozenset([B]), computation)
    assert [await found(answers, key) for key in ("of a", "of all", "of b")] == [None, None, FIRST]


async def test_a_cached_answer_is_not_valid_at_a_later_position() -> None:
    answers = AnswerCache(MemoryLog())
    assert await kept(answers, "k", FIRST, A) is FIRST
    assert answers.find("k", answers.position + 1) is None


async def test_the_least_recently_used_answers_are_evicted() -> None:
    body = b"x" * 1000
    answers = AnswerCache(MemoryLog(), limit=PARTS * (2 * len(body) + OVERHEAD + SUBJECT + ENTRY))
    for number in range(PARTS):
        await kept(answers, str(number), Answer(body), A)
    assert await found(answers, "0") is not None
    assert await kept(answers, "new", Answer(body), A) is not None
    assert await found(answers, "0") is not None
    assert await found(answers, "1") is None
    assert await kept(answers, "too large", Answer(body + b"x"), A) is None


async def test_a_node_sends_no_answer_that_another_node_made_stale(database: str) -> None:
    mine, theirs = await PostgresLog.open(database), await PostgresLog.open(database)
    try:
        answers = AnswerCache(mine)
        for version in range(30):
            assert await kept(answers, "k", FIRST, A) is FIRST
            await theirs.append([change(A, version, "a")], ANN)
            assert await found(answers, "k") is None
        positions = await asyncio.gather(*(answers.confirm() for _ in range(100)))
        assert set(positions) == {30}
    finally:
        await theirs.close()
        await mine.close()


async def test_an_answer_has_the_time_since_when_it_may_be_stale() -> None:
    log: EventLog = MemoryLog()
    answers = AnswerCache(log)
    before = answers.known_at
    await answers.confirm()
    assert before < answers.known_at
