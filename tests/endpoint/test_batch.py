"""Batches: values that many fields need are loaded together."""

import asyncio
import gc
from collections.abc import Sequence
from typing import cast
from weakref import WeakSet, ref

import pytest

from gql.context import Application, Context

PATIENCE = 10.0


class Loads:
    """The batches that were loaded; each key is its own value, once `may_end` is set."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.context = Context(application=cast("Application", object()), identity=None)

    async def load(self, context: Context, keys: list[int]) -> Sequence[int]:
        assert context is self.context
        self.asked.append(keys)
        await self.may_end.wait()
        if 0 in keys:
            raise LookupError("there is no 0")
        return keys

    async def want(self, key: int) -> int:
        return await self.context.together(self.load, key)


async def test_keys_wanted_at_the_same_time_are_loaded_together() -> None:
    loads = Loads()
    assert await asyncio.gather(*map(loads.want, [3, 1, 2])) == [3, 1, 2]
    assert await loads.want(4) == 4
    assert loads.asked == [[3, 1, 2], [4]]


async def test_a_fault_of_a_load_reaches_every_waiting_field() -> None:
    loads = Loads()
    told = await asyncio.gather(*map(loads.want, [1, 0]), return_exceptions=True)
    assert [str(each) for each in told] == ["there is no 0"] * 2
    assert await loads.want(1) == 1


async def test_a_cancelled_field_leaves_the_others_their_values() -> None:
    loads = Loads()
    loads.may_end.clear()
    first, second = asyncio.create_task(loads.want(1)), asyncio.create_task(loads.want(2))
    while not loads.asked:
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    loads.may_end.set()
    assert await second == 2
    assert loads.asked == [[1, 2]]


async def test_a_cancelled_batch_cancels_its_waiting_fields() -> None:
    async def load(_: Context, keys: list[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    context = Loads().context
    waiting = [asyncio.create_task(context.together(load, key)) for key in (1, 2)]
    await asyncio.wait(waiting, timeout=PATIENCE)
    assert [each.cancelled() for each in waiting] == [True, True]


async def test_a_batch_is_freed_when_it_is_done() -> None:
    class Value:
        pass

    values: WeakSet[Value] = WeakSet()

    async def load(_: Context, keys: list[int]) -> Sequence[Value]:
        made = [Value() for _ in keys]
        values.update(made)
        return made

    context = Loads().context
    gc.disable()
    try:
        assert isinstance(await context.together(load, 1), Value)
        await asyncio.sleep(0)
        assert not values
    finally:
        gc.enable()


async def test_a_fault_of_a_batch_is_freed_when_all_fields_have_it() -> None:
    class Fault(Exception):
        pass

    async def load(_: Context, keys: list[int]) -> Sequence[int]:
        raise Fault

    async def fail(context: Context) -> "list[ref[Fault]]":
        found = await asyncio.gather(context.together(load, 1), context.together(load, 2), return_exceptions=True)
        return [ref(each) for each in found if isinstance(each, Fault)]

    gc.disable()
    try:
        first, second = await fail(Loads().context)
        await asyncio.sleep(0)
        assert first() is second() is None
    finally:
        gc.enable()
