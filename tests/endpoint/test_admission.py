"""Admission when many clients arrive at once."""

import asyncio

from endpoint.http.admission import AT_ONCE, Admission


async def test_set_ups_run_at_most_a_limited_number_at_a_time_in_order() -> None:
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


async def test_waiting_guests_do_not_delay_authenticated_connections() -> None:
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
