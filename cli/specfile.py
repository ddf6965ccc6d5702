"""
A service's specification in a file: YAML, JSON or TOML.

Its fields are those of the API's `ServiceSpecInput`; `env` may also be a mapping.
"""

import json
import re
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from msgspec import ValidationError, convert
from yaml.constructor import ConstructorError

from cli import file as files
from cli.errors import Misused
from cli.spec import SpecJson

MAX_TEXT = 200_000
"""Maximum length of a file, in characters. All texts of a specification have at most 100,000."""

MAX_FIELDS = 1000
"""Maximum number of fields in one mapping, including merged ones."""

MAX_NUMBER = 100
"""Maximum length of a number, in characters: the time to read some is quadratic."""

STRING, NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"

IMPLICIT = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "timestamp", "value", "merge"))
"""Tags that a value without quotes may get."""

DECIMAL = r"(?<![\w-]){name}[\"']?\s*=\s*{value}(?![\w.:-])"
"""An integer in a TOML document: the parser reads 1_000 and 0x1F, too, and does not tell how it was written."""

SURPRISING = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""A number that YAML reads in base 8 or 60: 0755 as 493, 22:22 as 1342."""

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read(source: Path) -> SpecJson:
    """Return the specification in *source*. Raise `Misused` if it is invalid or has an unknown or repeated field.

    Relative directories are relative to the file. Stdin (`-`) is read as YAML, which includes JSON.
    """
    is_stdin = str(source) == files.STDIN
    text = files.read(source)
    try:
        document = _parsed(text, ".yaml" if is_stdin else source.suffix.lower())
        spec = convert(_with_variables(document), SpecJson)
    except RecursionError:
        raise Misused(f"{source} is not a specification: it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, yaml.YAMLError, ValidationError) as error:
        raise Misused(f"{source} is not a specification: {' '.join(str(error).split())}") from error
    folder = Path.cwd() if is_stdin else source.absolute().parent
    for name in ("working_directory", "build_context"):
        if path := getattr(spec, name):
            setattr(spec, name, files.absolute(path, folder))
    for bind in spec.container.binds:
        bind.source = files.absolute(bind.source, folder)
    return spec


def _parsed(text: str, suffix: str) -> object:
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has {len(text):,} characters; at most {MAX_TEXT:,} are allowed")
    match suffix:
        case ".json":
            document = json.loads(text, object_pairs_hook=_once)
            if isinstance(document, dict) and "env" in document:
                document["env"] = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)["env"]
            return document
        case ".toml":
            return _toml(text)
        case ".yaml" | ".yml":
            return yaml.load(text, _Loader)
        case _:
            raise ValueError(f"its name ends in {suffix or 'nothing'}, not in .yaml, .yml, .json or .toml")


def _toml(text: str) -> object:
    """Return a TOML document. An integer in `env` is text if it is written as a decimal number."""
    document = tomllib.loads(text, parse_float=str) if "env" in text else {}
    env = document.get("env")
    if isinstance(env, dict):
        for name, value in env.items():
            if isinstance(value, int) and re.search(DECIMAL.format(name=re.escape(name), value=value), text):
                env[name] = str(value)
    return {**tomllib.loads(text), **({} if env is None else {"env": env})}


def _with_variables(document: object) -> object:
    """Return *document* with `env` as a list, if it is a mapping."""
    if not isinstance(document, dict) or not isinstance(document.get("env"), dict | list):
        return document
    env = document["env"]
    if isinstance(env, dict):
        env = [{"name": name, "value": value} for name, value in env.items()]
    for variable in env:
        if isinstance(variable, dict) and not isinstance(variable.get("value", ""), str):
            raise ValueError(f"env.{variable.get('name')} is not text: write it in quotes")
    return {**document, "env": env}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError(f"the field {name!r} is repeated")
        seen[name] = value
    return seen


def _as_written(env: yaml.Node) -> yaml.Node:
    """Return the node of `env` with numbers, times and truth values as the text that they are written as."""
    if isinstance(env, yaml.MappingNode):
        pairs = [(key, _as_written(value) if _is_merge(key) else _text(value)) for key, value in env.value]
        return yaml.MappingNode(env.tag, pairs, env.start_mark, env.end_mark)
    if isinstance(env, yaml.SequenceNode):  # of `{name: …, value: …}`, or of merged mappings
        return yaml.SequenceNode(env.tag, [_as_written(each) for each in env.value], env.start_mark, env.end_mark)
    return env


def _is_merge(key: yaml.Node) -> bool:
    return key.tag == "tag:yaml.org,2002:merge"


def _text(node: yaml.Node) -> yaml.Node:
    if not isinstance(node, yaml.ScalarNode) or node.style or node.tag in (STRING, NULL) or node.tag not in IMPLICIT:
        return node
    return yaml.ScalarNode(STRING, node.value, node.start_mark, node.end_mark)


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses repeated fields, keeps the values of variables as they are written, and has limits.

    It is the loader in Python, which raises `RecursionError` for deep nesting. The one in C crashes the process.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "the name of a field is not text", key.start_mark)
            if key.value in names:
                raise ConstructorError(None, None, f"the field {key.value!r} is repeated", key.start_mark)
            names.add(key.value)
        node.value = [(key, _as_written(value) if key.value == "env" else value) for key, value in node.value]
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_FIELDS:
            raise ConstructorError(None, None, f"a mapping has more than {MAX_FIELDS:,} fields", node.start_mark)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if node.tag in NUMBERS and len(node.value) > MAX_NUMBER:
            why = f"a number has {len(node.value):,} characters; at most {MAX_NUMBER} are allowed: write text in quotes"
            raise ConstructorError(None, None, why, node.start_mark)
        if node.tag in NUMBERS and SURPRISING.fullmatch(node.value):
            why = f"YAML reads the number {node.value!r} in base 8 or 60: write it in base 10, or text in quotes"
            raise ConstructorError(None, None, why, node.start_mark)
        return super().construct_scalar(node)
