"""Limits of arguments that many fields have in common."""

from collections.abc import Sized

from domain.errors import InvalidArgument

MAX_LIST = 100
"""Maximum number of values in a list argument; `domain.spec` has limits of its own."""

MAX_PREFIX = 100
"""Maximum length of the beginning of a name in a filter, in characters."""


def check_list(argument: str, given: Sized) -> None:
    """Raise `InvalidArgument` if the list *given* as *argument* is too long."""
    if len(given) > MAX_LIST:
        raise InvalidArgument(argument=argument, why=f"{len(given):,} are given; at most {MAX_LIST} are allowed")


def name_prefix(given: str | None) -> str:
    """Return the beginning of a name in a filter; raises `InvalidArgument` if it is too long."""
    if given is not None and len(given) > MAX_PREFIX:
        why = f"{len(given):,} characters; at most {MAX_PREFIX} are allowed"
        raise InvalidArgument(argument="namePrefix", why=why)
    return given or ""
