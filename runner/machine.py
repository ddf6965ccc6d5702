"""
The machine that environments of local targets are bound to.

A file in the data folder has its id. Workers with the same folder are on the same machine, and adopt each other's
processes. Each worker holds a lock on that file, so the first one knows that it is the first.
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from store import ids
from store.log import LogUnavailable
from store.sqlite import disk


class Machine(Struct, frozen=True):
    """A machine by its id. *file* holds the id; its modification time is the last heartbeat of a worker."""

    id: UUID
    name: str
    file: Path

    def live(self) -> None:
        """Record a heartbeat; raise `LogUnavailable` if the file is gone, since the next start makes a new machine."""
        try:
            os.utime(self.file)
        except OSError as error:
            raise LogUnavailable(f"{self.file}: {error.strerror}. Restore the file or restart the worker.") from error

    @asynccontextmanager
    async def occupied(self, clean_up: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Hold the machine for the block. The first worker awaits *clean_up* before any other enters."""
        descriptor = os.open(self.file, os.O_RDWR)
        try:
            if _locks(descriptor, fcntl.LOCK_EX):
                await clean_up()
            while not _locks(descriptor, fcntl.LOCK_SH):
                await asyncio.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def machine(data: Path) -> Machine:
    """Return the machine of the data folder *data*, and create its id at the first call.

    Raises `LogUnavailable` if the file holds no id.
    """
    file = data / "machine"
    disk.make_folder(data)
    if not file.exists():
        draft = data / f".machine-{os.getpid()}"
        with open(draft, "w", opener=disk.open_private) as number:
            number.write(f"{ids.new()}\n")
        try:
            file.hardlink_to(draft)  # atomic, and never replaces the id of a concurrent start
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        return Machine(UUID(file.read_text().strip()), socket.gethostname(), file)
    except ValueError as error:
        raise LogUnavailable(
            f"{file} holds no machine id. Restore it; if you remove it, this becomes another machine."
        ) from error


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
