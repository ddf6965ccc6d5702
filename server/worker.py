"""The worker program: a server without a network port, which runs deployments until a signal stops it."""

import asyncio
import logging
import signal
import sys

import uvloop

from runner.targets.docker.address import AddressInvalid
from runner.targets.kubernetes.access import AccessInvalid
from runner.targets.process.account import AccountUnusable
from server import journal, secret, stores
from server.components import running
from server.garbage import collect_rarely
from server.listener import ListenerUnusable, listening
from server.settings import Settings
from server.signing import SigningKeyUnusable
from store.log import LogUnavailable
from store.postgres.errors import describe_database
from tracing.exporter import TracesUnusable

logger = logging.getLogger("stageline")


def work(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Exit with 1 and the reason if the start fails."""
    secret.hide()
    journal.begin(settings)
    try:
        is_lost = uvloop.run(_work(settings))
    except (
        LogUnavailable,
        AccessInvalid,
        AccountUnusable,
        AddressInvalid,
        ListenerUnusable,
        SigningKeyUnusable,
        TracesUnusable,
    ) as reason:
        sys.exit(str(reason))
    except asyncio.CancelledError:
        sys.exit("A signal ended the worker before its start was complete. Earlier log lines say what it waited for.")
    if is_lost:  # the log has the reason
        sys.exit(1)


async def _work(settings: Settings) -> bool:
    """Run the worker; return whether it ended because its database is lost."""
    loop, ended, started = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C quits at once, which loses nothing
        if not started.is_set():
            task.cancel()
        elif not ended.is_set():
            logger.info("The worker is stopping; other workers resume its deployments. Press Ctrl-C again to quit")
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    async with running(settings) as components, listening(settings.metrics, components):
        started.set()
        collect_rarely()
        logger.info("The worker is running; its data is in %(data)s", {"data": settings.data})
        reasons = [asyncio.create_task(each.wait()) for each in (ended, components.lost)]
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
    return components.lost.is_set()


def migrate(dsn: str) -> None:
    """Create or update the tables in the database *dsn*. Exit with 1 and the reason if that fails."""
    try:
        asyncio.run(stores.prepare(dsn))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    print(f"The tables in {describe_database(dsn)} are up to date.")
