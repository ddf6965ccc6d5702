"""
An attempt at a step as local processes, with its state in a folder.

    record   the state of the attempt, in lines: name, began, grace, signal, ports, run, pid, command, ended, failed,
             settled
    log      the output of its processes
    log.1    the output before that, if there was more than `MAX_LOG` (see file.py)

    stopped  marks an attempt whose processes were stopped on purpose: nothing starts them again

Of a service there are also `start` and `replaced`, see start.py, and `instance`, see instance.py.

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
import errno
import fcntl
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from msgspec import Struct

from domain.spec import STOP_GRACE, StopSignal
from runner.targets.contract import StepFailed
from runner.targets.process import table
from runner.targets.process.confinement import Confinement
from runner.targets.process.table import STAMP, ProcessRow
from store.sqlite import disk

SHIM = Path(__file__).with_name("shim.sh")
"""The script that runs the commands of an attempt, and outlives the server."""

KILL_TIME = 10.0
"""Maximum time for processes to vanish after the signal KILL, in seconds."""

REAP_TIME = 2.0
"""Time that the shim has to reap its killed child before it is killed itself, in seconds."""

PORT_RELEASE = 1.0
"""Maximum time until the port of an ended process is free, in seconds: its last thread may end a little later."""

VERDICTS = frozenset({"failed", "settled"})
"""Keys of a record of which only the first one counts."""

OPEN_FILES, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Soft limit of open files at the start of this process. The server raises its own limit, but not that of steps."""


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """The record of an attempt. *began* is in seconds of the monotonic clock, and *command* counts from 1.

    *grace* is the time between *signal* and KILL, in seconds. *run* counts the restarts of a service. An attempt that
    *is_settled* was found healthy before it failed or was aborted, so it can't any more.
    """

    name: str = ""
    began: float = 0.0
    grace: float = STOP_GRACE
    signal: StopSignal = StopSignal.TERM
    ports: tuple[int, ...] = ()
    run: int = 0
    pid: int | None = None
    command: int = 1
    ended: int | None = None
    failed: str | None = None
    is_settled: bool = False

    @property
    def is_vanished(self) -> bool:
        """Whether the attempt has begun and not ended; if it does not run, it was killed or the machine restarted."""
        return self.pid is not None and self.ended is None

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
        self._stopped = folder / "stopped"

    @property
    def record(self) -> AttemptRecord:
        try:
            lines = [line.split(" ", 1) for line in self._record.read_text().splitlines()]
        except FileNotFoundError:
            return AttemptRecord()
        written: dict[str, str] = {}
        for key, value in lines:
            if key not in VERDICTS or VERDICTS.isdisjoint(written):  # the first one stays
                written[key] = value
        return AttemptRecord(
            name=written.get("name", ""),
            began=float(written.get("began", time.monotonic())),
            grace=float(written.get("grace", STOP_GRACE)),
            signal=StopSignal(written.get("signal", StopSignal.TERM)),
            ports=tuple(int(port) for port in written.get("ports", "").split()),
            run=int(written.get("run", 0)),
            pid=int(written["pid"]) if "pid" in written else None,
            command=int(written.get("command", 1)),
            ended=int(written["ended"]) if "ended" in written else None,
            failed=written.get("failed"),
            is_settled="settled" in written,
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
    def is_stopped(self) -> bool:
        """Whether its processes were stopped on purpose, or its folder is gone."""
        return self._stopped.exists() or not self.folder.is_dir()

    @property
    def touched_at(self) -> datetime:
        """The time of the last line in its record, by the wall clock."""
        return datetime.fromtimestamp(self._record.stat().st_mtime, UTC)

    def is_alive_in(self, rows: Sequence[ProcessRow]) -> bool:
        """Return whether any of its processes is among *rows*, even one that the shim left behind."""
        return self.is_running or bool(self._own(rows))

    def begin(
        self,
        commands: Sequence[str],
        directory: Path,
        variables: Mapping[str, str],
        ports: Sequence[int] = (),
        *,
        name: str = "",
        grace: float = STOP_GRACE,
        signal: StopSignal = StopSignal.TERM,
        confinement: Confinement = Confinement(),  # noqa: B008  # it is immutable
        run: int = 0,
    ) -> None:
        """Start *commands*, unless the attempt has begun already; raise `StepFailed` if that is impossible.

        With a *run* they are started again, for the time with that number, unless they run or were stopped on purpose.
        They run in *confinement*. The record stays the server's, since it is believed.
        """
        disk.make_folder(self.folder)
        with self._recording() as record, open(self.log, "ab", opener=disk.open_private) as log:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if self.is_stopped if run else self.record.is_begun:
                return
            record.truncate(0)
            state = {
                "name": " ".join(name.split()),
                "began": time.monotonic(),
                "grace": grace,
                "signal": signal,
                "ports": " ".join(map(str, ports)),
                **({"run": run, "settled": 1} if run else {}),
            }
            account, limits = confinement.account, confinement.limits
            if account is not None:
                os.fchown(log.fileno(), account.uid, account.gid)
            record.write("".join(f"{key} {value}\n" for key, value in state.items()).encode())
            try:
                shim = subprocess.Popen(
                    [
                        *limits.prefix,
                        "/bin/sh",
                        *([SHIM] if account is None else ["-c", SHIM.read_text(), SHIM.name]),  # it may have no access
                        _open_files(limits.files),
                        *commands,
                    ],
                    stdin=record,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env={**variables, STAMP: str(self.folder)},
                    start_new_session=True,
                    **confinement.options,
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

    def settle(self) -> None:
        """Record that the new instance is healthy, unless the attempt has failed before."""
        with self._recording() as record:
            record.write(b"settled 1\n")

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
        """Stop all its processes for good; see `halt`."""
        if self.folder.is_dir():
            self._stopped.touch(mode=0o600)
        await self.halt()

    async def halt(self) -> None:
        """Stop all its processes: its signal, and KILL after its grace. Wait until they and their ports are gone.

        A killed process is gone when its id is: its parent, or for orphans the system, has reaped it. Until then a
        database takes the process of its lock file for alive. So the shim is not killed before it has reaped its child.
        """
        group = await self._pid()
        record, known, deadline = self.record, set[tuple[int, int]](), 0.0
        gentle = signal.Signals[f"SIG{record.signal}"]
        for number, seconds in ((gentle, record.grace), (signal.SIGKILL, KILL_TIME)):
            deadline, pause, signalled = time.monotonic() + seconds, 0.005, set[tuple[int, int]]()
            while living := self._own(await table.tables.read(), known):
                known.update(row.identity for row in living)
                if group is None:  # the record was deleted; the shim began before its commands, and leads their group
                    group = min(living, key=lambda row: row.started).group
                wanted = [row for row in living if row.identity not in signalled and _is_due(number, row, living)]
                if number == signal.SIGKILL:
                    is_late = time.monotonic() > deadline - KILL_TIME + REAP_TIME
                    _signal(number, living if is_late else [row for row in living if row.pid != group])
                else:
                    if not signalled:  # what a process starts to tidy up is left alone
                        _signal_group(number, group, living)
                    _signal(number, [row for row in wanted if row.group != group])
                signalled.update(row.identity for row in wanted)
                if time.monotonic() >= deadline:
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.1)
            else:
                break
        while number == signal.SIGKILL and time.monotonic() < deadline and table.has_zombies(known):
            await asyncio.sleep(0.02)
        deadline = time.monotonic() + PORT_RELEASE
        while known and any(map(is_in_use, record.ports)) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def _pid(self) -> int | None:
        """Return the shim's process id; wait for a shim that has just started to record it."""
        while self.record.pid is None and self.is_running:
            await asyncio.sleep(0.002)
        return self.record.pid

    def _own(self, rows: Sequence[ProcessRow], known: Collection[tuple[int, int]] = ()) -> list[ProcessRow]:
        """Return the living processes of the attempt.

        The system may reuse the number of a group after its last process has ended. So without a running shim, the
        group belongs to the attempt only if one of its processes has the stamp.
        """
        group, stamp = self.record.pid, str(self.folder)
        if not self.is_running and not any(row.group == group and row.stamp == stamp for row in rows):
            group = None
        return table.own(rows, self.folder, group, known)


def _is_due(number: int, row: ProcessRow, living: Sequence[ProcessRow]) -> bool:
    """Whether a process outside the group gets the signal: TERM only without a living parent, which passes it on."""
    return number == signal.SIGKILL or all(row.parent != other.pid for other in living)


def _signal_group(number: int, group: int, living: Sequence[ProcessRow]) -> None:
    if any(row.group == group for row in living):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _signal(number: int, rows: Sequence[ProcessRow]) -> None:
    for row in rows:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(row.pid, number)


def is_in_use(port: int) -> bool:
    """Return whether a process listens on the port, on any address."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignores connections in TIME_WAIT
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def _open_files(limit: int | None) -> str:
    """Return the soft limit of open files in the words of a shell, where *limit* is the hard one."""
    if limit is not None:
        return str(limit if OPEN_FILES == resource.RLIM_INFINITY else min(OPEN_FILES, limit))
    return "unlimited" if OPEN_FILES == resource.RLIM_INFINITY else str(OPEN_FILES)


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
