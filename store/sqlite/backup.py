"""
A consistent copy of a data folder, also while a server uses it: to back it up, and to restore a backup.

Copying the files themselves loses the events in the write-ahead log. This copies through SQLite: each file as it stood
in one read transaction, and the segments of the archive that the log lists then. The output of steps is read before the
log, so the copied log has every deployment with output.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from store import archive
from store.log import LogUnavailable
from store.sqlite import disk, tables
from store.sqlite.snapshot import LOG, OUTPUT, check_folder

CURSORS = "cursors.db"
KEYS = "keys.db"
SIGNING_KEY = "signing-key.pem"

RESTORED = "restored"
"""Name of the file that marks a restored copy until it takes over from the original."""

PART = "-part"
"""Ending of a file's name until the copy is complete; the log is renamed last."""

PAGES = 2_000
"""Number of pages that are copied between two reports of the progress."""

ReportProgress = Callable[[float], None]
"""Is called with the progress, from 0 to 1."""


def copy(
    data: Path,
    target: Path,
    report: ReportProgress,
    signing_key: Path | None = None,
    *,
    is_restore: bool = False,
) -> tuple[int, tuple[str, ...]]:
    """Copy the folder *data* into the new or empty folder *target*; return the number of events, and the copied files.

    *signing_key* is the file of the key if it is not in the folder. A restore is marked as such.
    Raises `LogUnavailable`, and leaves no partial copy behind.
    """
    check_complete(data)
    check_folder(data)
    with disk.translate_errors(target):
        check_complete(target)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise LogUnavailable(f"{target} is not empty: name a new folder.")
        disk.make_folder(target)
    try:
        with disk.translate_errors(target):
            events, copied = _copy(data, target, report)
            key = signing_key or data / SIGNING_KEY
            if signing_key is not None or key.exists():
                copied.append(SIGNING_KEY)
                _copy_file(key, target / f"{SIGNING_KEY}{PART}")
            if (target / archive.FOLDER).exists():
                copied.append(archive.FOLDER)
            if is_restore:
                disk.make_file(target / RESTORED)
            _complete(target, copied)
    except BaseException:
        for path in target.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    report(1)
    return events, tuple(copied)


def check_complete(folder: Path) -> None:
    """Raise `LogUnavailable` if a backup into *folder*, or a restore, was interrupted."""
    if any((folder / f"{name}{PART}").exists() for name in (OUTPUT, CURSORS, LOG, KEYS, SIGNING_KEY)):
        raise LogUnavailable(
            f"{folder} holds a part of a copy that is still running or was interrupted: remove the folder if no "
            "`stageline backup` or `stageline restore` runs, and copy again."
        )


def _copy_file(source: Path, target: Path) -> None:
    disk.make_file(target)
    with disk.translate_errors(source):
        shutil.copyfile(source, target)


def _copy(data: Path, target: Path, report: ReportProgress) -> tuple[int, list[str]]:
    """Copy the databases under temporary names; return the number of events and the names of the files."""
    copied: list[str] = []
    with _snapshots(data) as snapshots:
        for name, source in snapshots.items():
            copied.append(name)
            with disk.translate_errors(data / name), closing(_create(target, name)) as written:
                source.backup(written, pages=PAGES, progress=partial(_report, report, len(copied) / len(snapshots)))
                written.execute("PRAGMA journal_mode = DELETE")  # one file each, without a write-ahead log
        with disk.translate_errors(data / LOG):
            _copy_archive(data, target, snapshots[LOG])
            (events,) = snapshots[LOG].execute("SELECT coalesce(max(rowid), 0) FROM stored_events").fetchone()
        if (data / KEYS).exists():  # after the log: a destroyed key must not come back
            copied.append(KEYS)
            with (
                disk.translate_errors(data / KEYS),
                closing(_open(data / KEYS)) as keys,
                closing(_create(target, KEYS)) as written,
            ):
                keys.backup(written)
    return int(events), copied


def _copy_archive(data: Path, target: Path, log: sqlite3.Connection) -> None:
    """Copy the segments that *log* lists, each of which is verified."""
    for segment in tables.segments(lambda statement: log.execute(statement).fetchall()):
        archive.write(target / archive.FOLDER / segment.name, archive.read(data / archive.FOLDER, segment))


@contextmanager
def _snapshots(data: Path) -> Iterator[dict[str, sqlite3.Connection]]:
    """Open read transactions on the output and the cursors, and then on the log."""
    with ExitStack() as stack:
        opened = {}
        for name in (OUTPUT, CURSORS, LOG):  # neither of the first two is ahead of the log
            if (data / name).exists():
                with disk.translate_errors(data / name):
                    opened[name] = stack.enter_context(closing(_open(data / name)))
                    opened[name].execute("BEGIN")
                    opened[name].execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        yield opened


def _open(path: Path) -> sqlite3.Connection:
    """Connect to an existing file. SQLite may have to write to it: to recover it after a crash."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)


def _create(target: Path, name: str) -> sqlite3.Connection:
    path = target / f"{name}{PART}"
    disk.make_file(path)
    return sqlite3.connect(path, isolation_level=None)


def _report(report: ReportProgress, share: float, _: int, remaining: int, total: int) -> None:
    report(min(0.99, share * (1 - remaining / max(1, total))))


def _complete(target: Path, names: Sequence[str]) -> None:
    """Give the files their names once they are on the disk."""
    files = [name for name in names if name != archive.FOLDER]  # which is complete
    for name in files:
        _sync(target / f"{name}{PART}")
    for name in sorted(files, key=lambda each: each == LOG):
        (target / f"{name}{PART}").rename(target / name)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
