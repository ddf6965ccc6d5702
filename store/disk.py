"""Files that only their owner may read, and what SQLite says of a disk, in words for who runs the server."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing.persistence import PersistenceError

from store.log import LogUnavailable

_NOT_OURS = "it can't be written to: give its file and its folder to the user that the server runs as"
_LOCKED = "another program holds it locked: end that program (a backup, an SQLite shell), then try again"
_BROKEN = "stop the server, and restore a backup"

ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space, then try again",
    sqlite3.SQLITE_READONLY: _NOT_OURS,
    sqlite3.SQLITE_PERM: _NOT_OURS,
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: see that its folder is there, and whose it is",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: "the disk failed: see the system's log",
    sqlite3.SQLITE_CORRUPT: f"it is damaged: {_BROKEN}",
    sqlite3.SQLITE_NOTADB: f"it is no SQLite database: {_BROKEN}",
}
"""By SQLite's primary result code, https://www.sqlite.org/rescode.html."""


def private(path: str, flags: int) -> int:
    """Open a file as `open` does whose *opener* this is. A new file is for its owner only, in whichever folder.

    A umask for the whole server would do the same, but services inherit it, and they are to have the user's own.
    """
    return os.open(path, flags, 0o600)


def folder(path: Path) -> None:
    """Make the folder *path*, and each missing one above it, for their owner only."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def is_open_to_others(path: Path) -> bool:
    """Return whether the mode of the folder *path* lets other users in."""
    return bool(path.stat().st_mode & 0o077)


def make(path: Path) -> None:
    """Make the file *path* and its folder where they are missing, for their owner only.

    SQLite gives the files that it puts beside a database (-wal, -shm, -journal) the database's own mode.
    """
    with explained(path):
        folder(path.parent)
        os.close(private(str(path), os.O_RDWR | os.O_CREAT))


def lock(path: Path) -> int:
    """Holds the file *path* for this process: until the descriptor is closed, or the process ends in whatever way.

    Raises `LogUnavailable` if another holds it.
    """
    make(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise LogUnavailable(
            f"Another Stageline server uses the data folder {path.parent} (process {holder}): "
            "stop it, or give this one a folder of its own."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the system, SQLite or the library raises over *path* into `LogUnavailable`."""
    try:
        yield
    except (OSError, sqlite3.Error, PersistenceError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary one
        raise LogUnavailable(f"{path}: {ADVICE.get(code, str(error))}.") from error
