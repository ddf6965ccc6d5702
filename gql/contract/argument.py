"""Limits of arguments that many fields have in common."""

from collections.abc import Sized

from domain.errors import InvalidArgument

MAX_LIST = 100
"""Maximum number of values in a list argument; `domain.spec` has limits of its own."""


def check_list(argument: str, given: Sized) -> None:
    """Raise `InvalidArgument` if the list *given* as *argument* is too long."""
    if len(given) > MAX_LIST:
        raise InvalidArgument(argument=argument, why=f"{len(given):,} are given; at most {MAX_LIST} are allowed")
