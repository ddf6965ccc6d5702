"""
The supervisor of the instances on this machine: it watches them, and starts those again that have ended.

It runs in one worker of the machine at a time, the one that has the lock. It is not in the shim: decisions are made and
reported once, health checks and references are Python, and a shim of an earlier version could not be changed. So
instances that end while no worker runs are started when one is back, as after a restart of the machine.
"""

import asyncio
import fcntl
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from domain.instance import InstanceStatus
from runner.targets.contract import OpenSecrets
from runner.targets.process import instance as instances
from runner.targets.process import start as starts
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.confinement import Confinements
from runner.targets.process.instance import InstanceWatch
from store.sqlite import disk

LOOK = 10.0
"""Time between two looks for instances that other workers of the machine brought, in seconds."""

LOCK_PAUSE = 1.0
"""Time between two tries to become the supervisor of the machine, in seconds."""

logger = logging.getLogger(__name__)


class Supervisor:
    """The supervisor of the instances in the folder *root*, which run in *confinements*."""

    def __init__(self, root: Path, confinements: Confinements, open_secrets: OpenSecrets | None = None) -> None:
        self._root, self._confinements, self._open_secrets = root, confinements, open_secrets
        self._watches: dict[Path, asyncio.Task[None]] = {}
        self._watched: dict[Path, InstanceWatch] = {}
        self._report: Callable[[InstanceWatch], None] | None = None  # None while this is not the supervisor

    @property
    def statuses(self) -> Counter[InstanceStatus]:
        """The number of watched instances by their status, without those that were stopped on purpose."""
        return Counter(each.state.status for each in self._watched.values() if not each.attempt.is_stopped)

    def adopt(self, attempt: ProcessAttempt) -> None:
        """Watch the instance of *attempt*, which was found healthy, from now on."""
        instances.create(attempt.folder)
        if self._report is not None:
            self._watch(attempt, self._report)

    async def run(self, report: Callable[[InstanceWatch], None]) -> None:
        """Watch until cancelled; *report* is called with each instance at first, and after each change."""
        async with self._alone():
            self._report = report
            try:
                while True:
                    for attempt in await asyncio.to_thread(lambda: list(self._found())):
                        self._watch(attempt, report)
                    for folder in [each for each in self._watches if not each.is_dir()]:
                        self._watches.pop(folder).cancel()
                        self._watched.pop(folder, None)
                    await asyncio.sleep(LOOK)
            finally:
                self._report = None
                for task in self._watches.values():
                    task.cancel()
                await asyncio.gather(*self._watches.values(), return_exceptions=True)
                self._watches.clear()
                self._watched.clear()

    def _watch(self, attempt: ProcessAttempt, report: Callable[[InstanceWatch], None]) -> None:
        if attempt.folder not in self._watches:
            start = starts.read(attempt.folder / starts.OWN)
            if start is not None:
                confinement = self._confinements.of(start.request.environment)
                watch = InstanceWatch(attempt, start, confinement, report, self._open_secrets)
                task = asyncio.create_task(self._run(watch))
                self._watches[attempt.folder], self._watched[attempt.folder] = task, watch

    async def _run(self, watch: InstanceWatch) -> None:
        try:
            await watch.run()
        except Exception:
            logger.exception("Watching an instance failed; retrying", {"folder": watch.attempt.folder})
            await asyncio.sleep(LOOK)
            self._watches.pop(watch.attempt.folder, None)  # the next look finds it again

    def _found(self) -> Iterator[ProcessAttempt]:
        """Yield the instances to watch: those that were adopted, and running ones of a former version."""
        adopted = {each.parent for each in self._root.glob(f"*/*/*/{instances.FILE}")}
        for folder in adopted - self._watches.keys():
            attempt = ProcessAttempt(folder)
            if not attempt.is_stopped:
                yield attempt
        for folder in {each.parent for each in self._root.glob(f"*/*/*/{starts.OWN}")} - adopted:
            attempt = ProcessAttempt(folder)
            # the lock is tried last: a start at the same moment would find it held
            if attempt.record.is_settled and attempt.is_running:
                yield attempt

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock of the machine's supervisor for the block."""
        disk.make_folder(self._root)
        descriptor = os.open(self._root / "supervisor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(LOCK_PAUSE)
                else:
                    break
            yield
        finally:
            os.close(descriptor)
