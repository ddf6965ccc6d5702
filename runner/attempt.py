"""
An attempt at a step as local processes: a folder, and what it proves.

    record   what became of the attempt, a line each: started, ports, pid, command, ended, failed
    log      what its processes print

Whoever may run the attempt holds a lock on the record (flock): the server while it starts the shim, and from then on
the shim, whose standard input the open file is. The kernel drops the lock with its last holder, so no moment at which
a server or a shim is killed, or the machine restarts, leaves open what happened:

    lock   pid     ended
    held   any     any     it runs
    free   none    none    it never began
    free   given   given   it has ended, with that exit code
    free   given   none    it vanished: killed, or gone with the machine

While the lock is held the pid is the shim's, and no later process's. The folder belongs on a local file system.
"""

import asyncio
import fcntl
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

import psutil
from msgspec import Struct

from runner.executor import StepFailed
from store import disk

SHIM = Path(__file__).with_name("shim.sh")
GRACE = 10.0
"""Seconds that processes are given to end by themselves when they are stopped."""

FILES, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Soft limit of open files that this process was started with, which the server raises for itself alone."""

STAMP = "STAGELINE_STEP"
"""The environment variable that tells a process which attempt it belongs to."""


class Record(Struct, frozen=True, kw_only=True):
    """What is written of an attempt. *started* is in seconds since the epoch, *command* counts from 1."""

    started: float = 0.0
    ports: tuple[int, ...] = ()
    pid: int | None = None
    command: int = 1
    ended: int | None = None
    failed: str | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it is too late to begin: the commands were begun, or are not to be."""
        return self.pid is not None or self.failed is not None


class Attempt:
    """The attempt whose files are in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._record = folder / "record"

    @property
    def record(self) -> Record:
        try:
            written = dict(line.split(" ", 1) for line in self._record.read_text().splitlines())
        except FileNotFoundError:
            return Record()
        return Record(
            started=float(written.get("started", 0)),
            ports=tuple(int(port) for port in written.get("ports", "").split()),
            pid=int(written["pid"]) if "pid" in written else None,
            command=int(written.get("command", 1)),
            ended=int(written["ended"]) if "ended" in written else None,
            failed=written.get("failed"),
        )

    @property
    def is_running(self) -> bool:
        try:
            with self._record.open() as record:
                fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def is_begun(self) -> bool:
        return self.record.is_begun or self.is_running

    @property
    def is_alive(self) -> bool:
        """Whether any process of it lives, be it one that its shim left behind."""
        return self.is_running or bool(self._processes())

    def begin(
        self, commands: Sequence[str], directory: Path, variables: Mapping[str, str], ports: Sequence[int] = ()
    ) -> None:
        """Has the shim run *commands*, unless it does or did already; raises `StepFailed` if it can't be started."""
        disk.folder(self.folder)
        with self._recording() as record, open(self.log, "ab", opener=disk.private) as log:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if self.record.is_begun:
                return
            record.truncate(0)
            record.write(f"started {time.time()}\nports {' '.join(map(str, ports))}\n".encode())
            try:
                shim = subprocess.Popen(
                    ["/bin/sh", SHIM, "unlimited" if FILES == resource.RLIM_INFINITY else str(FILES), *commands],
                    stdin=record,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env={**variables, STAMP: str(self.folder)},
                    start_new_session=True,
                )
            except OSError as error:
                raise StepFailed(f"it can't be started in {directory}: {error.strerror}") from error
        _reap(shim)

    def fail(self, reason: str) -> None:
        """Writes down that the attempt has failed, whatever its processes make of it; the first reason stays."""
        if self.record.failed is None:
            disk.folder(self.folder)
            with self._recording() as record:
                record.write(f"failed {' '.join(reason.split())}\n".encode())

    def _recording(self) -> FileIO:
        return open(self._record, "ab", buffering=0, opener=disk.private)

    async def exited(self) -> None:
        """Returns when the shim is no more."""
        while (pid := await self._pid()) and self.is_running:
            if not hasattr(os, "pidfd_open"):
                await asyncio.sleep(0.05)
                continue
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    if self.is_running:  # only then the descriptor is surely the shim's
                        await _readable(descriptor)
                finally:
                    os.close(descriptor)

    async def end(self) -> None:
        """Ends all of its processes: TERM to the group, and KILL to what is left of it after `GRACE` seconds."""
        group = await self._pid()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if group is None or not self._processes():
                return
            with suppress(ProcessLookupError):
                os.killpg(group, number)
            deadline, pause = time.monotonic() + GRACE, 0.005
            while self._processes() and time.monotonic() < deadline:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.1)

    async def _pid(self) -> int | None:
        """The shim's number; a shim that has just been started is given the time to write it down."""
        while self.record.pid is None and self.is_running:
            await asyncio.sleep(0.002)
        return self.record.pid

    def _processes(self) -> list[psutil.Process]:
        """The living processes of the shim's group.

        The number of a group is taken until its last process is gone, and may be another's from then on. So when the
        shim is no more, the group is the attempt's only if one of its processes carries the stamp.
        """
        group = self.record.pid
        found = _group(group) if group else []
        return found if self.is_running or any(self._has_stamped(process) for process in found) else []

    def _has_stamped(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return bool(process.environ().get(STAMP) == str(self.folder))
        return False


def _group(number: int) -> list[psutil.Process]:
    """The processes of a group that are no zombies."""
    with suppress(PermissionError):
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return []
    found = []
    for pid in psutil.pids():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(pid) == number and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _reap(child: subprocess.Popen[bytes]) -> None:
    """Keeps *child* from staying a zombie, however long it lives and whoever watches it."""
    if not hasattr(os, "pidfd_open"):
        return  # subprocess reaps it when it starts the next one
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(child.pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        child.wait()

    loop.add_reader(descriptor, reap)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
