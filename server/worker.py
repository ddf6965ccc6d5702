"""A server without a face to the network: it drives deployments, and hands them over when a signal ends it."""

import asyncio
import logging
import signal
import sys

import uvloop

from server import journal, stores
from server.garbage import collect_rarely
from server.parts import running
from server.settings import Settings
from server.signing import SigningKeyUnusable
from store.log import LogUnavailable
from store.postgres.errors import describe_database

logger = logging.getLogger("stageline")


def work(settings: Settings) -> None:
    """Runs until SIGINT or SIGTERM. Ends the program with 1, and says why, when it can't start."""
    journal.begin(settings)
    try:
        is_lost = uvloop.run(_work(settings))
    except (LogUnavailable, SigningKeyUnusable) as reason:
        sys.exit(str(reason))
    if is_lost:  # which was said
        sys.exit(1)


async def _work(settings: Settings) -> bool:
    """Whether it ends because what it stands on is lost."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is lost by that: it is as if it were killed
        if not ended.is_set():
            logger.info("Handing over what is under way to other workers; Ctrl-C once more ends it at once")
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    async with running(settings) as parts:
        collect_rarely()
        logger.info("A worker of Stageline is at work; what it keeps is in %s", settings.data)
        reasons = [asyncio.create_task(each.wait()) for each in (ended, parts.lost)]
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
    return parts.lost.is_set()


def migrate(dsn: str) -> None:
    """Brings the tables in the database *dsn* up to date. Ends the program with 1, and says why, when it can't."""
    try:
        asyncio.run(stores.prepare(dsn))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    print(f"The tables in {describe_database(dsn)} are up to date.")
