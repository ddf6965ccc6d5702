"""Text in YAML or JSON, with the line of each value."""

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    StreamEndEvent,
)
from yaml.nodes import ScalarNode

from domain.errors import InvalidDocument, Refused

MAX_TEXT = 1_000_000
"""Maximum length of a document, in characters."""

MAX_VALUES = 200_000
"""Maximum number of values in a document; an alias counts as all values of its anchor."""

MAX_COLLECTIONS = 50_000
"""Maximum number of lists and mappings in a document: garbage collection visits each of them."""

MAX_DEPTH = 20
"""Maximum nesting of a document, in levels; the deepest valid document has nine."""

MAX_NUMBER = 100
"""Maximum length of a number in a document, in characters: parsing some takes quadratic time."""

MAX_TAGS = 1000
"""Maximum number of %TAG directives: libyaml compares each with all others."""

TAG_DIRECTIVE = "%TAG"

STRING, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
MAPPING, SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
NULL = "tag:yaml.org,2002:null"
NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})

SURPRISING = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""A number that YAML reads in base 8 or 60: 0755 as 493, 22:22 as 1342."""

NOT_IN_YAML = re.compile("[^\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that are allowed in JSON, but not in YAML; a tab between values is one of them."""

AS_WRITTEN: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": str}
"""Options that read the numbers of a JSON document as text."""

STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")
FIELD = re.compile(r"field `(.*?)`")

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built with libyaml

TOO_DEEP = f"the document is nested more than {MAX_DEPTH} levels deep"


class _Outline:
    """The lines of values and field names, in the order of the text.

    It has no object for each of them: garbage collection would visit all, which blocks the event loop.
    """

    def __init__(self) -> None:
        self._lines = array("L")
        self._ends = array("L")  # the place after everything in the value
        self._names: list[str | None] = []  # None for a value
        self._aliased: dict[int, int] = {}  # by the places of aliases

    def add(self, line: int, name: str | None = None) -> int:
        """Add a value or a field name, and return its place. It has no content unless `end` is called."""
        place = len(self._lines)
        self._lines.append(line)
        self._ends.append(place + 1)
        self._names.append(name)
        return place

    def end(self, place: int) -> None:
        self._ends[place] = len(self._lines)

    def add_alias(self, line: int, target: int) -> None:
        self._aliased[self.add(line)] = target

    def line(self, steps: Iterable[tuple[str, str]], *, is_key: bool = False) -> int | None:
        """Return the line of the value at *steps*, or of its nearest parent; with *is_key*, of its field name."""
        place, key = 0, None
        for name, index in steps:
            below = self._field(place, name) if name else self._item(place, index)
            if below is None:
                break
            key, place = below
        if is_key:
            return None if key is None else self._lines[key]
        return self._lines[self._aliased.get(place, place)] if self._lines else None

    def _field(self, place: int, name: str) -> tuple[int, int] | None:
        """Return the places of a field name and its value, which may come from a merged mapping."""
        merged = None
        for key in self._in(place):
            if self._names[key] == name:
                return key, self._ends[key]
            if self._names[key] == MERGE:
                merged = self._ends[key]
        if merged is None:
            return None
        first = next(self._in(merged), None)
        is_list = first is not None and self._names[first] is None
        each = self._in(merged) if is_list else [merged]
        return next(filter(None, (self._field(mapping, name) for mapping in each)), None)

    def _item(self, place: int, index: str) -> tuple[None, int] | None:
        found = next(islice(self._in(place), int(index), None), None) if index.isdigit() else None
        return None if found is None else (None, found)

    def _in(self, place: int) -> Iterator[int]:
        """Yield the places of direct children."""
        place = self._aliased.get(place, place)
        below, end = place + 1, self._ends[place]
        while below < end:
            yield below
            below = self._ends[below]


class _Part:
    """A value that is being read, with its size."""

    __slots__ = ("_key", "height", "is_whole", "place", "value", "values")

    def __init__(self, value: Any, place: int, *, is_whole: bool = True, values: int = 1, height: int = 0) -> None:
        self.value = value
        self.place = place
        self.is_whole = is_whole
        self.values = values
        self.height = height
        self._key: str | None = None

    @property
    def is_name_next(self) -> bool:
        return self._key is None and isinstance(self.value, dict)

    @property
    def field(self) -> str | None:
        """The field whose value is next; None in a list."""
        return self._key

    def name(self, name: str, line: int) -> None:
        """Set the name of the next field."""
        if name in self.value:
            raise InvalidDocument(line=line, why=f"the field {name[:MAX_NUMBER]!r} occurs twice")
        self.value[name] = None
        self._key = name

    def add(self, part: "_Part") -> None:
        self.values += part.values
        self.height = max(self.height, part.height + 1)
        if self._key is None:
            self.value.append(part.value)
        else:
            self.value[self._key] = part.value
            self._key = None

    def end(self, line: int) -> None:
        self.is_whole = True
        if isinstance(self.value, dict) and MERGE in self.value:
            given = self.value.pop(MERGE)
            merged: dict[str, object] = {}
            for each in reversed(given if isinstance(given, list) else [given]):
                if not isinstance(each, dict):
                    raise InvalidDocument(line=line, why="only a mapping, or a list of them, can be merged (<<)")
                merged |= each
            own = self.value.copy()
            self.value.clear()
            self.value |= merged | own


