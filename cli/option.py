"""Options of classes that stand for several of them (see `cli.command`)."""

from math import isfinite
from typing import Any

import typer

from cli.errors import Misused


def option(*names: str, help: str, **more: Any) -> Any:
    """Return an option whose default the help does not show."""
    return typer.Option(*names, help=help, show_default=False, **more)


def are_given(*groups: object) -> bool:
    """Return whether any option of these *groups* differs from its default."""
    return any(group != type(group)() for group in groups)


def require_finite(*groups: object) -> None:
    """Raise `Misused` if a number of these *groups* is not finite."""
    for group in groups:
        for name, number in vars(group).items():
            if isinstance(number, float) and not isfinite(number):
                raise Misused(f"Invalid --{name.replace('_', '-')}: {number} is not a finite number.")
