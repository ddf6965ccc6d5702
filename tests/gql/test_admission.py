"""Who is let in when many come at once."""

import asyncio

from gql.admission import AT_ONCE, Admission


async def test_so_many_are_set_up_at_a_time_in_the_order_they_came() -> None:
    admission, done = Admission(), asyncio.Event()
    begun: list[int] = []

    async def come(number: int) -> None:
        async with admission.turn():
            begun.append(number)
            await done.wait()

    coming = [asyncio.create_task(come(number)) for number in range(3 * AT_ONCE)]
    while len(begun) < AT_ONCE:
        await asyncio.sleep(0)
    for _ in range(len(coming)):
        await asyncio.sleep(0)
    assert begun == list(range(AT_ONCE))
    done.set()
    await asyncio.gather(*coming)
    assert begun == list(range(3 * AT_ONCE))


async def test_guests_that_wait_keep_no_place_from_those_who_are_in() -> None:
    admission, done = Admission(), asyncio.Event()

    async def come() -> None:
        async with admission.guests.turn():
            await done.wait()

    coming = [asyncio.create_task(come()) for _ in range(3 * AT_ONCE)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10), admission.turn():
        pass
    done.set()
    await asyncio.gather(*coming)
