"""
Colours on a terminal; plain text elsewhere, and with NO_COLOR (https://no-color.org).

CLICOLOR_FORCE=1 (http://bixense.com/clicolors) and `--force-colour` keep them elsewhere, too, for `less -R`.
"""

import os
import sys

import typer

from cli.text import plain

FORCED = "CLICOLOR_FORCE"
OFF = "NO_COLOR"


def force() -> None:
    """Keep colours wherever the output goes, in this process; an option is stronger than NO_COLOR."""
    os.environ[FORCED] = "1"
    os.environ.pop(OFF, None)


def has_colours() -> bool:
    """Return whether stdout gets colours."""
    if os.environ.get(OFF):
        return False
    if os.environ.get(FORCED, "") not in ("", "0"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str | None = None, *, is_dim: bool = False) -> str:
    """Return *text* in one line, in colour if stdout gets colours."""
    text = plain(text)
    return typer.style(text, fg=colour, dim=is_dim or None) if text and has_colours() else text
