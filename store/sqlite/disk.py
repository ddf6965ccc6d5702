"""Private files and folders, and SQLite's errors as messages for the operator."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing.persistence import PersistenceError

from store.log import LogUnavailable

_NOT_WRITABLE = "the file is not writable: make the server's user the owner of the file and its folder"
_LOCKED = "another program has locked the file: end that program (a backup, an SQLite shell), then try again"
_RESTORE = "stop the server, and restore a backup"

ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space, then try again",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened: check that its folder exists and who owns it",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: "the disk failed: check the system's log",
    sqlite3.SQLITE_CORRUPT: f"the file is damaged: {_RESTORE}",
    sqlite3.SQLITE_NOTADB: f"the file is not an SQLite database: {_RESTORE}",
}
"""Messages by SQLite's primary result code, https://www.sqlite.org/rescode.html."""

_NOT_ALLOWED = "the server's user may not write there: make that user the owner, or name another folder (--data)"
_NO_FOLDER = "a part of the path is a file: name another folder (--data)"

SYSTEM_ADVICE = {
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: "the file system is read-only: name another folder (--data)",
    errno.ENOSPC: ADVICE[sqlite3.SQLITE_FULL],
    errno.EDQUOT: "the disk quota is used up: free some space, then try again",
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
}
"""Messages by the number of a system's error."""


def open_private(path: str, flags: int) -> int:
    """Open a file with mode 0600, as an *opener* for `open`.

    A umask of the server would do the same, but services would inherit it.
    """
    return os.open(path, flags, 0o600)


def make_folder(path: Path) -> None:
    """Create the folder *path* and its missing parents, with mode 0700."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def is_open_to_others(path: Path) -> bool:
    """Return whether other users may access the folder *path*."""
    return bool(path.stat().st_mode & 0o077)


def make_file(path: Path) -> None:
    """Create the file *path* and its folder if they are missing, for their owner only.

    SQLite creates the files beside a database (-wal, -shm, -journal) with the mode of the database.
    """
    with translate_errors(path):
        make_folder(path.parent)
        os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))


def lock(path: Path) -> int:
    """Lock the file *path* until the returned descriptor is closed or the process ends.

    Raises `LogUnavailable` if another process has the lock.
    """
    make_file(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise LogUnavailable(
            f"Another Stageline server uses the data folder {path.parent} (process {holder}): "
            "stop it, or name another data folder (--data)."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise errors of the system, SQLite or the library at *path* as `LogUnavailable`."""
    try:
        yield
    except (OSError, sqlite3.Error, PersistenceError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary code
        advice = SYSTEM_ADVICE.get(getattr(error, "errno", None) or 0, str(error))
        raise LogUnavailable(f"{path}: {ADVICE.get(code, advice)}.") from error
