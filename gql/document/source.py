"""Text in YAML or JSON that knows in which line each of its values stands."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from domain.errors import InvalidDocument, Refused

MAX_TEXT = 1_000_000
MAX_VALUES = 200_000
"""Values in one text, those that an alias repeats counted each time."""

NOT_IN_YAML = re.compile("[^\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What JSON may hold as it is, and YAML may not; a tab between values is among it."""

STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")
FIELD = re.compile(r"field `(.*?)`")

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built with libyaml


class Source:
    """Raises `InvalidDocument` for what is neither, for a field that is there twice, and beyond the limits."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise InvalidDocument(line=1, why=f"the document has more than {MAX_TEXT} characters")
        self._root: Node | None = None
        try:
            self.value = self._parsed(text)
        except yaml.MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            raise InvalidDocument(line=mark.line + 1 if mark else 1, why=fault.problem or "it is no YAML") from None
        except (yaml.YAMLError, ValueError, RecursionError) as fault:
            raise InvalidDocument(line=1, why=f"it is no YAML: {' '.join(str(fault).split())}") from None

    def _parsed(self, text: str) -> object:
        as_json: tuple[object, ...] = ()
        if text.lstrip()[:1] in ("{", "["):
            with suppress(ValueError):
                as_json = (json.loads(text),)
                text = NOT_IN_YAML.sub(" ", text)  # this text then only says where everything is
        loader = Loader(text)
        try:
            self._root = loader.get_single_node()
            if self._root is None:
                return None
            self._check(self._root)
            return as_json[0] if as_json else loader.construct_document(self._root)
        finally:
            loader.dispose()

    def _check(self, root: Node) -> None:
        waiting = [root]
        for _ in range(MAX_VALUES):
            if not waiting:
                return
            node = waiting.pop()
            if isinstance(node, MappingNode):
                seen = set()
                for key, value in node.value:
                    waiting.append(value)
                    if isinstance(key, ScalarNode) and key.value in seen:
                        why = f"the field {key.value!r} is there twice"
                        raise InvalidDocument(line=key.start_mark.line + 1, why=why)
                    seen.add(key.value if isinstance(key, ScalarNode) else id(key))
            elif isinstance(node, SequenceNode):
                waiting.extend(node.value)
        raise InvalidDocument(line=1, why=f"the document has more than {MAX_VALUES} values")

    def refusal(self, path: str, why: str) -> InvalidDocument:
        """What is wrong at *path* (`$.stages[0].name`); of a field that is named, its own line is told."""
        field = FIELD.search(why)
        named = self._node(f"{path or '$'}.{field[1]}", is_key=True) if field and "unknown" in why else None
        line = named.start_mark.line + 1 if named else self.line(path)
        return InvalidDocument(line=line, why=why[:1].lower() + why[1:])

    @contextmanager
    def explaining(self, path: str) -> Iterator[None]:
        """Has a refusal say that it is about the value at *path*."""
        try:
            yield
        except InvalidDocument:
            raise
        except Refused as refused:
            raise self.refusal(path, str(refused).rstrip(".")) from None

    def line(self, path: str) -> int:
        node = self._node(path)
        return 1 if node is None else node.start_mark.line + 1

    def _node(self, path: str, *, is_key: bool = False) -> Node | None:
        """The node at *path*, or the nearest above it; with *is_key*, the one that names it."""
        node, named = self._root, None
        for name, index in STEP.findall(path):
            child: Node | None = None
            if isinstance(node, MappingNode):
                for key, value in node.value:
                    if isinstance(key, ScalarNode) and key.value == name:
                        child, named = value, key
            elif isinstance(node, SequenceNode) and index.isdigit():
                child = node.value[int(index)]
            if child is None:
                break
            node = child
        return named if is_key else node
