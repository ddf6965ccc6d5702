"""The execution of one command line: its exit code, and its error on stderr."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import typer

from cli.errors import Failed, Misused
from cli.output import encoded, say, writing
from cli.text import plain

WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE})
"""Errors of writing to a stream that is open."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


def execute(commands: Any, arguments: list[str]) -> int:
    """Execute the command of *commands* that *arguments* name, print its error, and return its exit code."""
    as_json = "--json" in arguments
    try:
        _check_text(arguments)
        result = _run(commands, arguments)
    except Failed as failed:
        return _print_error(failed, as_json)
    except typer.TyperException as error:
        return _print_error(_misused(error), as_json)
    except (typer.Abort, KeyboardInterrupt):
        say("Aborted.")
        return INTERRUPTED
    except Exception as error:
        message = f"This should not have happened: {type(error).__name__}: {error}"
        hint = "For a traceback: stageline --debug …, or STAGELINE_DEBUG=1"
        return _print_error(Failed(message, hint=hint, code="BUG"), as_json)
    return result if isinstance(result, int) else 0


def _run(commands: Any, arguments: list[str]) -> object:
    """Execute the command; an error of stdout, which typer's help writes to by itself, is one of ours."""
    try:
        return commands.main(arguments, prog_name="stageline", standalone_mode=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename is None:  # of os.getcwd
            raise Failed("The current folder was deleted: change to another one.") from error
        if error.errno not in WRITE_ERRORS:
            raise
        with writing():
            raise


def _print_error(failed: Failed, as_json: bool) -> int:
    if os.environ.get("STAGELINE_DEBUG") and sys.exc_info()[1]:
        traceback.print_exc()
    if as_json:
        say(encoded({"error": failed.document()}))
    else:
        say(f"{failed.prefix}{plain(failed.message)}")
        if failed.hint:
            say(plain(failed.hint))
    return failed.exit_code


def _misused(error: typer.TyperException) -> Failed:
    """Return typer's usage error as one of ours."""
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split())
    unknown = re.match("No such command '(.+?)'", message)
    named = [*_named(context.find_root().command, "stageline", unknown[1])] if context and unknown else []
    hint = f"Try: {' or '.join(named) or f'{context.command_path} --help'}" if context else ""
    return Misused(message.replace(": Value error, ", ": ", 1), hint=hint)  # of Pydantic, with which typer checks


def _named(group: Any, path: str, name: str) -> Iterator[str]:
    """Yield the paths of all commands and groups with that name: a person may look for one in another group."""
    for own, command in getattr(group, "commands", {}).items():
        if own == name and not command.hidden:
            yield f"{path} {own}"
        yield from _named(command, f"{path} {own}", name)


def _check_text(arguments: list[str]) -> None:
    """Raise `Misused` if an argument is not UTF-8."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Misused(f"Invalid argument {argument!r}: it is not UTF-8.") from None
