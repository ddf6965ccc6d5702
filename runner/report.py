"""
The reports of supervisors, which become events of an environment's instances.

At most `MAX_REPORTS` reports of an instance are recorded within `WINDOW`. Further changes wait, and are summed up in
the next report: its events say how many ends and restarts they stand for. So an instance that ends all the time does
not fill the log.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from application.handler import Handler, Transaction
from domain import instance as instances
from domain.access import ENGINE
from domain.instance import MAX_REPORTS, ReportInstance
from domain.project import EnvironmentId
from runner.retry import retry
from store.log import Author, Origin

WINDOW = 60.0
"""Time within which reports of an instance are counted, in seconds."""

logger = logging.getLogger(__name__)


class InstanceReporter:
    """Records reports with *handler*."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._waiting: dict[UUID, tuple[EnvironmentId, ReportInstance]] = {}  # by service, the newest report
        self._recorded: dict[UUID, deque[float]] = {}  # by service, the times of the last reports with events
        self._woken = asyncio.Event()

    def report(self, environment: EnvironmentId, report: ReportInstance) -> None:
        """Record *report* soon, unless a newer one of the same service comes before."""
        self._waiting[report.instance.service] = environment, report
        self._woken.set()

    async def run(self) -> None:
        """Record reports until cancelled."""
        while True:
            self._woken.clear()
            due, left = self._due()
            for environment, reports in due.items():
                try:
                    await self._record(environment, reports)
                except Exception:
                    logger.exception("Reporting instances failed", {"environment": environment})
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()

    def _due(self) -> tuple[dict[EnvironmentId, list[ReportInstance]], float | None]:
        """Take the reports that may be recorded now; return them with the time until the next one, in seconds."""
        now = asyncio.get_running_loop().time()
        due: dict[EnvironmentId, list[ReportInstance]] = {}
        left: float | None = None
        for service, (environment, report) in list(self._waiting.items()):
            recorded = self._recorded.get(service)
            wait = 0.0 if recorded is None or len(recorded) < MAX_REPORTS else recorded[0] + WINDOW - now
            if wait <= 0:
                due.setdefault(environment, []).append(report)
                del self._waiting[service]
            else:
                left = wait if left is None else min(left, wait)
        return due, left

    async def _record(self, environment: EnvironmentId, reports: Sequence[ReportInstance]) -> None:
        """Record the reports in one append."""
        stream = instances.stream(environment)
        changed: list[UUID] = []

        async def work(transaction: Transaction) -> UUID:
            changed.clear()
            for each in reports:
                before = (await transaction.load(instances.decider, stream)).version
                if (await transaction.do(instances.decider, stream, each)).version > before:
                    changed.append(each.instance.service)
            return stream

        by = Author(actor=ENGINE, origin=Origin.ENGINE)
        await retry(partial(self._handler.transact, work, instances.decider, by, cached=True))
        now = asyncio.get_running_loop().time()
        for service in changed:
            self._recorded.setdefault(service, deque(maxlen=MAX_REPORTS)).append(now)
