"""The additions to the stored output of an attempt, and its limits."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from store.output import LineKind

MAX_LINES = 1_000_000
"""Maximum number of stored lines of an attempt; notes don't count."""

MAX_BYTES = 50_000_000
"""Maximum size of an attempt's stored lines in UTF-8, with their line ends, in bytes; notes don't count."""

CHUNK = 1000
"""Maximum number of lines in a row of the database."""


class AttemptOutput(Struct, frozen=True):
    """The amount of an attempt's stored output, in the order of the columns of the table.

    *is_cut* if lines were dropped. *first* and *last* are the numbers of its first and last line or note, and
    *failure* that of the line that says why it failed; 0 if there is none.
    """

    offset: int = 0
    lines: int = 0
    bytes: int = 0
    is_cut: bool = False
    notes: int = 0
    first: int = 0
    last: int = 0
    failure: int = 0


COUNTED = ("notes", "first", "last", "failure")
"""The last columns of an attempt, for counts without reading its lines."""


class NewChunk(Struct, frozen=True):
    """Lines to store, the first of which has the number *first*."""

    kind: LineKind
    first: int
    texts: Sequence[str]

    @property
    def last(self) -> int:
        return self.first + len(self.texts) - 1

    @property
    def encoded(self) -> bytes:
        return msgspec.json.encode(self.texts)


def addition(
    before: AttemptOutput, newest: int, lines: Sequence[str], kind: LineKind, offset: int | None
) -> tuple[AttemptOutput, list[NewChunk]]:
    """Return an attempt's output after *lines*, and the chunks to store; *newest* is the deployment's last number."""
    if offset is not None and offset <= before.offset:
        return before, []
    is_note = kind is not LineKind.LINE
    stored = lines if is_note else [] if before.is_cut else _fit(before, lines)
    is_cut = len(stored) < len(lines)
    chunks, number = [], newest
    for start in range(0, len(stored), CHUNK):
        chunks.append(NewChunk(kind, number + 1, stored[start : start + CHUNK]))
        number = chunks[-1].last
    if is_cut and not before.is_cut:
        chunks.append(NewChunk(LineKind.NOTE, number + 1, [_truncation_note()]))
        number += 1
    after = replace(
        before,
        offset=before.offset if offset is None else offset,
        lines=before.lines + (0 if is_note else len(stored)),
        bytes=before.bytes + (0 if is_note else sum(map(_line_size, stored))),
        is_cut=is_cut or before.is_cut,
        notes=before.notes + sum(len(each.texts) for each in chunks if each.kind is not LineKind.LINE),
        first=before.first or (newest + 1 if chunks else 0),
        last=number if chunks else before.last,
        failure=before.failure or (newest + 1 if kind is LineKind.FAILURE else 0),
    )
    return after, chunks


def _truncation_note() -> str:
    """Return the note after the last stored line."""
    return f"Output limit reached: at most {MAX_LINES:,} lines and {MAX_BYTES:,} bytes are stored; the rest is lost."


def _line_size(text: str) -> int:
    """Return the size of a line, in bytes."""
    return len(text.encode()) + 1


def _fit(before: AttemptOutput, lines: Sequence[str]) -> Sequence[str]:
    """Return the first of *lines* that the limits still allow."""
    room = MAX_BYTES - before.bytes
    for count, line in enumerate(lines):
        room -= _line_size(line)
        if room < 0 or before.lines + count == MAX_LINES:
            return lines[:count]
    return lines
