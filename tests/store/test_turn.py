"""Long work gives way to what else there is to do."""

import asyncio
import time

from store.turn import TURN, in_turn, made_in_turn


def work(item: int) -> int:
    """Takes a fifth of a turn."""
    end = time.perf_counter() + TURN / 5
    while time.perf_counter() < end:
        pass
    return item * 2


async def test_others_go_on_while_much_is_made() -> None:
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    beside = asyncio.create_task(others())
    try:
        assert await made_in_turn(work, range(30)) == [item * 2 for item in range(30)]
        assert rounds >= 5
        before = rounds
        several = await asyncio.gather(*(made_in_turn(work, range(10)) for _ in range(5)))
        assert several == [[item * 2 for item in range(10)]] * 5
        assert rounds - before >= 8  # they share the turns, and none has all of them at once
    finally:
        beside.cancel()


async def test_who_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    tasks = [asyncio.create_task(made_in_turn(work, range(20))) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in ended] == [False, True] * 3
    assert [item async for item in in_turn("abc")] == ["a", "b", "c"]


def test_every_event_loop_has_turns_of_its_own() -> None:
    async def cut_off() -> None:
        task = asyncio.create_task(made_in_turn(work, range(100)))
        await asyncio.sleep(0)
        task.cancel()

    for _ in range(3):
        asyncio.run(cut_off())
    assert asyncio.run(made_in_turn(work, range(10))) == [item * 2 for item in range(10)]
