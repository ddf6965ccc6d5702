"""
The configuration file of `stageline serve` and `stageline worker`: TOML, a key for each option.

    database = "postgresql://stageline@db/stageline"
    gone-after = 300
    allow-origin = ["https://app.example"]

    [[oidc]]
    issuer = "https://sso.example"
    audience = "stageline"

A key is the name of an option without its dashes; `worker = false` stands for --no-worker. An option of the command
line overrides a variable, and a variable the file. Both programs may share a file: a worker passes over the options
that only a server has.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import identity
from cli.command import command, group
from cli.data import masked_url
from cli.errors import Misused
from cli.output import Output, warn
from cli.text import plain, table

ONCE = {"issue-token"}
"""Options that are not for every start."""

TEXT: tuple[tuple[type, ...], str] = (str,), "a string"
KINDS: dict[object, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    list[str]: ((list,), "a list of strings"),
}
"""The types of TOML that the options of a type may have, and their names in messages."""

TABLES = {"oidc"}
"""Options that are tables in the file, and JSON objects on the command line."""

HEAD = ("Key", "Value", "Source")


def _load(context: typer.Context, file: Path | None) -> Path | None:
    """Take the options that the command line and the variables leave out from *file*."""
    if file is not None:
        given = _read(file.expanduser())
        options = _options(context)
        _check(given, _options(_serve(context)), file)
        context.default_map = {
            options[key].name: [json.dumps(each, default=str) for each in value] if key in TABLES else value
            for key, value in given.items()
            if key in options
        }
    return file


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="STAGELINE_CONFIG",
        metavar="FILE",
        dir_okay=False,
        is_eager=True,
        callback=_load,
        show_default="no file",
        help="A TOML file with options, which the command line and variables override. See stageline config check.",
    ),
]

app = group("Check the configuration file of servers and workers.", "stageline config check stageline.toml")


@command(app, "check", "stageline config check stageline.toml", "stageline config check stageline.toml --online")
def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The TOML file.")],
    output: Output,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="Also ask the identity providers for their keys, and read the secrets of the clients."
        ),
    ] = False,
) -> None:
    """Check a configuration file, and show the value of each option and its source.

    The values are those with which `stageline serve --config FILE` would start with the variables of this shell.
    Unknown keys and invalid values are refused, and passwords are masked. Without --online, nobody is asked anything.
    """
    serve = _serve(context)
    with serve.make_context("serve", ["--config", str(file)], parent=context.find_root()) as started:
        found = [_setting(started, key, option) for key, option in _options(serve).items()]
        values = started.params
        providers = identity.providers(values["oidc"] or (), values["public_url"], values["root_path"])
    rows = [(each["key"], _shown(each["value"]), each["source"]) for each in found]
    if not online:
        output.answer({"settings": found}, table(HEAD, rows))
        return
    findings, text = identity.inspected(providers)
    output.answer({"settings": found, "providers": findings}, f"{table(HEAD, rows)}\n\n{text}")
    identity.fail_for(findings)


def _setting(context: typer.Context, key: str, option: Any) -> dict[str, Any]:
    source = context.get_parameter_source(option.name)
    names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    words = {
        "ENVIRONMENT": f"variable {next((each for each in names if os.environ.get(each)), '')}",
        "DEFAULT_MAP": "file",
    }
    value = context.params[option.name]
    return {
        "key": key,
        "value": value if value is None or isinstance(value, bool | int | float | tuple) else masked_url(str(value)),
        "source": words.get("" if source is None else source.name, "default"),
    }


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else plain(str(value))


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode()
        found = tomllib.loads(text)
    except OSError as error:
        raise Misused(f"Can't read the configuration file {file}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misused(f"The configuration file {file} is not TOML: {error}.") from error
    database = str(found.get("database", ""))
    if masked_url(database) != database and file.stat().st_mode & 0o077:
        warn(f"Other users of this machine can read the password in {file}: deny it with chmod 600.")
    return found


def _check(given: Mapping[str, Any], options: Mapping[str, Any], file: Path) -> None:
    """Raise `Misused` for an unknown key, and for a value of another type than its option has."""
    for key, value in given.items():
        if key in ONCE:
            raise Misused(f"Invalid key in {file}: {key} is for one start; give --{key} on the command line.")
        if key not in options:
            near = get_close_matches(key.replace("_", "-"), options, 1)
            advice = f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(sorted(options))}."
            raise Misused(f"Unknown key in {file}: {key}. {advice}")
        if key in TABLES:
            if type(value) is not list or not all(isinstance(each, dict) for each in value):
                raise Misused(f"Invalid value in {file}: {key} must be tables, [[{key}]], and is {value!r}.")
            continue
        kind, title = KINDS.get(options[key].type_descriptor.annotation, TEXT)
        if type(value) not in kind or (list in kind and not all(isinstance(each, str) for each in value)):
            raise Misused(f"Invalid value in {file}: {key} must be {title}, and is {value!r}.")


def _serve(context: typer.Context) -> Any:
    """Return the command `serve`, whose options include those of `worker`."""
    root: Any = context.find_root().command
    return root.commands["serve"]


def _options(of: Any) -> dict[str, Any]:
    """Return the options of a command, or of a context's command, by their keys."""
    named = {
        each.opts[0].removeprefix("--"): each
        for each in getattr(of, "command", of).params
        if each.param_type_name == "option"
    }
    return {key: each for key, each in named.items() if key not in {"config", "help", *ONCE}}
