"""Pipeline documents as text in YAML or JSON."""

import enum
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from gql.document.pipeline import PipelineDocument

HIDDEN = re.compile(r"[\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff-\uffff]")
"""Invisible characters, which JSON text escapes."""


class DocumentFormat(enum.Enum):
    """The format of a pipeline document."""

    YAML = "YAML"
    JSON = "JSON"


def write(document: PipelineDocument, format: DocumentFormat = DocumentFormat.YAML) -> str:
    """Return *document* as text."""
    content = msgspec.to_builtins(document)
    if format is DocumentFormat.JSON:
        return HIDDEN.sub(_escape, json.dumps(content, indent=2, ensure_ascii=False)) + "\n"
    return "".join(_yaml(content))


class _Dumper(yaml.SafeDumper): ...


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Represent text: several lines as a block, invisible characters escaped."""
    lines = text.removesuffix("\n").split("\n")
    if text.isprintable():
        style = None
    elif all(line and line.isprintable() and line == line.strip() for line in lines):
        style = "|"
    else:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _escape(hidden: re.Match[str]) -> str:
    return f"\\u{ord(hidden[0]):04x}"


def _yaml(document: dict[str, Any]) -> Iterator[str]:
    """Yield the document as YAML, one service at a time.

    PyYAML makes several objects for each value. For a whole large document, they would slow down garbage collection,
    which blocks the event loop.
    """

    def dump(content: object) -> str:
        text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        return text

    yield "stages:\n"
    for stage in document["stages"]:
        services = stage.pop("services", ())
        yield dump([stage])
        if services:
            yield "  services:\n"
        for service in services:
            yield dump([{"services": [service]}]).partition("\n")[2]
    if policy := document.get("policy"):
        yield dump({"policy": policy})
