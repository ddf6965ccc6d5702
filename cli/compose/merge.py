"""Compose's rules for a service that two files, or a service and the one that it extends, say something of."""

from collections.abc import Callable

from cli.compose.node import Node

MAPPINGS = frozenset({"environment", "labels", "annotations", "args"})
"""Fields that are a list of NAME=VALUE, or a mapping."""

REPLACED = frozenset({"command", "entrypoint", "test"})
"""Lists that replace an earlier one; others are appended to it."""

KEYED = frozenset({"volumes", "secrets", "configs", "devices"})
"""Lists whose items replace those with the same place in the container."""


def normal(name: str, node: Node) -> Node:
    """Return the field *name* with the short forms of it, and of the fields in it, in their long form."""
    if node.value is None:
        return node
    if name == "build" and isinstance(node.value, str):
        return node.having({"context": node})
    if name in MAPPINGS and isinstance(node.value, list):
        return node.having(dict(_assignment(each) for each in node.value))
    if name in ("depends_on", "networks") and isinstance(node.value, list):
        return node.having({each.text: each.having(None) for each in node.value})
    if name in ("env_file", "extends", "profiles", "tmpfs", "dns") and isinstance(node.value, str):
        return node.having([node]) if name != "extends" else node.having({"service": node})
    if isinstance(node.value, dict) and name not in MAPPINGS:
        return node.having({key: normal(key, each) for key, each in node.value.items()})
    return node


def _assignment(node: Node) -> tuple[str, Node]:
    name, found, value = node.text.partition("=")
    return name, node.having(value if found else None)


def merged(name: str, base: Node, over: Node) -> Node | None:
    """Return the field *name* of *base* under that of *over*, both normal; None if it is reset."""
    if over.tag == "!reset":
        return None
    if over.tag == "!override" or base.value is None or over.value is None or name in REPLACED:
        return over
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        fields = dict(base.value)
        for key, value in over.value.items():
            found = merged(key, fields[key], value) if key in fields else value
            if found is None or value.tag == "!reset":
                fields.pop(key, None)
            else:
                fields[key] = found
        return over.having(fields)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return over.having(_appended(base.value, over.value, _target if name in KEYED else _content))
    return over


def _appended(base: list[Node], over: list[Node], key: Callable[[Node], object]) -> list[Node]:
    items = {key(each): each for each in base}
    items.update({key(each): each for each in over})
    return list(items.values())


def _content(node: Node) -> object:
    """Return what two equal items have in common."""
    if isinstance(node.value, dict):
        return tuple((name, _content(each)) for name, each in node.value.items())
    return tuple(map(_content, node.value)) if isinstance(node.value, list) else node.value


def _target(node: Node) -> object:
    """Return the place in the container of a mount or a device."""
    if isinstance(node.value, dict):
        target = node.get("target") or node.get("source")
        return None if target is None else target.text
    parts = node.text.split(":")
    return parts[1] if len(parts) > 1 else parts[0]
