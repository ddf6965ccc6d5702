"""
An attempt at a step as local processes, with its state in a folder.

    record   the state of the attempt, in lines: started, ports, pid, command, ended, failed
    log      the output of its processes

The process that may run the attempt holds a lock on the record (flock). The server holds it while it starts the shim.
From then on the shim holds it, because the open file is its standard input. The kernel releases the lock when its last
holder dies. So the state is known even if the server, the shim or the machine stops at any moment:

    lock   pid       ended
    held   any       any       running
    free   missing   missing   never begun
    free   present   present   ended with that exit code
    free   present   missing   vanished: killed, or the machine restarted

While the lock is held, the pid is the shim's, and not a later process's. The folder must be on a local file system.
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

from runner.targets.contract import StepFailed
from store.sqlite import disk

SHIM = Path(__file__).with_name("shim.sh")
"""The script that runs the commands of an attempt, and outlives the server."""

GRACE = 10.0
"""Time between the signals TERM and KILL, in seconds."""

OPEN_FILES, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Soft limit of open files at the start of this process. The server raises its own limit, but not that of steps."""

STAMP = "STAGELINE_STEP"
"""Name of the environment variable that holds the folder of a process's attempt."""


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """The record of an attempt. *started* is in seconds since the epoch, and *command* counts from 1."""

    started: float = 0.0
    ports: tuple[int, ...] = ()
    pid: int | None = None
    command: int = 1
    ended: int | None = None
    failed: str | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the commands have begun, or must not begin."""
        return self.pid is not None or self.failed is not None


class ProcessAttempt:
    """An attempt with its files in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._record = folder / "record"

    @property
    def record(self) -> AttemptRecord:
        try:
            written = dict(line.split(" ", 1) for line in self._record.read_text().splitlines())
        except FileNotFoundError:
            return AttemptRecord()
        return AttemptRecord(
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
        """Whether any of its processes is alive, even one that the shim left behind."""
        return self.is_running or bool(self._processes())

    def begin(
        self, commands: Sequence[str], directory: Path, variables: Mapping[str, str], ports: Sequence[int] = ()
    ) -> None:
        """Start *commands*, unless the attempt has begun already; raise `StepFailed` if that is impossible."""
        disk.make_folder(self.folder)
        with self._recording() as record, open(self.log, "ab", opener=disk.open_private) as log:
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
                    [
                        "/bin/sh",
                        SHIM,
                        "unlimited" if OPEN_FILES == resource.RLIM_INFINITY else str(OPEN_FILES),
                        *commands,
                    ],
                    stdin=record,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env={**variables, STAMP: str(self.folder)},
                    start_new_session=True,
                )
            except OSError as error:
                raise StepFailed(f"cannot start a process in {directory}: {error.strerror}") from error
        _reap(shim)

    def fail(self, reason: str) -> None:
        """Record that the attempt has failed, whatever its exit code; the first recorded reason stays."""
        if self.record.failed is None:
            disk.make_folder(self.folder)
            with self._recording() as record:
                record.write(f"failed {' '.join(reason.split())}\n".encode())

    def _recording(self) -> FileIO:
        return open(self._record, "ab", buffering=0, opener=disk.open_private)

    async def wait(self) -> None:
        """Wait until the shim has exited."""
        while (pid := await self._pid()) and self.is_running:
            if not hasattr(os, "pidfd_open"):
                await asyncio.sleep(0.05)
                continue
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    if self.is_running:  # otherwise the descriptor may be another process's
                        await _wait_until_readable(descriptor)
                finally:
                    os.close(descriptor)

    async def end(self) -> None:
        """Stop all processes of the group: signal TERM, and KILL after `GRACE` seconds."""
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
        """Return the shim's process id; wait for a shim that has just started to record it."""
        while self.record.pid is None and self.is_running:
            await asyncio.sleep(0.002)
        return self.record.pid

    def _processes(self) -> list[psutil.Process]:
        """Return the living processes of the shim's group.

        The system may reuse the number of a group after its last process has ended. So without a running shim, the
        group belongs to the attempt only if one of its processes has the stamp.
        """
        group = self.record.pid
        found = _group(group) if group else []
        return found if self.is_running or any(self._has_stamp(process) for process in found) else []

    def _has_stamp(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return bool(process.environ().get(STAMP) == str(self.folder))
        return False


def _group(number: int) -> list[psutil.Process]:
    """Return the processes of a group, without zombies."""
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
    """Reap *child* when it exits, so that it does not stay a zombie."""
    if not hasattr(os, "pidfd_open"):
        return  # subprocess reaps it when it starts the next child
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(child.pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        child.wait()

    loop.add_reader(descriptor, reap)


async def _wait_until_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
