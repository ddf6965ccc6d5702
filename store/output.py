"""
What steps print.

Lines are no events: there are many, and nothing is decided by them. Within a deployment they are numbered 1, 2, 3 …
in the order in which they were kept, whichever step they come from; the number is the cursor to go on after.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from domain.deployment.step import Phase

MAX_LINES = 1_000_000
MAX_BYTES = 50_000_000
"""What is kept of one attempt's lines (the bytes are those of their UTF-8, with a line end each); notes go beyond."""

CHUNK = 1000
"""Lines at most that are stored together."""


class LineKind(StrEnum):
    """LINE was printed by the step; NOTE is Stageline's own."""

    LINE = "LINE"
    NOTE = "NOTE"


class OutputLine(Struct, frozen=True, kw_only=True):
    number: int
    at: datetime
    service: UUID
    phase: Phase
    attempt: int
    kind: LineKind
    text: str


class OutputStore(Protocol):
    """Keeps the lines of the attempts at the steps of deployments. Methods raise `LogUnavailable` as the log's do."""

    async def append(
        self,
        deployment: UUID,
        service: UUID,
        phase: Phase,
        attempt: int,
        lines: Sequence[str],
        kind: LineKind = LineKind.LINE,
        upto: int | None = None,
    ) -> None:
        """Keeps *lines*, which have no line ends, together with *upto*: how far the attempt's output is kept with them.

        *upto* counts bytes of where the lines come from, and only grows: lines that end where some did before are
        taken as sent twice, and passed over. Notes come from nowhere, and have none. Beyond `MAX_LINES` or
        `MAX_BYTES` an attempt's lines are dropped, and a note says so.
        """
        ...

    async def kept(self, deployment: UUID, service: UUID, phase: Phase, attempt: int) -> int:
        """The last *upto*; 0 if there is none."""
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
        """At most *limit* lines with numbers above *after* and below *before*, in order, of *service* or of all.

        They are the first ones of these, or the last ones if *newest*.
        """
        ...

    def follow(
        self, deployment: UUID, service: UUID | None = None, after: int = 0
    ) -> AsyncGenerator[Sequence[OutputLine], None]:
        """The lines after number *after*, in non-empty batches; then those to come, until the store is closed."""
        ...

    async def close(self) -> None: ...


class AttemptOutput(Struct, frozen=True):
    """How much of an attempt's output is kept."""

    upto: int = 0
    lines: int = 0
    bytes: int = 0
    is_cut: bool = False


def truncation_note() -> str:
    """The note behind the last line that is kept."""
    return f"The step prints more than {MAX_LINES:,} lines or {MAX_BYTES:,} bytes: what comes after this is not kept."


def line_size(text: str) -> int:
    """The bytes that a line counts as."""
    return len(text.encode()) + 1


def fit(was: AttemptOutput, lines: Sequence[str]) -> Sequence[str]:
    """The first of *lines* that may still be kept of the attempt."""
    room = MAX_BYTES - was.bytes
    for count, line in enumerate(lines):
        room -= line_size(line)
        if room < 0 or was.lines + count == MAX_LINES:
            return lines[:count]
    return lines
