"""
The machine that steps run on as processes.

It is known by a number in its data folder: workers with the same folder are on the same machine, and take up each
other's processes. Whoever works there holds a lock on that file, so that the first one to come knows that it is.
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

from store import disk, ids
from store.log import LogUnavailable


class Machine(Struct, frozen=True):
    """*file* holds its number; when it was last written to is when a worker last gave a sign of life."""

    id: UUID
    name: str
    file: Path

    def live(self) -> None:
        """Gives a sign of life; raises `LogUnavailable` if the file is gone: whoever starts there next is another."""
        try:
            os.utime(self.file)
        except OSError as error:
            raise LogUnavailable(f"{self.file}: {error.strerror}. Start it anew, if that isn't back.") from error

    @asynccontextmanager
    async def occupied(self, tidy: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Works there meanwhile. Who comes first tidies up before anybody else comes in."""
        descriptor = os.open(self.file, os.O_RDWR)
        try:
            if _locks(descriptor, fcntl.LOCK_EX):
                await tidy()
            while not _locks(descriptor, fcntl.LOCK_SH):
                await asyncio.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def machine(data: Path) -> Machine:
    """The one whose data folder is *data*; it gets its number when it is asked for it the first time.

    Raises `LogUnavailable` if what is there is no number.
    """
    file = data / "machine"
    disk.folder(data)
    if not file.exists():
        draft = data / f".machine-{os.getpid()}"
        with open(draft, "w", opener=disk.private) as number:
            number.write(f"{ids.new()}\n")
        try:
            file.hardlink_to(draft)  # whole, or not there; and never over the number that another has just given it
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        return Machine(UUID(file.read_text().strip()), socket.gethostname(), file)
    except ValueError as error:
        raise LogUnavailable(f"{file} holds no machine's number: without it this will be another machine.") from error


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
