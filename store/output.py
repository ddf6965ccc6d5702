"""
The output of steps.

Lines are not events: there are many, and no decision depends on them. The lines of a deployment are numbered 1, 2, 3 …
in the order in which they were stored, over all its steps. The number serves as a cursor.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from domain.deployment.step import Phase

MAX_LINES = 1_000_000
"""Maximum number of stored lines of an attempt; notes don't count."""

MAX_BYTES = 50_000_000
"""Maximum size of an attempt's stored lines in UTF-8, with their line ends, in bytes; notes don't count."""

CHUNK = 1000
"""Maximum number of lines in a row of the database."""

NEWEST = 2**62
"""A number above that of every line."""


class LineKind(StrEnum):
    """The source of a line: LINE was printed by the step, NOTE was written by Stageline."""

    LINE = "LINE"
    NOTE = "NOTE"


class OutputLine(Struct, frozen=True, kw_only=True):
    """A line of an attempt at a step."""

    number: int
    at: datetime
    service: UUID
    phase: Phase
    attempt: int
    kind: LineKind
    text: str


class OutputStore(Protocol):
    """The store of output lines. Methods raise `LogUnavailable` if the database can't be reached."""

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
        `MAX_LINES` or `MAX_BYTES` an attempt's lines are dropped, and a note says so.
        """
        ...

    async def offset(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        """Return the stored offset of an attempt; 0 if there is none."""
        ...

    async def read(
        self,
        deployment: UUID,
        service: UUID | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[OutputLine]:
        """Return at most *limit* lines with numbers above *after* and below *before*, in order, of *service* or of all.

        These are the first such lines, or the last ones if *newest*.
        """
        ...

    def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[OutputLine], None]:
        """Yield the lines after number *after* in non-empty batches; then stay live until the store is closed."""
        ...

    async def close(self) -> None: ...


class AttemptOutput(Struct, frozen=True):
    """The amount of an attempt's stored output; *is_cut* if lines were dropped."""

    offset: int = 0
    lines: int = 0
    bytes: int = 0
    is_cut: bool = False


def truncation_note() -> str:
    """Return the note after the last stored line."""
    return f"Output limit reached: at most {MAX_LINES:,} lines and {MAX_BYTES:,} bytes are stored; the rest is lost."


def line_size(text: str) -> int:
    """Return the size of a line, in bytes."""
    return len(text.encode()) + 1


def fit(before: AttemptOutput, lines: Sequence[str]) -> Sequence[str]:
    """Return the first of *lines* that the limits still allow."""
    room = MAX_BYTES - before.bytes
    for count, line in enumerate(lines):
        room -= line_size(line)
        if room < 0 or before.lines + count == MAX_LINES:
            return lines[:count]
    return lines
