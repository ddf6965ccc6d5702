"""The confirmation of a change that can't be undone."""

import sys
from typing import Annotated

import typer

from cli.errors import Failed

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Don't ask for confirmation.")]


def confirm(question: str, yes: bool) -> None:
    """Ask *question* unless *yes*. Raise `Failed` if the answer is no, or without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failed(
            f"{question} Nothing was changed.", hint="Without a terminal this needs --yes.", code="NOT_CONFIRMED"
        )
    if not typer.confirm(question, err=True):
        raise Failed("Nothing was changed.", code="NOT_CONFIRMED")
