"""Text for a terminal: without control characters, and in columns."""

import re
from collections.abc import Iterable, Sequence

from cli import lazy

WIDTH = 110
"""Maximum width of a table without its last column, in cells of a terminal."""

LAST = 40
"""Width that a table reserves for its last column, in cells; the text in it may be longer."""

NAMES = 40
"""Maximum width of the names in front of a line's other texts, in cells."""

NARROWEST = 12
"""Minimum width of a column, in cells."""

GAP = "  "
"""The space between two columns."""

COLOUR = r"\x1b\[[0-9;:]*m"
"""A colour or style: the escape sequence Select Graphic Rendition (SGR) of ECMA-48."""

CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""A character that moves the cursor, begins an escape sequence, ends a line or reorders text."""

HIDDEN = re.compile(CONTROL)
UNSAFE = re.compile(rf"\r(?=\n|\Z)|({COLOUR})|(?![\n\t]){CONTROL}")
COLOURS = re.compile(COLOUR)
NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def plain(text: str) -> str:
    r"""Return *text* in one line: control characters become escapes such as `\n` and `\x1b`."""
    return text if text.isprintable() else HIDDEN.sub(_escape, text)


def safe(text: str) -> str:
    """Return *text* as a terminal may show it: only line breaks, tabs and colours keep their effect."""
    if text.isprintable():
        return text
    text = UNSAFE.sub(_kept, text)
    colours = COLOURS.findall(text)
    return f"{text}\x1b[0m" if colours and colours[-1] not in ("\x1b[0m", "\x1b[m") else text


def _kept(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    is_line_end = found[0] == "\r" and found.string[found.end() : found.end() + 1] in ("", "\n")
    return "" if is_line_end else _escape(found)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return NAMED.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def actor_text(id_: str, name: str | None) -> str:
    """Return an actor as `Bob (admin)`: anybody may choose a name, and the id tells who it is."""
    return f"{name} ({id_})" if name and name != id_ else id_


def key(name: str) -> str:
    """Return the key of *name*: it ignores case, width and invisible characters, as the server does."""
    return lazy.name.key(name)


def width(text: str) -> int:
    """Return the number of cells that *text* takes on a terminal."""
    return len(text) if text.isascii() else lazy.cells.cell_len(text)


def padded(text: str, size: int) -> str:
    """Return *text* with spaces up to *size* cells."""
    return text + " " * (size - width(text))


def name_width(names: Iterable[str]) -> int:
    """Return the width of a column for *names*; those that are wider than `NAMES` have lines of their own."""
    return max((size for name in names if (size := width(name)) <= NAMES), default=0)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return *rows* in columns under *headers*; see `columns`."""
    return "\n".join(columns([headers, *rows]))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* in columns, each as wide as its widest cell, as lines without control characters.

    If the columns don't fit, the widest ones get less. A cell that is wider than its column has a line of its own. The
    first row has the headers, which always fit.
    """
    if not rows:
        return []
    lines = [[plain(cell) for cell in row] for row in rows]
    sizes = [[width(cell) for cell in column] for column in zip(*lines, strict=True)]
    most = _fitted([max(column) for column in sizes])
    widths = [max(size for size in column if size <= limit) for column, limit in zip(sizes, most, strict=True)]
    return [_laid_out(line, widths) for line in lines]


def _fitted(widths: list[int]) -> list[int]:
    *inner, last = widths
    space = WIDTH - min(last, LAST) - len(GAP) * len(inner)
    while inner and sum(inner) > space and max(inner) > NARROWEST:
        inner[inner.index(max(inner))] -= 1
    return [*inner, last]


def _laid_out(cells: Sequence[str], widths: Sequence[int]) -> str:
    text = line = ""
    start = 0
    for cell, size in zip(cells, widths, strict=True):
        if cell and line and width(line) + len(GAP) > start:
            text, line = f"{text}{line.rstrip()}\n", ""
        if cell:
            line = padded(line, start) + cell
        start += size + len(GAP)
    return (text + line).rstrip()
