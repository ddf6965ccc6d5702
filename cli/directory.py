"""The text of a pipeline document: its directories, which are relative to its file, and single values of it."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
import yaml.resolver

from cli import file as files

ITEM = "[]"
"""Stands for an item of a list in a path of field names."""

SPEC = ("stages", ITEM, "services", ITEM, "spec")
PATHS = (("workingDirectory",), ("buildContext",), ("container", "binds", ITEM, "source"))
"""The places of directories in a specification."""

BARE = re.compile(r"\.{1,2}(/[\w.-]+)*")
"""A relative directory that needs no quotes in YAML."""

MAX_TEXT = 1_000_000
"""Maximum length of a document that is read here, in characters; the server refuses longer ones."""

MAX_DEPTH = 20
"""Maximum depth of a document that is read here, in levels; the server refuses deeper ones."""

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built with libyaml
RESOLVER = yaml.resolver.Resolver()


def read(file: Path) -> str:
    """Return the document in *file*, with its relative directories made absolute. The lines stay the same."""
    text = files.read(file)
    folder = Path.cwd() if str(file) == files.STDIN else file.absolute().parent
    if len(text) > MAX_TEXT:
        return text  # the server refuses it, and names the line
    try:
        replaced = list(_replaced(text, folder))
    except (yaml.YAMLError, ValueError):
        return text
    for start, end, written in reversed(replaced):
        text = text[:start] + json.dumps(written, ensure_ascii=False) + text[end:]
    return text


def relative(text: str, folder: Path) -> str:
    """Return the document *text* with the directories in the repository of *folder* made relative to it."""
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    found = []
    for way, event in _scalars(text):
        is_inside = isinstance(event, yaml.ScalarEvent) and Path(os.path.normpath(event.value)).is_relative_to(root)
        if is_inside and _is_directory(way) and isinstance(event, yaml.ScalarEvent):
            assert event.start_mark is not None, "a parser says where its events are"
            assert event.end_mark is not None, "a parser says where its events are"
            found.append((event.start_mark.index, event.end_mark.index, event.style, event.value))
    for start, end, style, value in reversed(found):
        way_there = os.path.relpath(value, folder)
        written = way_there if way_there.startswith("..") else "." if way_there == "." else f"./{way_there}"
        is_bare = not style and BARE.fullmatch(written)
        text = text[:start] + (written if is_bare else json.dumps(written, ensure_ascii=False)) + text[end:]
    return text


def _replaced(text: str, folder: Path) -> Iterator[tuple[int, int, str]]:
    """Yield the start, the end and the replacement of each relative directory in a document.

    A replaced directory loses its anchor, so its aliases are replaced, too.
    """
    replaced: dict[str, str] = {}  # by anchor
    anchored: dict[str, str] = {}
    for way, event in _scalars(text):
        assert event.start_mark is not None, "a parser says where its events are"
        assert event.end_mark is not None, "a parser says where its events are"
        anchor = event.anchor or ""
        value = anchored.get(anchor) if isinstance(event, yaml.AliasEvent) else _text(event)
        path = files.absolute(value, folder) if value and _is_directory(way) else None
        is_relative = value and path is not None and not Path(value).expanduser().is_absolute()
        if isinstance(event, yaml.ScalarEvent) and anchor:
            replaced.pop(anchor, None)
            anchored.pop(anchor, None)
            if value is not None:
                anchored[anchor] = value
            if value is not None and is_relative:
                replaced[anchor] = value
        if is_relative:
            yield event.start_mark.index, event.end_mark.index, str(path)
        elif isinstance(event, yaml.AliasEvent) and anchor in replaced:
            yield event.start_mark.index, event.end_mark.index, replaced[anchor]


def values(text: str, *way: str) -> list[str]:
    """Return the texts at the place *way* of a document, as of `stages`, `ITEM`, `name`; none if it is not valid."""
    try:
        found = [event for at, event in _scalars(text) if tuple(at) == way and isinstance(event, yaml.ScalarEvent)]
        return [value for event in found if (value := _text(event)) is not None]
    except (yaml.YAMLError, ValueError):
        return []  # the server refuses it, and names the line


def _is_directory(way: Sequence[str]) -> bool:
    return tuple(way[: len(SPEC)]) == SPEC and tuple(way[len(SPEC) :]) in PATHS


def _text(event: yaml.ScalarEvent) -> str | None:
    """Return the scalar's value if it is a string."""
    tag = event.tag
    if tag is None or tag == "!":
        tag = RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return event.value if tag == "tag:yaml.org,2002:str" else None


def _scalars(text: str) -> Iterator[tuple[Sequence[str], yaml.ScalarEvent | yaml.AliasEvent]]:
    """Yield the scalars and aliases of a document, each with the path of field names to it.

    This uses a parser's events, since PyYAML's composer recurses. Raise `ValueError` if the document is too deep.
    """
    way: list[str] = []
    is_name: list[bool] = []  # whether a field name is next, for each level
    loader = Loader(text)
    try:
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.CollectionEndEvent):
                way.pop()
                is_name.pop()
            elif not isinstance(event, yaml.NodeEvent):
                continue
            elif is_name and is_name[-1]:
                if not isinstance(event, yaml.ScalarEvent):
                    raise ValueError("the name of a field is not a string")
                way[-1], is_name[-1] = event.value, False
                continue
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(way) == MAX_DEPTH:
                    raise ValueError("it is nested too deeply")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                way.append(ITEM)
                is_name.append(is_mapping)
                continue
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                yield way, event
            if way and way[-1] is not ITEM:
                is_name[-1] = True
    finally:
        loader.dispose()
