"""The output of a step, buffered on its way to the store."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from domain.deployment.step import UsedImage
from runner.retry import retry
from runner.targets.contract import StepRequest
from store.output import MAX_UNFINISHED, LineKind, OutputSelection, OutputStore

LINES = 200
"""Number of buffered lines that are stored at once."""

PAUSE = 0.05
"""Maximum time that fewer lines stay in the buffer, in seconds."""


class BufferedOutput:
    """The output of the attempt that *request* is for. Leaving the block stores all lines, unless it is cancelled.

    A crash loses the lines in the buffer. The next server reads them again from `offset`.
    """

    def __init__(self, store: OutputStore, request: StepRequest) -> None:
        self._store, self._request = store, request
        self._lines: list[str] = []
        self._upto = 0
        self._unfinished = ""
        self.image: UsedImage | None = None
        self._shown = ""  # the stored unfinished line
        self._lock = asyncio.Lock()
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
                self._unfinished = ""
                await self._store_lines()
                self._check(later)
        finally:
            if later is not None:
                later.cancel()

    async def offset(self) -> int:
        request = self._request
        return await retry(
            lambda: self._store.offset(request.deployment, request.service, request.phase, request.attempt)
        )

    async def write(self, lines: Sequence[str], upto: int) -> None:
        self._check(self._later)
        self._lines += lines
        self._upto = upto
        self._unfinished = ""
        if len(self._lines) >= LINES:
            await self._store_lines()
        else:
            self._store_later()

    async def show_unfinished(self, text: str) -> None:
        """Store the first characters of *text*, at most `MAX_UNFINISHED`, as the unfinished line."""
        self._check(self._later)
        self._unfinished = text[:MAX_UNFINISHED]
        self._store_later()

    def use(self, image: UsedImage) -> None:
        self.image = image

    async def note(self, text: str, kind: LineKind = LineKind.NOTE) -> None:
        """Store *text* as a note, unless it is the last line already, as after the attempt was resumed."""
        await self._store_lines()
        request, text = self._request, " ".join(text.split())
        of_service = OutputSelection(service=request.service)
        last = await retry(lambda: self._store.read(request.deployment, of_service, limit=1, newest=True))
        same = (request.phase, request.attempt, kind, text)
        if [same] != [(line.phase, line.attempt, line.kind, line.text) for line in last]:
            await self._append([text], kind)

    def _store_later(self) -> None:
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._store_soon())

    async def _store_soon(self) -> None:
        await asyncio.sleep(PAUSE)
        await self._store_lines()

    def _check(self, later: asyncio.Task[None] | None) -> None:
        """Raise the error of the last store, since lines after a gap must not be stored."""
        if later is not None and later.done():
            later.result()

    async def _store_lines(self) -> None:
        async with self._lock:
            while self._lines:
                lines, self._lines = self._lines, []
                await self._append(lines, LineKind.LINE, self._upto)
            if self._unfinished != self._shown:
                await self._show(self._unfinished)

    async def _show(self, text: str) -> None:
        request = self._request
        await retry(
            lambda: self._store.set_unfinished(
                request.deployment, request.service, request.phase, request.attempt, text
            )
        )
        self._shown = text

    async def _append(self, lines: Sequence[str], kind: LineKind, upto: int | None = None) -> None:
        request = self._request
        await retry(
            lambda: self._store.append(
                request.deployment, request.service, request.phase, request.attempt, lines, kind=kind, offset=upto
            )
        )
        self._shown = ""  # the store has removed it
