"""`stageline archive`: the move of old events of closed deployments from the log into the files of its archive."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from server import progress
from server.settings import Settings
from store import archive
from store.archive import Archived
from store.log import LogUnavailable
from store.postgres import archive as postgres
from store.postgres.archive import PostgresArchiving
from store.sqlite import archive as sqlite
from store.sqlite.archive import SqliteArchiving


class ArchiveReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """The output with `--json`: what went into the archive, or would if *dry_run*.

    *bytes* is the size of what went out of the rows of events, *archive_bytes* that of the new files. The last two are
    the sizes of the log: of its file on SQLite, of the table of events with its indexes on PostgreSQL.
    """

    dry_run: bool
    deployments: int
    events: int
    segments: int
    bytes: int
    archive_bytes: int
    log_bytes_before: int
    log_bytes_after: int

    @property
    def text(self) -> str:
        verb = "Would archive" if self.dry_run else "Archived"
        moved = (
            f"{verb} {self.events:,} events of {self.deployments:,} deployments: {self.bytes:,} bytes of the log, as "
            f"{self.archive_bytes:,} bytes in {self.segments:,} file{'' if self.segments == 1 else 's'}."
        )
        if self.dry_run:
            return moved
        return f"{moved} The log had {self.log_bytes_before:,} bytes, and has {self.log_bytes_after:,}."


def run(settings: Settings, age: timedelta, dry_run: bool, as_json: bool) -> None:
    """Archive the deployments that ended before that *age*, and print the numbers. Exit with 1 if that fails."""
    try:
        report = asyncio.run(_run(settings, datetime.now(UTC) - age, dry_run))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit("Interrupted. What was archived until now stays so; run the command again to go on.")
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() if as_json else report.text)


async def _run(settings: Settings, before: datetime, dry_run: bool) -> ArchiveReport:
    folder = None if dry_run else _folder(settings)
    async with _opened(settings, dry_run) as log:
        size_before = await log.size()
        archived = await archive.archive(log, folder, before, progress.show)
        if not dry_run:  # also after a run that was interrupted before it
            await log.shrink()
        return _report(archived, dry_run, size_before, await log.size())


def _folder(settings: Settings) -> Path:
    if settings.database is None:
        return settings.data / archive.FOLDER
    if settings.archive is None:
        raise LogUnavailable("The folder of the archive is not named: give it with --archive, or in STAGELINE_ARCHIVE.")
    return settings.archive


def _report(archived: Archived, dry_run: bool, size_before: int, size_after: int) -> ArchiveReport:
    return ArchiveReport(
        dry_run=dry_run,
        deployments=archived.deployments,
        events=archived.events,
        segments=archived.segments,
        bytes=archived.bytes,
        archive_bytes=archived.size,
        log_bytes_before=size_before,
        log_bytes_after=size_after,
    )


@asynccontextmanager
async def _opened(settings: Settings, dry_run: bool) -> AsyncIterator[SqliteArchiving | PostgresArchiving]:
    if settings.database is not None:
        async with postgres.archiving(settings.database) as log:
            yield log
        return
    with sqlite.archiving(settings.data, is_dry_run=dry_run) as found:
        yield found
