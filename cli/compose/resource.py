"""Limits and requests of a service in a Compose file."""

from collections.abc import Callable
from typing import Any

from cli.compose.node import Node
from cli.compose.quantity import mebibytes, number


def resources(given: Node, note: Callable[[Node, str], None]) -> dict[str, Any]:
    """Return the fields of `container` for `deploy.resources`; raise `ValueError`."""
    found: dict[str, Any] = {}
    for part, suffix in (("limits", ""), ("reservations", "Request")):
        for name, each in (given.get(part) or given.having(None)).fields.items():
            if name == "cpus":
                found[f"cpus{suffix}"] = number(each.text)
            elif name == "memory":
                found[f"memory{suffix}Mib"] = mebibytes(each.text)
            else:
                note(each, f"deploy: {name} of {part} can't be expressed")
    return found
