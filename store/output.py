"""
The output of steps.

Lines are not events: there are many, and no decision depends on them. The lines of a deployment are numbered 1, 2, 3 …
in the order in which they were stored, over all its steps. The number serves as a cursor.

A line without its end yet is unfinished. It has no number, and its newest text replaces the one before.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.step import Phase

MAX_UNFINISHED = 1000
"""Maximum length of an unfinished line, in characters; the rest comes with its end."""

MAX_SEARCHED = 64 * 1024 * 1024
"""Maximum size of the output that one search reads, in bytes: more than an attempt can have."""

PART = 1024 * 1024
"""Size of the output that is read at once in a search, in bytes."""

BATCH_LINES = 1000
"""Maximum number of lines in a batch for a follower."""

BATCH_BYTES = 256 * 1024
"""Size of a batch for a follower, in bytes."""

NEWEST = 2**62
"""A number above that of every line."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class LineKind(StrEnum):
    """The source of a line: LINE was printed by the step; Stageline wrote NOTE, and FAILURE when the attempt failed."""

    LINE = "LINE"
    NOTE = "NOTE"
    FAILURE = "FAILURE"


class OutputSelection(Struct, frozen=True, kw_only=True):
    """A part of a deployment's output: of a service, of its builds or deploys, of attempts with one number."""

    service: UUID | None = None
    phase: Phase | None = None
    attempt: int | None = None


EVERYTHING = OutputSelection()
"""All output of a deployment."""


class OutputPart(Struct, frozen=True):
    """The *selection* of the output of a deployment, from the line after number *after* on."""

    deployment: UUID
    selection: OutputSelection = EVERYTHING
    after: int = 0


class OutputLine(Struct, frozen=True, kw_only=True):
    """A line of an attempt at a step."""

    number: int
    at: datetime
    service: UUID
    phase: Phase
    attempt: int
    kind: LineKind
    text: str


class OutputChunk(Struct, frozen=True, kw_only=True):
    """Consecutive lines of an attempt that were stored together, or some of them: those from *start* to *stop*.

    *first* is the number of the line at *start*. *encoded* is the JSON list of the texts of all lines.
    """

    first: int
    at: datetime
    service: UUID
    phase: Phase
    attempt: int
    kind: LineKind
    encoded: bytes
    start: int
    stop: int

    @property
    def last(self) -> int:
        return self.first + self.stop - self.start - 1

    @property
    def texts(self) -> list[str]:
        return _decode(self.encoded)[self.start : self.stop]

    def lines(self) -> Iterator[OutputLine]:
        for number, text in enumerate(self.texts, self.first):
            yield OutputLine(
                number=number,
                at=self.at,
                service=self.service,
                phase=self.phase,
                attempt=self.attempt,
                kind=self.kind,
                text=text,
            )

    def between(self, after: int, before: int) -> "OutputChunk":
        """Return the lines with numbers above *after* and below *before*; there must be some."""
        earlier, later = max(0, after + 1 - self.first), max(0, self.last + 1 - before)
        return replace(self, first=self.first + earlier, start=self.start + earlier, stop=self.stop - later)


class UnfinishedLine(Struct, frozen=True, kw_only=True):
    """The newest text of an attempt's last line, which has no end yet."""

    service: UUID
    phase: Phase
    attempt: int
    text: str


class OutputBatch(Struct, frozen=True, kw_only=True):
    """New lines for a follower, and all lines that are unfinished now."""

    chunks: Sequence[OutputChunk]
    unfinished: Sequence[UnfinishedLine]

    @property
    def is_full(self) -> bool:
        """Whether more lines may be stored already."""
        lines = sum(chunk.stop - chunk.start for chunk in self.chunks)
        return lines >= BATCH_LINES or sum(len(chunk.encoded) for chunk in self.chunks) >= BATCH_BYTES

    def lines(self) -> list[OutputLine]:
        return [line for chunk in self.chunks for line in chunk.lines()]


class OutputSummary(Struct, frozen=True):
    """The number of lines with notes, and the number of the line that says why the first attempt failed."""

    lines: int
    failure: int | None


class SearchResult(Struct, frozen=True):
    """Lines that a search found; *reached* is the number of the last line read if it ended at `MAX_SEARCHED`."""

    lines: Sequence[OutputLine]
    reached: int | None


