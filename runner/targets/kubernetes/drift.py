"""Drift: the fields that were applied, and have other values in the cluster now, in words."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.model import Live
from runner.targets.kubernetes.record import FORM, Record

MAX_FIELDS = 10
"""Maximum number of fields that are named."""

MAX_VALUE = 100
"""Maximum length of a value in words, in characters."""

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti|k|M|G)?")
"""An amount of a resource, which a cluster may write in another way than it was applied."""

UNITS = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)} | {
    unit: Decimal(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)
}

KEYS = ("name", "containerPort", "mountPath", "port")
"""The fields that tell items of a list apart; the first one that an item has counts."""

PRIVATE = frozenset({"env", "command", "args"})
"""Fields whose values are not shown, since somebody may have written a secret there."""


def find(record: Record, found: Live, service: Live | None) -> tuple[str, ...]:
    """Return the applied fields of the workload *found* and of its Service that differ now.

    There are none if another version of Stageline may have applied others.
    """
    if record.form != FORM:
        return ()
    owner = UUID(found.metadata.labels.get(label.OWNER, str(UUID(int=0))))
    differences = [*_differences((), workload.workload(record, owner)["spec"], found.spec)]
    applied = workload.service(record.request, owner)
    if applied is not None and service is None:
        differences.append(f"Service {applied['metadata']['name']} is gone")
    elif applied is not None and service is not None:
        differences += _differences(("Service",), applied["spec"], service.spec)
    if len(differences) > MAX_FIELDS:
        differences = [*differences[:MAX_FIELDS], f"and {len(differences) - MAX_FIELDS} more"]
    return tuple(differences)


def _differences(path: tuple[str, ...], applied: Any, live: Any) -> Iterator[str]:
    if isinstance(applied, dict) and isinstance(live, dict):
        for name, value in applied.items():
            yield from _differences((*path, name), value, live.get(name))
    elif isinstance(applied, list) and isinstance(live, list) and applied and isinstance(applied[0], dict):
        for item in applied:
            key = next(key for key in KEYS if key in item)
            same = next((each for each in live if each.get(key) == item[key]), None)
            yield from _differences((*path, str(item[key])), item, same)
    elif not (applied == live or (live is None and not applied) or _amount(applied) == _amount(live) is not None):
        yield _words(path, applied, live)


def _amount(value: Any) -> Decimal | None:
    if not isinstance(value, str) or (found := QUANTITY.fullmatch(value)) is None:
        return None
    return Decimal(found[1]) * UNITS[found[2] or ""]


def _words(path: tuple[str, ...], applied: Any, live: Any) -> str:
    name = _name(path)
    if not PRIVATE.isdisjoint(path):
        return f"{name} {'removed' if live is None else 'changed'}"
    if live is None:
        return f"{name} removed, applied {_value(applied)}"
    return f"{name} {_value(live)}, applied {_value(applied)}"


def _name(path: Sequence[str]) -> str:
    """Return the name of a field, without the parts that each has, such as template.spec.containers.<name>."""
    parts = list(path)
    if parts[:2] == ["template", "spec"]:
        parts = parts[2:]
        if parts[0] == "containers" and len(parts) > 2:
            parts = parts[2:]
    if parts[0] == "env" and len(parts) > 1:
        return f"env {parts[1]}"
    return ".".join(parts)


def _value(value: Any) -> str:
    return (value if isinstance(value, str) else str(value))[:MAX_VALUE]
