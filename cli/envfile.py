"""
Variables in a `.env` file, with the syntax that Docker Compose documents.

    # a comment                          export NAME=value
    NAME=value # a comment               NAME='as it is: $HOME, over several lines'
    NAME="with \\n, \\r, \\t, \\\\ and \\"" # a comment

Compose inserts the values of other variables into those without single quotes. Here such a value is refused, because
nobody but the shell of a service knows its variables; a reference `${{ … }}` stays as it is. The import of a Compose
file knows them, and inserts them.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from cli import file as files
from cli.errors import Misused

MAX_TEXT = 200_000
"""Maximum length of a file, in characters."""

ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[^\s=:#'\"]+)[ \t]*[=:][ \t]*")
BLANK = re.compile(r"[ \t]*(?:#.*)?(?:\n|\Z)")
SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
BARE = re.compile(r"[^\n]*")
COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
INTERPOLATION = re.compile(r"\$(?:\{(?!\{)|[A-Za-z_])")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$"}


class Expand(Protocol):
    """Inserts the values of *variables*, and of those that it knows, into a text; raises `ValueError`."""

    def __call__(self, text: str, variables: Mapping[str, str]) -> str: ...


def read(source: Path, expand: Expand | None = None) -> dict[str, str]:
    """Return the variables in *source*; *expand* inserts values into one, also of those before it in the file.

    Raise `Misused` with the line of what is no variable; it repeats no value.
    """
    text = files.read(source, MAX_TEXT)
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        if blank := BLANK.match(text, at):
            at = max(blank.end(), at + 1)
            continue
        assignment = ASSIGNMENT.match(text, at)
        if assignment is None:
            raise _invalid(source, line, "NAME=VALUE was expected")
        name = assignment["name"]
        try:
            found[name], at = _value(
                text, assignment.end(), None if expand is None else partial(expand, variables=found)
            )
        except ValueError as why:
            raise _invalid(source, line, f"{name}: {why}") from None
    return found


def _value(text: str, at: int, expand: Callable[[str], str] | None) -> tuple[str, int]:
    """Return the value at *at* and the place after its line; raise `ValueError` with the reason."""
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        bare = BARE.match(text, at)
        assert bare is not None, "it matches nothing, too"
        return (expand or _constant)(COMMENT.sub("", bare[0], count=1).rstrip()), bare.end() + 1
    quoted = (SINGLE if quote == "'" else DOUBLE).match(text, at)
    if quoted is None:
        raise ValueError(f"the quote {quote} is not closed")
    end = BLANK.match(text, quoted.end())
    if end is None:
        raise ValueError(f"only a comment may follow the closing quote {quote}")
    if quote == "'":
        return quoted[1].replace("\\'", "'"), end.end()
    if expand is None:
        _constant(ESCAPE.sub("", quoted[1]))
        return _unescaped(quoted[1]), end.end()
    return expand(_unescaped(quoted[1].replace("\\$", "$$"))), end.end()


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda each: ESCAPES.get(each[1], each[0]), text)


def _constant(value: str) -> str:
    if INTERPOLATION.search(value):
        raise ValueError("values of other variables are not inserted: put it in single quotes to keep the dollar")
    return value


def _invalid(source: Path, line: int, why: str) -> Misused:
    return Misused(f"Invalid {source}, line {line}: {why}.")