def _read(loader: yaml.SafeLoader, outline: _Outline) -> object:
    """Return the value of the only document.

    PyYAML's own composer is recursive, in C with libyaml. A deeply nested document would crash the process, and a long
    one would block all other threads.
    """
    within: list[_Part] = []
    anchors: dict[str, _Part] = {}
    root: _Part | None = None
    values = collections = 0
    while not isinstance(event := _next(loader), StreamEndEvent):
        if isinstance(event, DocumentStartEvent) and root is not None:
            raise InvalidDocument(line=_line(event), why="a second document begins: only one is allowed")
        if not isinstance(event, NodeEvent | CollectionEndEvent):
            continue
        line = _line(event)
        if within and within[-1].is_name_next and not isinstance(event, CollectionEndEvent):
            name = _name(loader, event, anchors, line)
            outline.add(line, name)
            within[-1].name(name, line)
            continue
        if isinstance(event, CollectionEndEvent):
            part = within.pop()
            part.end(line)
            outline.end(part.place)
        else:
            part = _begin(loader, event, anchors, outline, within)
            values += part.values
            collections += not part.is_whole
            if values > MAX_VALUES:
                raise InvalidDocument(line=line, why=f"the document has more than {MAX_VALUES:,} values")
            if collections > MAX_COLLECTIONS:
                why = f"the document has more than {MAX_COLLECTIONS:,} lists and mappings"
                raise InvalidDocument(line=line, why=why)
            if len(within) + part.height + (not part.is_whole) > MAX_DEPTH:
                raise InvalidDocument(line=line, why=TOO_DEEP)
        if not part.is_whole:
            within.append(part)
        elif within:
            within[-1].add(part)
        else:
            root = part
    return None if root is None else root.value


def _next(loader: yaml.SafeLoader) -> Event:
    event: Event = loader.get_event()  # type: ignore[no-untyped-call]  # of PyYAML's parser
    return event


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _is_variable(within: list[_Part]) -> bool:
    """Return whether the next value is a variable's: in `env: {NAME: value}` or `env: [{name: NAME, value: value}]`."""
    fields = (part.field for part in reversed(within[:-1]))
    return next((field for field in fields if field not in (MERGE, None)), None) == "env"


def _begin(
    loader: yaml.SafeLoader, event: NodeEvent, anchors: dict[str, _Part], outline: _Outline, within: list[_Part]
) -> _Part:
    """Return the part that begins with *event*. In a variable, a number, a time or a truth value is text as written."""
    line = _line(event)
    if isinstance(event, AliasEvent):
        target = _aliased(anchors, event.anchor or "", line)
        outline.add_alias(line, target.place)
        return target
    if isinstance(event, ScalarEvent):
        is_text = event.tag in (None, "!") and _tag(loader, event) not in (STRING, NULL) and _is_variable(within)
        part = _Part(event.value if is_text else _scalar(loader, event), outline.add(line))
    else:
        assert isinstance(event, CollectionStartEvent), "there are no other nodes"
        part = _Part(_collection(event), outline.add(line), is_whole=False)
    if event.anchor is not None:
        anchors[event.anchor] = part
    return part


def _aliased(anchors: Mapping[str, _Part], anchor: str, line: int) -> _Part:
    """Return the value of an alias."""
    part = anchors.get(anchor)
    if part is None:
        raise InvalidDocument(line=line, why=f"the alias {anchor[:MAX_NUMBER]!r} has no anchor before it")
    if not part.is_whole:
        raise InvalidDocument(line=line, why=f"the alias {anchor[:MAX_NUMBER]!r} refers to a value that contains it")
    return part


def _name(loader: yaml.SafeLoader, event: NodeEvent, anchors: dict[str, _Part], line: int) -> str:
    """Return a field name; `MERGE` for a merge key."""
    name: object = None
    if isinstance(event, AliasEvent):
        name = _aliased(anchors, event.anchor or "", line).value
    elif isinstance(event, ScalarEvent):
        if _tag(loader, event) == MERGE:
            return MERGE
        name = _scalar(loader, event)
        if event.anchor is not None:
            anchors[event.anchor] = _Part(name, 0)
    if not isinstance(name, str):
        raise InvalidDocument(line=line, why="a field name is not a text: write it in quotes")
    return name


def _tag(loader: yaml.SafeLoader, event: ScalarEvent) -> str:
    if event.tag is not None and event.tag != "!":
        return event.tag
    tag: str = loader.resolve(ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]  # PyYAML's
    return tag


