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

MAX_TEXT = 200_000
"""Maximum length of a file, in characters; the texts of a specification may have 100,000 in all."""

MAX_FIELDS = 1000
"""Maximum number of fields in one mapping, with those that are merged into it."""

MAX_NUMBER = 100
"""Maximum length of a number, in characters: some take time in the square of their length."""

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


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
    except RecursionError:
        raise Misused(f"{source} is no specification: it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, yaml.YAMLError, ValidationError) as error:
        raise Misused(f"{source} is no specification: {' '.join(str(error).split())}") from error
    folder = Path.cwd() if is_stdin else source.absolute().parent
    for name in ("directory", "context"):
        if path := getattr(spec, name):
            setattr(spec, name, str(folder / Path(path).expanduser()))
    return spec


def _parsed(text: str, suffix: str) -> object:
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has {len(text):,} characters; at most {MAX_TEXT:,} are allowed")
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
    """YAML takes the last of two equal fields, and says nothing; this one does, and it has limits.

    It is the one in Python, which raises `RecursionError` for what is nested deeply; the one in C ends the process.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "the name of a field is no text", key.start_mark)
            if key.value in names:
                raise ConstructorError(None, None, f"the field {key.value!r} is there twice", key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_FIELDS:
            raise ConstructorError(None, None, f"a mapping has more than {MAX_FIELDS:,} fields", node.start_mark)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if node.tag in NUMBERS and len(node.value) > MAX_NUMBER:
            why = f"a number has {len(node.value):,} characters; at most {MAX_NUMBER} are allowed: write text in quotes"
            raise ConstructorError(None, None, why, node.start_mark)
        return super().construct_scalar(node)
