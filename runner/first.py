"""The first of several coroutines to end."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any


async def first(coroutines: Collection[Coroutine[Any, Any, None]]) -> None:
    """Return or raise as the first of *coroutines* to end does, and cancel the others."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
