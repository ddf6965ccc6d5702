"""YAML files as values that know their line."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from cli import file as files
from cli.errors import Misused

MAX_TEXT = 1_000_000
"""Maximum length of a file, in characters."""

MAX_DEPTH = 50
"""Maximum nesting of a file, in levels."""

MAX_VALUES = 200_000
"""Maximum number of values in a file; a merged mapping counts as all values that it brings."""

MERGE = "<<"
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
TAGS = ("!reset", "!override")
"""Tags of Compose: a value that removes, or replaces, that of an earlier file."""

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built with libyaml


@dataclass(frozen=True)
class File:
    """A file under the name that messages have; *base* is the folder of its relative paths."""

    name: str
    base: Path


@dataclass(frozen=True, eq=False)
class Node:
    """A value with its line: text, None, a list or a mapping. Numbers and truth values are text as they are written.

    The line of a value in a mapping is that of its field name.
    """

    value: Any
    file: File
    line: int
    tag: str = ""

    @property
    def fields(self) -> dict[str, "Node"]:
        """The fields of a mapping; none for null. Raise `Misused` if it is something else."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.error("a mapping is needed")
        return self.value or {}

    @property
    def items(self) -> list["Node"]:
        """The items of a list; none for null. Raise `Misused` if it is something else."""
        if self.value is not None and not isinstance(self.value, list):
            raise self.error("a list is needed")
        return self.value or []

    @property
    def text(self) -> str:
        """The text; it is empty for null. Raise `Misused` if it is something else."""
        if self.value is not None and not isinstance(self.value, str):
            raise self.error("a text is needed")
        return self.value or ""

    @property
    def is_true(self) -> bool:
        """Whether the text is `true`, in any case. Raise `Misused` if it is something else than a text."""
        return self.text.lower() == "true"

    @property
    def texts(self) -> list[str]:
        """The texts of a list, or the only text."""
        return [each.text for each in self.value] if isinstance(self.value, list) else [self.text] * bool(self.value)

    def get(self, name: str) -> "Node | None":
        """Return the field *name* of a mapping, unless it is null."""
        found = self.fields.get(name)
        return None if found is None or found.value is None else found

    def having(self, value: object) -> "Node":
        """Return this node with another value."""
        return replace(self, value=value)

    def error(self, why: str) -> Misused:
        return Misused(f"Invalid {self.file.name}, line {self.line}: {why}.")


@dataclass
class _Part:
    """A list or mapping that is being read."""

    node: Node
    merged: list[Node] = field(default_factory=list)
    name: str | None = None
    line: int = 0

    @property
    def is_name_next(self) -> bool:
        return self.name is None and isinstance(self.node.value, dict)

    def add(self, node: Node) -> None:
        if isinstance(self.node.value, list):
            self.node.value.append(node)
            return
        assert self.name is not None, "a value follows its name"
        if self.name == MERGE:
            self.merged += node.value if isinstance(node.value, list) else [node]
        else:
            self.node.value[self.name] = replace(node, line=self.line)
        self.name = None

    def end(self) -> int:
        """Merge what `<<` names: own fields count, then those of earlier mappings. Return how many values came."""
        own = dict(self.node.value) if self.merged else {}
        for mapping in reversed(self.merged):
            self.node.value.update(mapping.fields)
        if self.merged:
            self.node.value.update(own)
        return sum(len(mapping.fields) for mapping in self.merged)


def read(path: Path, base: Path | None = None) -> Node:
    """Return the YAML document in *path*, whose paths are relative to *base*, or to its folder.

    Raise `Misused` with the line of what is wrong.
    """
    text = files.read(path, MAX_TEXT)
    is_stdin = str(path) == files.STDIN
    file = File("stdin" if is_stdin else str(path), base or (Path.cwd() if is_stdin else path.absolute().parent))
    loader = Loader(text)
    try:
        return _read(loader, file)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        raise Node(None, file, mark.line + 1 if mark else 1).error(fault.problem or "it is not valid YAML") from None
    except yaml.YAMLError as fault:
        raise Node(None, file, 1).error(" ".join(str(fault).split())) from None
    finally:
        loader.dispose()


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):  # type: ignore[no-untyped-call]  # PyYAML's
        yield event


def _read(loader: yaml.SafeLoader, file: File) -> Node:
    """Return the only document. This uses the parser's events, since PyYAML's composer recurses."""
    within: list[_Part] = []
    anchors: dict[str, Node] = {}
    root: Node | None = None
    values = 0
    for event in _events(loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise Node(None, file, line).error("a second document begins: only one is allowed")
        if isinstance(event, yaml.CollectionEndEvent):
            part = within.pop()
            values += part.end()
            node = part.node
        elif isinstance(event, yaml.NodeEvent):
            if within and within[-1].is_name_next:
                _name(within[-1], event, Node(None, file, line))
                continue
            node = _begun(event, anchors, Node(None, file, line))
            if any(node.value is part.node.value for part in within):
                raise node.error("an alias refers to a value that contains it")
            values += 1
            if isinstance(event, yaml.CollectionStartEvent):
                within.append(_Part(node))
                if len(within) > MAX_DEPTH:
                    raise node.error(f"it is nested more than {MAX_DEPTH} levels deep")
                continue
        else:
            continue
        if values > MAX_VALUES:
            raise node.error(f"the file has more than {MAX_VALUES:,} values")
        if within:
            within[-1].add(node)
        else:
            root = node
    return root or Node(None, file, 1)


def _name(part: _Part, event: yaml.NodeEvent, here: Node) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise here.error("the name of a field is not a text")
    if event.value in part.node.value:
        raise here.error(f"the field {event.value[:100]!r} occurs twice")
    part.name, part.line = event.value, here.line


def _begun(event: yaml.NodeEvent, anchors: dict[str, Node], here: Node) -> Node:
    """Return the node that begins with *event*, a collection still empty."""
    if isinstance(event, yaml.AliasEvent):
        target = anchors.get(event.anchor or "")
        if target is None:
            raise here.error(f"the alias {(event.anchor or '')[:100]!r} has no anchor before it")
        return replace(target, line=here.line)
    assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent), "there are no other nodes"
    if event.tag not in PLAIN_TAGS and event.tag not in TAGS:
        raise here.error(f"the tag {str(event.tag)[:100]!r} is not supported: leave it out")
    tag = event.tag if event.tag in TAGS else ""
    if isinstance(event, yaml.ScalarEvent):
        is_null = not event.style and event.value in NULLS
        node = replace(here, value=None if is_null else event.value, tag=tag)
    else:
        node = replace(here, value={} if isinstance(event, yaml.MappingStartEvent) else [], tag=tag)
    if event.anchor:
        anchors[event.anchor] = node
    return node
