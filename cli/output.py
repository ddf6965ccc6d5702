"""What is printed: answers on stdout, everything that is only said to a person on stderr."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated

import typer

from cli.errors import READER_GONE


@dataclass(frozen=True)
class Output:
    """How a command is to answer."""

    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False

    def answer(self, value: object, text: str) -> None:
        """Prints *value*, which msgspec can encode, as JSON; or else *text*."""
        write(encoded(value, pretty=True) if self.as_json else text)

    def hint(self, text: str) -> None:
        """Says to a person what might be next; to nobody when there is none."""
        if not self.as_json and sys.stderr.isatty() and sys.stdout.isatty():
            say(text)


def encoded(value: object, *, pretty: bool = False) -> str:
    import msgspec

    line = msgspec.json.encode(value)
    return (msgspec.json.format(line, indent=2) if pretty else line).decode()


def write(text: str) -> None:
    """Prints to stdout at once. When its reader is gone, as with `| head`, the command ends and says nothing."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes there at exit
        raise SystemExit(READER_GONE) from None


def say(text: str) -> None:
    """Prints to stderr."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise SystemExit(READER_GONE) from None


@cache
def warn(text: str) -> None:
    """Say *text* on stderr, once however often the command comes by it."""
    say(f"Warning: {text}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """*rows* in columns, each as wide as its widest text."""
    lines = [headers, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def moment(at: datetime | None) -> str:
    """A time as this machine's clock shows it; nothing for none."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m 05s` or `2h 07m`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def between(start: datetime | None, end: datetime | None) -> str:
    """How long it took, or nothing while an end is open."""
    return duration((end - start).total_seconds()) if start and end else ""
