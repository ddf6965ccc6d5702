"""
A process that projects until it is killed, and prints a line after each write.

    python -m tests.projections.sqlite.crashing LOG VIEWS
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from projections.engine.projector import Projector
from projections.engine.views import Advance, ViewRow
from projections.sqlite.views import SqliteViews
from store.sqlite.log import SqliteLog
from tests.projections.world import PROJECTIONS


class ReportingViews(SqliteViews):
    async def save(self, steps: Sequence[Advance]) -> None:
        await super().save(steps)
        print("saved", flush=True)

    async def fill(self, generation: int, rows: Sequence[ViewRow], removed: Sequence[UUID] = ()) -> None:
        await super().fill(generation, rows, removed)
        print("filled", flush=True)


async def main(log: Path, views: Path) -> None:
    store = await ReportingViews.open(views)
    projector = Projector(await SqliteLog.open(log), store, PROJECTIONS)
    await projector.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
