"""
An archiving that kills itself at a point of its first segment; see `tests.store.test_archive`.

    python -m tests.store.archiving FOLDER DSN POINT
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from store import archive
from store.archive import ArchivableEvent, ArchivableLog, SealedFile, Segment
from store.postgres import archive as postgres
from store.sqlite import archive as sqlite

LATER = datetime(2027, 2, 5, 12, tzinfo=UTC)
"""The deployments that ended before are archived."""

SMALL = 4_000
"""Size of a segment of a few events, in bytes."""

POINTS = "rename", "file", "rows", "recorded"
"""The file has its temporary name; it is complete; some of its rows are emptied; it is recorded."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Positions(list[int]):
    """Positions whose second half is never read."""

    def __iter__(self) -> Iterator[int]:
        yield from self[: len(self) // 2]
        die()


class Dying:
    """An archiving of *log* that ends at *point*."""

    def __init__(self, log: ArchivableLog, point: str) -> None:
        self._log, self._point = log, point
        if point == "rename":
            sys.addaudithook(lambda event, _: die() if event == "os.rename" else None)

    async def segments(self) -> Sequence[Segment]:
        return await self._log.segments()

    async def end(self, before: datetime) -> int:
        return await self._log.end(before)

    async def closed(self, after: int, until: int) -> Sequence[UUID]:
        return await self._log.closed(after, until)

    async def archivable(self, stream: UUID, after: int, until: int) -> Sequence[ArchivableEvent]:
        return await self._log.archivable(stream, after, until)

    async def record(self, sealed: SealedFile, positions: Sequence[int]) -> None:
        if self._point == "file":
            die()
        await self._log.record(sealed, Positions(positions) if self._point == "rows" else positions)
        if self._point == "recorded":
            die()


async def main(folder: Path, dsn: str, point: str) -> None:
    archive.SEGMENT_BYTES = SMALL
    async with AsyncExitStack() as stack:
        log: ArchivableLog
        if dsn:
            log = await stack.enter_async_context(postgres.archiving(dsn))
        else:
            log = stack.enter_context(sqlite.archiving(folder, is_dry_run=False))
        await archive.archive(Dying(log, point), folder / archive.FOLDER, LATER, lambda share: None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
