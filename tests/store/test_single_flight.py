"""One question for all who ask at the same time, and no answer that is older than the asking."""

import asyncio

import pytest

from store.single_flight import SingleFlight


class Slow:
    """Answers with how often it was asked, when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await self.let.wait()
        return number


async def begun(slow: Slow, count: int) -> None:
    while slow.asked < count:
        await asyncio.sleep(0)


async def test_who_comes_while_a_question_is_on_its_way_shares_the_next_one() -> None:
    slow = Slow()
    shared = SingleFlight(slow)
    first = [asyncio.create_task(shared()) for _ in range(3)]
    await begun(slow, 1)
    late = [asyncio.create_task(shared()) for _ in range(3)]
    slow.let.set()
    assert await asyncio.gather(*first, *late) == [1, 1, 1, 2, 2, 2]
    assert await shared() == 3


async def test_who_stops_waiting_takes_the_answer_from_nobody() -> None:
    slow = Slow()
    shared = SingleFlight(slow)
    gone, stays = asyncio.create_task(shared()), asyncio.create_task(shared())
    await begun(slow, 1)
    gone.cancel()
    slow.let.set()
    assert await stays == 1


async def test_a_question_that_fails_fails_for_those_who_asked_it_and_for_no_other() -> None:
    asked: list[int] = []

    async def ask() -> int:
        asked.append(len(asked))
        if asked == [0]:
            raise ValueError("once")
        return len(asked)

    shared = SingleFlight(ask)
    with pytest.raises(ValueError, match="once"):
        await shared()
    assert await shared() == 2
