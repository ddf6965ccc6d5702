"""Variables of a service in a Compose file."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from cli import envfile
from cli import file as files
from cli.compose.node import Node
from cli.compose.stack import Expansion, Stack
from cli.errors import Misused

Note = Callable[[Node, str], None]
"""Adds a note on a node."""

BRACES = re.compile(r"\$+(?=\{\{)")
"""Dollars that begin a reference of Stageline; doubled, they are text."""


def literal(text: str) -> str:
    """Return *text* so that Stageline finds no reference in it."""
    return BRACES.sub(lambda found: 2 * found[0], text)


def named(given: Node, stack: Stack, note: Note) -> Iterator[tuple[str, str]]:
    """Yield the names of a mapping with their values; a name without a value has that of the shell or of .env."""
    for name, each in given.fields.items():
        if each.value is not None:
            yield name, each.text
        elif name in stack.variables:
            yield name, stack.variables[name]
        else:
            note(each, f"{name} has no value, nor have the shell and .env one: it is left out")


def variables(service: Node, stack: Stack, note: Note) -> dict[str, str]:
    """Return the variables of `env_file`, and over them those of `environment`."""
    found: dict[str, str] = {}
    for each in (service.get("env_file") or service.having(None)).items:
        found |= _env_file(each, stack, note)
    if (given := service.get("environment")) is not None:
        found |= dict(named(given, stack, note))
    return {name: literal(value) for name, value in found.items()}


def _env_file(given: Node, stack: Stack, note: Note) -> dict[str, str]:
    asked = given if isinstance(given.value, str) else given.get("path")
    if asked is None:
        raise given.error("env_file: it names no path")
    path = Path(files.absolute(asked.text, given.file.base))
    if not files.exists(path):
        note(asked, f"env_file: {asked.text} is not there, so its variables are missing")
        return {}
    try:
        return envfile.read(path, Expansion(stack.variables))
    except Misused as misused:
        raise asked.error(misused.message.rstrip(".")) from None
