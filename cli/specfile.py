"""
A service's specification in a file: YAML, JSON or TOML.

Its fields are the contract's, by the same names; `env` may also be a mapping.
"""

import json
import sys
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from msgspec import ValidationError, convert
from yaml.constructor import ConstructorError

from cli.errors import Misused
from cli.spec import Spec


def read(source: Path) -> Spec:
    """Raises `Misused` when *source* can't be read, or holds a field twice, or one that isn't known.

    Relative directories in it are taken from where the file is. YAML is assumed of stdin (`-`), which includes JSON.
    """
    is_stdin = str(source) == "-"
    try:
        text = sys.stdin.read() if is_stdin else source.read_text(encoding="utf-8")
        document = _parsed(text, ".yaml" if is_stdin else source.suffix.lower())
        spec = convert(_with_variables(document), Spec)
    except OSError as error:
        raise Misused(f"{source} can't be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError, ValidationError) as error:
        raise Misused(f"{source} is no specification: {' '.join(str(error).split())}") from error
    folder = Path.cwd() if is_stdin else source.absolute().parent
    for name in ("directory", "context"):
        if path := getattr(spec, name):
            setattr(spec, name, str(folder / Path(path).expanduser()))
    return spec


def _parsed(text: str, suffix: str) -> object:
    match suffix:
        case ".json":
            return json.loads(text, object_pairs_hook=_once)
        case ".toml":
            return tomllib.loads(text)
        case ".yaml" | ".yml":
            return yaml.load(text, _Loader)
        case _:
            raise ValueError(f"its name ends in {suffix or 'nothing'}, not in .yaml, .yml, .json or .toml")


def _with_variables(document: object) -> object:
    """*document* with a mapping for `env` made the contract's list; numbers are meant as they are written."""
    if not isinstance(document, dict) or not isinstance(document.get("env"), dict):
        return document
    variables = []
    for name, value in document["env"].items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"env.{name} is no text: write it in quotes")
        variables.append({"name": str(name), "value": str(value)})
    return {**document, "env": variables}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError(f"the field {name!r} is there twice")
        seen[name] = value
    return seen


class _Loader(yaml.SafeLoader):
    """YAML takes the last of two equal fields, and says nothing; this one does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ConstructorError(None, None, f"the field {name!r} is there twice", node.value[at][0].start_mark)
        return super().construct_mapping(node, deep)
