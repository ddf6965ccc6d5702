"""Colours on a terminal; plain text elsewhere, and with NO_COLOR (https://no-color.org)."""

import os
import sys

import typer


def painted(text: str, colour: str | None = None, *, is_dim: bool = False) -> str:
    if not text or not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return typer.style(text, fg=colour, dim=is_dim or None)
