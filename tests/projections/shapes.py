"""
Shapes of the views that are stored, with the versions of their projections.

`python -m tests.projections.shapes` pins them in shapes.json, and refuses a new shape under an old version.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from projections.engine.snapshot import ViewSnapshot
from projections.history import HistoryView
from projections.outcome import Outcome, ServiceOutcomes
from projections.service import ListedService
from server.stores import PROJECTIONS

PINNED = Path(__file__).with_name("shapes.json")

BESIDE: dict[str, tuple[type[Struct], ...]] = {
    "pipeline": (HistoryView, ViewSnapshot, ListedService),
    "deployment": (Outcome, ServiceOutcomes),
}
"""Types of the rows that a projection writes beside its own, and of its parts, by kind."""

Pins = dict[str, dict[str, Any]]


def shape(*types: type[Struct]) -> str:
    """Return a hash of the fields of *types*: their names, types and defaults, at any depth."""
    _, components = msgspec.json.schema_components(types)
    return hashlib.sha256(json.dumps(_bare(components), sort_keys=True).encode()).hexdigest()[:16]


def _bare(schema: Any) -> Any:
    """Return *schema* without texts, and without the members of enums: a new member changes no stored row."""
    if isinstance(schema, dict):
        left = {name: _bare(value) for name, value in schema.items() if name not in ("description", "enum")}
        return left
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def current() -> Pins:
    """Return the version and shape of every projection."""
    return {
        each.name: {"version": each.version, "shape": shape(each.view, *BESIDE.get(each.name, ()))}
        for each in PROJECTIONS
    }


def pinned() -> Pins:
    """Return the pinned versions and shapes."""
    pins: Pins = json.loads(PINNED.read_text())
    return pins


def unraised(old: Pins, new: Pins) -> list[str]:
    """Return the kinds whose shape is new and whose version is old."""
    return [
        kind
        for kind, pin in new.items()
        if kind in old and pin["shape"] != old[kind]["shape"] and pin["version"] <= old[kind]["version"]
    ]


def main() -> None:
    if kinds := unraised(pinned(), current()):
        sys.exit(f"The rows of {', '.join(kinds)} have a new shape: raise the version of the projection first.")
    PINNED.write_text(json.dumps(current(), indent=2) + "\n")


if __name__ == "__main__":
    main()
