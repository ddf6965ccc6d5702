"""
Completion of names in bash, zsh and fish: `stageline --install-completion`.

typer runs the command line again for each completion. It completes commands and options; the values come from here.
"""

import io
import os
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr

import typer

from cli.client import Client, ServerAddress
from cli.errors import Failed
from cli.text import key, plain

SECONDS = 3.0
"""Maximum time that a completion waits for the server, in seconds."""

SPECIAL = re.compile(r"([^\w@%+=:,./-])")
"""Characters that bash needs a backslash for."""


def names(find: Callable[[Client, typer.Context], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Return a completion of the names that *find* gets from the server. It never fails, asks or prints."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            with redirect_stderr(io.StringIO()), Client(ServerAddress.known(), SECONDS) as client:
                return matching(find(client, context), incomplete)
        except Exception:
            return []  # there is nobody to tell: the user is typing

    return complete


def values(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completion of the values that *known* returns, which need no server."""

    def complete(incomplete: str) -> list[str]:
        try:
            return matching(known(), incomplete)
        except Failed:
            return []

    return complete


class Match(str):
    """A name that matches. typer would drop it if its quoted text differs from what was typed."""

    __slots__ = ()

    def startswith(self, *_: object) -> bool:
        return True


def matching(found: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with *incomplete*, quoted for the shell if it doesn't quote them itself."""
    chosen = [plain(name) for name in found if key(name).startswith(key(incomplete))]
    return [Match(SPECIAL.sub(r"\\\1", name) if _needs_quotes() else name) for name in chosen]


def _needs_quotes() -> bool:
    """Return whether the shell is bash, and the word has no quote in front."""
    if os.environ.get("_STAGELINE_COMPLETE") != "complete_bash":
        return False
    try:
        shlex.split(os.environ.get("COMP_WORDS", ""))
    except ValueError:  # an open quote
        return False
    return True
