"""Output: answers go to stdout, messages to people go to stderr."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated

import msgspec
import typer

from cli.errors import READER_GONE, Failed


@dataclass(frozen=True)
class Output:
    """The format of an answer."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False

    def answer(self, value: object, text: str) -> None:
        """Print *value* as JSON, or *text*."""
        write(encoded(value, pretty=True) if self.as_json else text)

    def hint(self, text: str) -> None:
        """Print a next step on stderr, if both streams are terminals."""
        if not self.as_json and sys.stderr.isatty() and sys.stdout.isatty():
            say(text)


def encoded(value: object, *, pretty: bool = False) -> str:
    line = msgspec.json.encode(value)
    return (msgspec.json.format(line, indent=2) if pretty else line).decode()


def write(text: str) -> None:
    """Print to stdout and flush. If its reader is gone, as with `| head`, exit without a message."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the buffer goes there at exit
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        raise Failed(f"Can't write the output: {error.strerror or error}.") from error


def say(text: str) -> None:
    """Print to stderr."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise SystemExit(READER_GONE) from None


@cache
def warn(text: str) -> None:
    """Print a warning on stderr, once for each text."""
    say(f"Warning: {text}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return *rows* in columns, each as wide as its widest cell."""
    lines = [headers, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def moment(at: datetime | None) -> str:
    """Return *at* in local time, or an empty string for None."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """Return `0.4s`, `12s`, `3m 05s` or `2h 07m`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return the duration, or an empty string if an end is open."""
    return duration((end - start).total_seconds()) if start and end else ""