def _scalar(loader: yaml.SafeLoader, event: ScalarEvent) -> object:
    tag = _tag(loader, event)
    if tag == STRING:
        return event.value
    if tag in NUMBERS and len(event.value) > MAX_NUMBER:
        why = f"a number has {len(event.value):,} characters; at most {MAX_NUMBER} are allowed: write text in quotes"
        raise InvalidDocument(line=_line(event), why=why)
    if tag in NUMBERS and SURPRISING.fullmatch(event.value):
        why = f"YAML reads the number {event.value!r} in base 8 or 60: write it in base 10, or text in quotes"
        raise InvalidDocument(line=_line(event), why=why)
    try:
        return loader.construct_document(ScalarNode(tag, event.value, event.start_mark))  # type: ignore[arg-type]  # in C
    except (ValueError, ArithmeticError, LookupError, AttributeError):  # the errors of PyYAML's constructors
        why = f"{event.value[:MAX_NUMBER]!r} can't be read as {tag.rpartition(':')[2]}: write text in quotes"
        raise InvalidDocument(line=_line(event), why=why) from None


def _collection(event: CollectionStartEvent) -> dict[str, object] | list[object]:
    is_mapping = isinstance(event, MappingStartEvent)
    if event.tag and event.tag not in ("!", MAPPING if is_mapping else SEQUENCE):
        why = f"the tag {event.tag[:MAX_NUMBER]!r} is not supported: leave it out"
        raise InvalidDocument(line=_line(event), why=why)
    return {} if is_mapping else []


def _services(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the services of *document* that have variables; it may be of any shape."""
    for stage in _items(document, "stages"):
        for service in _items(stage, "services"):
            spec = service.get("spec") if isinstance(service, dict) else None
            if isinstance(spec, dict) and isinstance(spec.get("env"), dict | list):
                yield service


def _items(value: Any, field: str) -> list[Any]:
    items = value.get(field) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _variables(env: dict[str, Any] | list[Any]) -> dict[str, Any] | list[Any]:
    """Return the variables of a JSON document that was read with `AS_WRITTEN`, with truth values as text, too."""
    if isinstance(env, dict):
        return {name: _written(value) for name, value in env.items()}
    return [
        {**each, "value": _written(each["value"])} if isinstance(each, dict) and "value" in each else each
        for each in env
    ]


def _written(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


class Source:
    """A document in YAML or JSON.

    Raises `InvalidDocument` if it is neither, has a duplicate field, or exceeds a limit.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise InvalidDocument(
                line=1, why=f"the document has {len(text):,} characters; at most {MAX_TEXT:,} are allowed"
            )
        if text.count(TAG_DIRECTIVE) > MAX_TAGS:
            raise InvalidDocument(line=1, why=f"the document has more than {MAX_TAGS:,} {TAG_DIRECTIVE} directives")
        self._outline: _Outline
        try:
            self.value = self._parsed(text)
        except yaml.MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            raise InvalidDocument(
                line=mark.line + 1 if mark else 1, why=fault.problem or "the document is not valid YAML"
            ) from None
        except (yaml.YAMLError, ValueError) as fault:
            raise InvalidDocument(
                line=1, why=f"the document is not valid YAML: {' '.join(str(fault).split())}"
            ) from None

    def _parsed(self, text: str) -> object:
        is_flow = text.lstrip()[:1] in ("{", "[")
        yaml_text = NOT_IN_YAML.sub(" ", text) if is_flow else text  # for JSON, it gives the lines
        value = self._read(yaml_text)
        if not is_flow:
            return value
        try:
            value = json.loads(text)
        except ValueError:
            return value if yaml_text == text else self._read(text)
        for service, written in zip(_services(value), _services(json.loads(text, **AS_WRITTEN)), strict=True):
            service["spec"] = {**service["spec"], "env": _variables(written["spec"]["env"])}
        return value

    def _read(self, text: str) -> object:
        self._outline = _Outline()
        loader = Loader(text)
        try:
            return _read(loader, self._outline)
        finally:
            loader.dispose()

    def refusal(self, path: str, why: str) -> InvalidDocument:
        """Return the refusal of the value at *path* (`$.stages[0].name`), with the line of an unknown field."""
        field = FIELD.search(why)
        steps = STEP.findall(path)
        named = self._outline.line([*steps, (field[1], "")], is_key=True) if field and "unknown" in why else None
        return InvalidDocument(line=named or self.line(path), why=why[:1].lower() + why[1:])

    @contextmanager
    def explaining(self, path: str) -> Iterator[None]:
        """Turn a refusal into one with the line of the value at *path*."""
        try:
            yield
        except InvalidDocument:
            raise
        except Refused as refused:
            raise self.refusal(path, str(refused).rstrip(".")) from None

    def line(self, path: str) -> int:
        return self._outline.line(STEP.findall(path)) or 1
