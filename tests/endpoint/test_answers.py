"""Answers are kept for as long as they are right, and no longer."""

import asyncio

from cache.lru import ENTRY, PART
from endpoint.execution.answers import OVERHEAD, STREAM, WHOLE, Answer, AnswerCache
from store.log import EventLog
from store.memory import MemoryLog
from store.postgres.log import PostgresLog
from tests.store.sample import ANN, A, B, change

FIRST, SECOND = Answer(b"first"), Answer(b"second")
FOREVER = 2**63


async def kept(answers: AnswerCache, key: str, answer: Answer, *reads: object) -> Answer | None:
    """What is found after *answer* was made and kept."""
    position = await answers.confirm()
    with answers.computation() as computation:
        answers.keep(key, answer, frozenset(reads), computation)  # type: ignore[arg-type]  # they are streams
    return answers.find(key, position)


async def found(answers: AnswerCache, key: str) -> Answer | None:
    return answers.find(key, await answers.confirm())


async def test_an_answer_is_kept_until_a_stream_that_it_was_made_of_moves_on() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    assert await kept(answers, "of both", FIRST, A, B) is FIRST
    assert await kept(answers, "of b", SECOND, B) is SECOND
    await log.append([change(A, 0, "a1")], ANN)
    assert await found(answers, "of both") is None
    assert await found(answers, "of b") is SECOND
    await log.append([change(B, 0, "b1")], ANN)
    assert await found(answers, "of b") is None


async def test_what_was_made_of_everything_is_kept_until_anything_happens() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    assert await kept(answers, "k", FIRST, WHOLE) is FIRST
    await log.append([change(A, 0, "a1")], ANN)
    assert await found(answers, "k") is None


async def test_what_moved_on_while_it_was_made_is_not_kept() -> None:
    log = MemoryLog()
    answers = AnswerCache(log)
    with answers.computation() as computation:
        await log.append([change(A, 0, "a1")], ANN)
    answers.keep("of a", FIRST, frozenset([A]), computation)
    answers.keep("of all", FIRST, frozenset([WHOLE]), computation)
    answers.keep("of b", FIRST, frozenset([B]), computation)
    assert [await found(answers, key) for key in ("of a", "of all", "of b")] == [None, None, FIRST]


async def test_an_answer_of_before_is_no_answer_to_who_asks_at_a_later_position() -> None:
    answers = AnswerCache(MemoryLog())
    assert await kept(answers, "k", FIRST, A) is FIRST
    assert answers.find("k", answers.position + 1) is None


async def test_those_that_nobody_asked_for_longest_make_room_for_new_ones() -> None:
    body = b"x" * 1000
    answers = AnswerCache(MemoryLog(), limit=PART * (2 * len(body) + OVERHEAD + STREAM + ENTRY))
    for number in range(PART):
        await kept(answers, str(number), Answer(body), A)
    assert await found(answers, "0") is not None
    assert await kept(answers, "new", Answer(body), A) is not None
    assert await found(answers, "0") is not None
    assert await found(answers, "1") is None
    assert await kept(answers, "too large", Answer(body + b"x"), A) is None


async def test_a_node_gives_no_answer_that_another_has_outdated(database: str) -> None:
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


async def test_an_answer_says_since_when_it_may_be_outdated() -> None:
    log: EventLog = MemoryLog()
    answers = AnswerCache(log)
    before = answers.known_at
    await answers.confirm()
    assert before < answers.known_at