class OutputStore(Protocol):
    """The store of output lines. Methods raise `LogUnavailable` if the database can't be reached."""

    @abstractmethod
    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: LineKind = LineKind.LINE,
        offset: int | None = None,
    ) -> None:
        """Store *lines*, without line ends, and *offset*: the end of the lines in the attempt's output, in bytes.

        Lines whose offset is not above the stored one are duplicates and are ignored. Notes have no offset. Beyond
        the limits of `store.attempt` an attempt's lines are dropped, and a note says so. The attempt has no unfinished
        line then.
        """
        ...

    @abstractmethod
    async def set_unfinished(self, deployment: UUID, service: UUID, phase: Phase, attempt: int, text: str) -> None:
        """Replace the unfinished line of an attempt; an empty text removes it."""
        ...

    @abstractmethod
    async def unfinished_each(self, parts: Sequence[OutputPart]) -> Sequence[Sequence[UnfinishedLine]]:
        """Return the unfinished lines of each part, with one statement."""
        ...

    @abstractmethod
    async def offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        """Return the stored offset of an attempt; 0 if there is none."""
        ...

    @abstractmethod
    async def summaries(self, parts: Sequence[OutputPart]) -> Sequence[OutputSummary]:
        """Return the counts of the lines of each part, whatever its *after*, with one statement that reads no lines."""
        ...

    @abstractmethod
    async def chunks_each(
        self, parts: Sequence[OutputPart], limit: int, newest: bool = False
    ) -> Sequence[Sequence[OutputChunk]]:
        """Return the first chunks of each part with *limit* lines, or the last ones if *newest*, with one statement."""
        ...

    @abstractmethod
    async def chunks(
        self,
        deployment: UUID,
        selection: OutputSelection = EVERYTHING,
        after: int = 0,
        before: int | None = None,
        limit: int = BATCH_LINES,
        newest: bool = False,
        size: int = NEWEST,
    ) -> Sequence[OutputChunk]:
        """Return the first selected chunks between *after* and *before*, in order, or the last ones if *newest*.

        The last chunk returned is the one with which they have *limit* lines or *size* bytes.
        """
        ...

    @abstractmethod
    def follow(
        self, deployment: UUID, selection: OutputSelection = EVERYTHING, after: int = 0
    ) -> AsyncGenerator[OutputBatch, None]:
        """Yield the lines after number *after* in batches; then stay live until the store is closed.

        A batch without lines has changed unfinished ones.
        """
        ...

    @abstractmethod
    async def close(self) -> None: ...

    async def unfinished(self, deployment: UUID, selection: OutputSelection = EVERYTHING) -> Sequence[UnfinishedLine]:
        """Return the unfinished lines."""
        (found,) = await self.unfinished_each([OutputPart(deployment, selection)])
        return found

    async def summary(self, deployment: UUID, selection: OutputSelection = EVERYTHING) -> OutputSummary:
        """Return the counts of the selected lines, without reading them."""
        (found,) = await self.summaries([OutputPart(deployment, selection)])
        return found

    async def read_each(
        self, parts: Sequence[OutputPart], limit: int, newest: bool = False
    ) -> Sequence[Sequence[OutputLine]]:
        """Return what `read` does for each part, with one statement."""
        return [_lines(chunks, limit, newest) for chunks in await self.chunks_each(parts, limit, newest)]

    async def read(
        self,
        deployment: UUID,
        selection: OutputSelection = EVERYTHING,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[OutputLine]:
        """Return at most *limit* selected lines with numbers above *after* and below *before*, in order.

        These are the first such lines, or the last ones if *newest*.
        """
        return _lines(await self.chunks(deployment, selection, after, before, limit, newest), limit, newest)

    async def search(
        self,
        deployment: UUID,
        text: str,
        selection: OutputSelection = EVERYTHING,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> SearchResult:
        """Return what `read` does, of the lines that contain *text* in upper or lower case."""
        needle, found, searched = Needle(text), list[OutputLine](), 0
        while searched < MAX_SEARCHED:
            chunks = await self.chunks(deployment, selection, after, before, NEWEST, newest, PART)
            if not chunks:
                return SearchResult(found, None)
            matches = await asyncio.to_thread(needle.lines, chunks)
            found = matches + found if newest else found + matches
            if len(found) >= limit:
                return SearchResult(found[-limit:] if newest else found[:limit], None)
            after, before = (after, chunks[0].first) if newest else (chunks[-1].last, before)
            searched += sum(len(chunk.encoded) for chunk in chunks)
        return SearchResult(found, before if newest else after)

    async def count(self, deployment: UUID, text: str, selection: OutputSelection = EVERYTHING) -> int | None:
        """Return the number of lines that `search` finds; None if it ends at `MAX_SEARCHED`."""
        needle, count, searched, after = Needle(text), 0, 0, 0
        while searched < MAX_SEARCHED:
            chunks = await self.chunks(deployment, selection, after, None, NEWEST, size=PART)
            if not chunks:
                return count
            count += await asyncio.to_thread(needle.count, chunks)
            after = chunks[-1].last
            searched += sum(len(chunk.encoded) for chunk in chunks)
        return None

    async def batch(
        self, deployment: UUID, selection: OutputSelection, after: int, before: OutputBatch | None
    ) -> OutputBatch | None:
        """Return the next batch for a follower; None if nothing has changed since the batch *before*."""
        chunks = await self.chunks(deployment, selection, after, None, BATCH_LINES, size=BATCH_BYTES)
        unfinished = await self.unfinished(deployment, selection)
        if not chunks and unfinished == (() if before is None else before.unfinished):
            return None
        return OutputBatch(chunks=chunks, unfinished=unfinished)


def _lines(chunks: Sequence[OutputChunk], limit: int, newest: bool) -> list[OutputLine]:
    """Return at most *limit* lines of *chunks*: the first, or the last if *newest*."""
    lines = [line for chunk in chunks for line in chunk.lines()]
    return lines[max(0, len(lines) - limit) :] if newest else lines[:limit]


class Needle:
    """A text to find in lines, in upper or lower case."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._encoded = _encode(text).decode()[1:-1].casefold()

    def lines(self, chunks: Sequence[OutputChunk]) -> list[OutputLine]:
        return [
            line
            for chunk in chunks
            if self._may_be_in(chunk)
            for line in chunk.lines()
            if self._text in line.text.casefold()
        ]

    def count(self, chunks: Sequence[OutputChunk]) -> int:
        return sum(
            sum(self._text in text.casefold() for text in chunk.texts) for chunk in chunks if self._may_be_in(chunk)
        )

    def _may_be_in(self, chunk: OutputChunk) -> bool:
        """Whether the text is in the encoded chunk. That takes a tenth of the time of decoding its lines."""
        return self._encoded in chunk.encoded.decode().casefold()
