"""Waiting for a target that is unavailable for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from runner.targets.contract import StepFailed, TargetRefused, TargetUnavailable

OUTAGE = 30.0
"""Maximum time for which a step waits for a target that is unavailable, in seconds."""

PAUSE = 0.5
"""Time between two tries to reach the target, in seconds."""

T = TypeVar("T")


class Client(Protocol):
    """A client of a target."""

    seen_at: float
    """When the target last answered, in seconds of the monotonic clock."""


async def persist(client: Client, work: Callable[[], Awaitable[T]]) -> T:
    """Do *work*, again while the target is unavailable, for at most `OUTAGE`: it adopts what it began.

    Raise `StepFailed` when that time is over, or if the target refuses.
    """
    began = time.monotonic()
    while True:
        try:
            return await work()
        except TargetUnavailable as error:
            if time.monotonic() - max(began, client.seen_at) > OUTAGE:
                raise StepFailed(str(error)) from error
        except TargetRefused as error:
            raise StepFailed(str(error)) from error
        await asyncio.sleep(PAUSE)
