"""Declaration of commands: groups with examples, and options that several commands share."""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass

import typer

from cli.output import say

USAGE = 2


def group(
    help: str, *examples: str, more: tuple[str, ...] = (), callback: Callable[..., None] | None = None
) -> typer.Typer:
    """Return a group of commands. Without a command it shows its help and exits with 2.

    *more* comes after the examples. *callback* takes the group's own options, as a command does (see `command`), and
    runs if no command is given.
    """

    def bare(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            show_help(context)

    return typer.Typer(
        help=help,
        epilog=_epilog(examples, *more),
        callback=bare if callback is None else _expanded(callback),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        invoke_without_command=True,
        rich_markup_mode=None,  # plain text reads the same everywhere, and needs no rich
    )


def show_help(context: typer.Context) -> None:
    say(context.get_help())
    raise typer.Exit(USAGE)


def _epilog(examples: tuple[str, ...], *more: str) -> str:
    shown = "\n".join(["Examples:", *(f"  {line}" for line in examples)])
    return "\n\n".join(f"\b\n{part}" for part in (shown, *more))  # \b keeps the line breaks


def command(app: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function the command *name* of *app*.

    A parameter whose type is a dataclass stands for the fields of that class: they become options after the command's
    own. The fields are annotated like typer's parameters.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, epilog=_epilog(examples))(_expanded(function))
        return function

    return decorate


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether the parameter *name* is on the command line, and not from a variable or a file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def also(app: typer.Typer, source: typer.Typer, name: str) -> None:
    """Make the command *name* of *source* a command of *app*, too: the same one, which help does not list there."""
    info = copy(next(each for each in source.registered_commands if each.name == name))
    info.hidden = True
    app.registered_commands.append(info)


def _expanded(function: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(function)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups = {name: kind for name, kind in annotations.items() if isinstance(kind, type) and is_dataclass(kind)}

    def call(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        function(**given)

    own = [parameter for name, parameter in signature.parameters.items() if name not in groups]
    shared = [option for group in groups.values() for option in inspect.signature(group).parameters.values()]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *shared)]
    call.__doc__ = function.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call
