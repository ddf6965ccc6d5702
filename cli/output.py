"""Output: answers go to stdout, messages to people go to stderr."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated

import msgspec
import typer

from cli.errors import READER_GONE, Failed
from cli.text import safe

IN_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that JSON may contain, and that a terminal may obey."""


@dataclass(frozen=True)
class Output:
    """The format of an answer."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False

    def answer(self, value: object, text: str) -> None:
        """Print *value* as JSON, or *text*."""
        write(encoded(value, pretty=True) if self.as_json else text)

    def note(self, text: str) -> None:
        """Print a note on the answer on stderr, unless it is JSON."""
        if not self.as_json:
            say(text)

    def hint(self, text: str) -> None:
        """Print a next step on stderr, if both streams are terminals."""
        if not self.as_json and sys.stderr.isatty() and sys.stdout.isatty():
            say(text)


def encoded(value: object, *, pretty: bool = False) -> str:
    """Return *value* as JSON. Characters that could drive a terminal are escaped, so the value is exact."""
    line = msgspec.json.encode(value)
    text = (msgspec.json.format(line, indent=2) if pretty else line).decode()
    return IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@contextmanager
def writing() -> Iterator[None]:
    """Exit if the reader of stdout is gone while the block writes to it; raise `Failed` for another error."""
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the buffer goes there at exit
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        raise Failed(f"Can't write the output: {error.strerror or error}.") from error


def write(text: str) -> None:
    """Print to stdout and flush. If its reader is gone, as with `| head`, exit without a message.

    Control characters are escaped, but for line breaks, tabs and colours.
    """
    with writing():
        print(safe(text), flush=True)


def say(text: str) -> None:
    """Print to stderr, as `write` does to stdout."""
    try:
        print(safe(text), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise SystemExit(READER_GONE) from None


@cache
def warn(text: str) -> None:
    """Print a warning on stderr, once for each text."""
    say(f"Warning: {text}")


def moment(at: datetime | None) -> str:
    """Return *at* in local time, or an empty string for None."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """Return `0.4s`, `12s`, `3m 05s`, `2h 07m` or `3d 04h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 2 * 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return the duration, or an empty string if an end is open."""
    return duration((end - start).total_seconds()) if start and end else ""
