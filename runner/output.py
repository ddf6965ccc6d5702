"""The output of a step, buffered on its way to the store."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from runner.retry import retry
from runner.targets.contract import Work
from store.output import LineKind, OutputStore

LINES = 200
PAUSE = 0.05
"""Maximum number of lines, and of seconds, before buffered lines are stored."""


class BufferedOutput:
    """The output of the attempt *work*. Leaving the block stores all lines, unless it is cancelled.

    A crash loses the lines in the buffer. The next server reads them again from `offset`.
    """

    def __init__(self, store: OutputStore, work: Work) -> None:
        self._store, self._work = store, work
        self._lines: list[str] = []
        self._upto = 0
        self._keeping = asyncio.Lock()
        self._later: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        later = self._later
        if later is None and not self._lines:
            return
        try:
            if not isinstance(error, asyncio.CancelledError):
                await self._keep()
                self._check(later)
        finally:
            if later is not None:
                later.cancel()

    async def offset(self) -> int:
        work = self._work
        return await retry(lambda: self._store.offset(work.deployment, work.service, work.phase, work.attempt))

    async def write(self, lines: Sequence[str], upto: int) -> None:
        self._check(self._later)
        self._lines += lines
        self._upto = upto
        if len(self._lines) >= LINES:
            await self._keep()
        elif self._later is None or self._later.done():
            self._later = asyncio.create_task(self._keep_soon())

    async def note(self, text: str) -> None:
        """Store *text* as a note, unless it is the last line already, as after the attempt was resumed."""
        await self._keep()
        work, text = self._work, " ".join(text.split())
        last = await retry(lambda: self._store.read(work.deployment, work.service, limit=1, newest=True))
        same = (work.phase, work.attempt, LineKind.NOTE, text)
        if [same] != [(line.phase, line.attempt, line.kind, line.text) for line in last]:
            await self._append([text], LineKind.NOTE)

    async def _keep_soon(self) -> None:
        await asyncio.sleep(PAUSE)
        await self._keep()

    def _check(self, later: asyncio.Task[None] | None) -> None:
        """Raise the error of the last store, since lines after a gap must not be stored."""
        if later is not None and later.done():
            later.result()

    async def _keep(self) -> None:
        async with self._keeping:
            while self._lines:
                lines, self._lines = self._lines, []
                await self._append(lines, LineKind.LINE, self._upto)

    async def _append(self, lines: Sequence[str], kind: LineKind, upto: int | None = None) -> None:
        work = self._work
        await retry(
            lambda: self._store.append(
                work.deployment, work.service, work.phase, work.attempt, lines, kind=kind, offset=upto
            )
        )
