"""The change of a service's specification in words, field by field."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import assert_never

from domain.spec import NAMES, Backoff, Check, CommandCheck, Health, HttpCheck, ServiceSpec, TcpCheck, Variable

MAX_VALUE = 60
"""Maximum length of a value in the words, in characters."""

MAX_WORDS = 400
"""Maximum length of the words, in characters; every word of them is searched."""

NOTHING = "–"
"""Stands for a field without a value."""


def spec_words(before: ServiceSpec, after: ServiceSpec) -> str:
    """Return the difference of two specifications: "env: +LOG=debug; retries: 0 → 2"."""
    return _cut("; ".join(_changes(before, after)), MAX_WORDS)


def _changes(before: ServiceSpec, after: ServiceSpec) -> Iterator[str]:
    for field in ServiceSpec.__struct_fields__:
        old, new = getattr(before, field), getattr(after, field)
        if old == new:
            continue
        if field == "env":
            yield f"env: {', '.join(_variable_changes(old, new)) or 'reordered'}"
        else:
            yield f"{NAMES.get(field, field)}: {_cut(_value(old), MAX_VALUE)} → {_cut(_value(new), MAX_VALUE)}"


def _variable_changes(before: tuple[Variable, ...], after: tuple[Variable, ...]) -> Iterator[str]:
    old, new = ({each.name: each.value for each in variables} for variables in (before, after))
    for name, value in new.items():
        if name not in old:
            yield f"+{name}={_text(value)}"
        elif old[name] != value:
            yield f"{name}={_text(old[name])} → {_text(value)}"
    yield from (f"-{name}" for name in old if name not in new)


def set_words(before: tuple[Variable, ...], after: Variable) -> str:
    """Describe a variable that was set: "variable REGION: eu → us"."""
    old = next((each.value for each in before if each.name == after.name), None)
    return f"variable {after.name}: {NOTHING if old is None else _text(old)} → {_text(after.value)}"


def _value(value: object) -> str:
    match value:
        case None | ():
            return NOTHING
        case tuple():
            return ", ".join(_value(each) for each in value)
        case Health():
            times = f"interval {value.interval:g} s, timeout {value.timeout:g} s, start period {value.start_period:g} s"
            watch = f"then every {value.watch:g} s, unhealthy after {value.failures}"
            return f"{' and '.join(map(_check, value.checks))}, {times}, {watch}"
        case Backoff():
            shortened = f", jitter {value.jitter:g}" if value.jitter else ""
            return f"{value.initial:g} s, times {value.factor:g}, at most {value.max:g} s{shortened}"
        case float():
            return f"{value:g} s"
        case StrEnum():
            return value.value
        case str():
            return _text(value)
        case _:
            return str(value)


def _check(check: Check) -> str:
    match check:
        case HttpCheck(path=path, port=port):
            return f"http {_text(path)} on port {port}"
        case TcpCheck(port=port):
            return f"tcp on port {port}"
        case CommandCheck(command=command):
            return f"command {_text(command)}"
        case _:
            assert_never(check)


def _text(text: str) -> str:
    """Return *text* in one line; an empty text, and one with other characters, in quotes."""
    return _cut(text if text and text.isprintable() else json.dumps(text, ensure_ascii=True), MAX_VALUE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
