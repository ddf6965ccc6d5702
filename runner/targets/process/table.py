"""
The table of the machine's processes, read from /proc, or with psutil where there is no /proc.

The processes of an attempt are found by their group, by the environment variable `STAMP`, which daemons in sessions of
their own inherit, too, and by their parents. A daemon that overwrites its environment and leaves its parent is lost.
"""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

STAMP = "STAGELINE_STEP"
"""Name of the environment variable that holds the folder of a process's attempt."""

PROC = Path("/proc/self/stat")
"""A file that exists where processes are read from /proc."""


class ProcessRow(Struct, frozen=True):
    """A living process. *started* is its time of start in the system's own unit, to tell apart reused ids."""

    pid: int
    parent: int
    group: int
    started: int
    stamp: str | None

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started


_stamps: Mapping[tuple[int, int], str | None] = {}
"""The stamps of the processes in the last table: a process keeps its stamp, even if it overwrites its environment."""


def read() -> list[ProcessRow]:
    """Return the living processes, without zombies: 10 µs each, and 10 µs more for a new one."""
    if not PROC.exists():
        return list(_from_psutil())
    global _stamps
    rows = list(_from_proc(_stamps))
    _stamps = {row.identity: row.stamp for row in rows}  # never half filled: several threads may read
    return rows


def _from_proc(stamps: Mapping[tuple[int, int], str | None]) -> Iterator[ProcessRow]:
    """See proc_pid_stat(5): the name of the program is in parentheses, and may contain some."""
    for pid in psutil.pids():
        with suppress(OSError):
            state, parent, group, *others = _bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                started = int(others[16])
                stamp = stamps[pid, started] if (pid, started) in stamps else _stamp(pid)
                yield ProcessRow(pid, int(parent), int(group), started, stamp)


def has_zombies(known: Collection[tuple[int, int]]) -> bool:
    """Return whether any of the ended processes is not reaped yet; False where there is no /proc."""
    if not PROC.exists():
        return False
    for pid, started in known:
        with suppress(OSError, IndexError):
            if int(_bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19]) == started:
                return True
    return False


def _stamp(pid: int) -> str | None:
    environment = b""
    with suppress(OSError):  # a process of another user
        environment = b"\0" + _bytes(f"/proc/{pid}/environ")
    _, found, rest = environment.partition(f"\0{STAMP}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else None


def _bytes(path: str) -> bytes:
    """Return the content of a file; `Path.read_bytes` takes three times as long."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = part = os.read(descriptor, 65_536)
        while part:
            content += (part := os.read(descriptor, 65_536))
        return content
    finally:
        os.close(descriptor)


def _from_psutil() -> Iterator[ProcessRow]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                stamp = None
                with suppress(psutil.Error, OSError):
                    stamp = process.environ().get(STAMP)
                started = int(process.create_time() * 1000)
                yield ProcessRow(process.pid, process.ppid(), os.getpgid(process.pid), started, stamp)


def own(
    rows: Sequence[ProcessRow], folder: Path, group: int | None, known: Collection[tuple[int, int]] = ()
) -> list[ProcessRow]:
    """Return the rows of the attempt in *folder*: stamped, in *group*, already *known*, or children of such ones."""
    stamp = str(folder)
    found = {row.pid: row for row in rows if row.stamp == stamp or row.group == group or row.identity in known}
    children: dict[int, list[ProcessRow]] = {}
    for row in rows:
        children.setdefault(row.parent, []).append(row)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return list(found.values())


class ProcessTables:
    """Tables that are read in a thread; those who ask at the same time get the same one."""

    def __init__(self) -> None:
        self._next: asyncio.Task[list[ProcessRow]] | None = None

    async def read(self) -> list[ProcessRow]:
        """Return a table that is not older than this call."""
        if self._next is None or self._next.get_loop() is not asyncio.get_running_loop():
            self._next = asyncio.create_task(self._read())
        return await asyncio.shield(self._next)

    async def _read(self) -> list[ProcessRow]:
        await asyncio.sleep(0)  # others ask, too
        self._next = None
        return await asyncio.to_thread(read)


tables = ProcessTables()
