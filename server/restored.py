"""
The hold of a restored copy: it sends no webhook and goes on with no deployment until its operator says so.

The original may still run. Two servers that send the same webhooks, and carry out the same deployments, would do
everything twice. A file in the data folder marks the copy; it is gone once the copy has taken over.
"""

import asyncio
import logging
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from store.sqlite.backup import RESTORED

POLL = 1.0
"""Time between two looks at the file, in seconds."""

logger = logging.getLogger("stageline")


def is_held(data: Path) -> bool:
    """Return whether the folder *data* is a restored copy that has not taken over."""
    return (data / RESTORED).exists()


async def when_taken_over(data: Path, begin: Callable[[], Awaitable[None]]) -> None:
    """Say that the copy in *data* is held, wait until it takes over, then *begin*."""
    logger.warning(
        "%(data)s is a restored copy: no webhook is sent and no deployment goes on. When the original has ended: "
        "stageline take-over --data %(quoted)s",
        {"data": data, "quoted": shlex.quote(str(data))},
    )
    while is_held(data):
        await asyncio.sleep(POLL)
    logger.warning("The restored copy takes over: webhooks are sent, and deployments go on")
    await begin()


def take_over(data: Path) -> None:
    """Let the restored copy in *data* take over, also while its server runs. Exit with 1 if it is none."""
    try:
        (data / RESTORED).unlink()
    except FileNotFoundError:
        sys.exit(f"{data} is no restored copy that is held.")
    except OSError as error:
        sys.exit(f"{data / RESTORED} can't be removed: {error.strerror or error}.")
    print(f"The copy in {data} takes over: its server sends webhooks, and goes on with deployments.")
