"""The removal of old output and old idempotency keys: in the background, and by `stageline prune`."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from server.settings import Settings
from store.log import LogUnavailable
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.retention import KEY_BATCH, MAX_KEYS, PrunableKeys, PrunableOutput, Retention, StoredOutput, expired
from store.sqlite.log import SqliteLog
from store.sqlite.output import SqliteOutput
from store.sqlite.snapshot import LOG, OUTPUT, SqliteSnapshot, check_folder, read_only

INTERVAL = 3600.0
"""Time between two removals, in seconds."""

FIRST = 60.0
"""Time from the start to the first removal, in seconds."""

PAUSE = 0.02
"""Time between two batches, in seconds, in which others use the database."""

BEGINNING = datetime.min.replace(tzinfo=UTC)

logger = logging.getLogger("stageline")


class Expired(Struct, frozen=True, kw_only=True):
    """The output and the idempotency keys that are beyond the limits."""

    output: Sequence[StoredOutput]
    keys: Sequence[str]


class PruneReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """The output with `--json`: the numbers that were removed, or would be if *dry_run*; *bytes* are those of lines."""

    dry_run: bool
    deployments: int
    lines: int
    bytes: int
    idempotency_keys: int

    @property
    def text(self) -> str:
        verb = "Would remove" if self.dry_run else "Removed"
        return (
            f"{verb} {self.lines:,} lines of output ({self.bytes:,} bytes) of {self.deployments:,} deployments, and "
            f"{self.idempotency_keys:,} idempotency keys."
        )


async def find(output: PrunableOutput, keys: PrunableKeys, retention: Retention) -> Expired:
    """Return the expired output and idempotency keys."""
    now = datetime.now(UTC)
    before = BEGINNING if retention.key_age is None else now - retention.key_age
    return Expired(
        output=tuple(expired(await output.stored(), retention, now)),
        keys=await keys.expired_keys(before, MAX_KEYS),
    )


async def remove(output: PrunableOutput, keys: PrunableKeys, found: Expired) -> None:
    """Remove *found* in small batches."""
    for each in found.output:
        while await output.prune(each.deployment):
            await asyncio.sleep(PAUSE)
    for start in range(0, len(found.keys), KEY_BATCH):
        await keys.forget_keys(found.keys[start : start + KEY_BATCH])
        await asyncio.sleep(PAUSE)


async def run(output: PrunableOutput, keys: PrunableKeys, retention: Retention) -> None:
    """Prune until cancelled. Several servers may do so at once."""
    await asyncio.sleep(FIRST)
    while True:
        try:
            found = await find(output, keys, retention)
            await remove(output, keys, found)
            if found.output or found.keys:
                logger.info("Retention: %(report)s", {"report": _report(found, dry_run=False).text})
        except LogUnavailable as fault:
            logger.warning("Retention failed, and is tried again in an hour: %(reason)s", {"reason": fault})
        await asyncio.sleep(INTERVAL)


def prune(settings: Settings, retention: Retention, dry_run: bool, as_json: bool) -> None:
    """Remove everything beyond the limits, and print the numbers. Exit with 1 and the reason if that fails."""
    try:
        found = asyncio.run(_prune(settings, retention, dry_run))
    except LogUnavailable as reason:
        sys.exit(str(reason))
    report = _report(found, dry_run)
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() if as_json else report.text)


def _report(found: Expired, dry_run: bool) -> PruneReport:
    return PruneReport(
        dry_run=dry_run,
        deployments=len(found.output),
        lines=sum(each.lines for each in found.output),
        bytes=sum(each.bytes for each in found.output),
        idempotency_keys=len(found.keys),
    )


async def _prune(settings: Settings, retention: Retention, dry_run: bool) -> Expired:
    is_read_only = dry_run and settings.database is None
    async with _reading(settings.data) if is_read_only else _opened(settings) as (output, keys):
        found = await find(output, keys, retention)
        if not dry_run:
            await remove(output, keys, found)
    return found


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[PrunableOutput, PrunableKeys]]:
    """Open the stores to write to them; on SQLite no server may run."""
    log: SqliteLog | PostgresLog
    output: SqliteOutput | PostgresOutput
    if settings.database is None:
        check_folder(settings.data)
        try:
            log = await SqliteLog.open(settings.data / LOG)
        except LogUnavailable as fault:
            raise LogUnavailable(f"{fault} A running server prunes by itself; --dry-run needs no stop.") from fault
        output = await SqliteOutput.open(settings.data / OUTPUT)
    else:
        log = await PostgresLog.open(settings.database)
        output = await PostgresOutput.open(settings.database, log.witness.check)
    try:
        yield output, log
    finally:
        await output.close()
        await log.close()


@asynccontextmanager
async def _reading(data: Path) -> AsyncIterator[tuple[PrunableOutput, PrunableKeys]]:
    """Open the stores in a folder to read them, while a server may use them."""
    check_folder(data)
    output = await SqliteOutput.open(data / OUTPUT)
    try:
        with read_only(data / LOG) as log:
            yield output, SqliteSnapshot(log, data)
    finally:
        await output.close()
