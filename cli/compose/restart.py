"""The restarts of a service in a Compose file. Each function returns fields of a specification."""

from collections.abc import Callable
from typing import Any

from cli.compose.node import Node
from cli.compose.quantity import MIN_SECONDS, seconds, whole

CONDITIONS = {
    "no": "NO",
    "false": "NO",
    "none": "NO",
    "on-failure": "ON_FAILURE",
    "always": "ALWAYS",
    "unless-stopped": "ALWAYS",
    "any": "ALWAYS",
}
"""The conditions of `restart` and of `deploy.restart_policy`, and those of a pipeline document."""


def plain(given: Node) -> dict[str, Any]:
    """Return the fields for `restart`, such as on-failure:3."""
    condition, _, count = given.text.partition(":")
    return _condition(given, condition) | ({"restartLimit": max(1, whole(count))} if count else {})


def policy(given: Node, note: Callable[[Node, str], None]) -> dict[str, Any]:
    """Return the fields for `deploy.restart_policy`."""
    found: dict[str, Any] = {}
    for name, each in given.fields.items():
        match name:
            case "condition":
                found |= _condition(each, each.text)
            case "max_attempts":
                found["restartLimit"] = max(1, whole(each.text))
            case "delay":
                found["restartBackoff"] = {"initialSeconds": max(MIN_SECONDS, seconds(each.text))}
            case "window":
                found["restartWindowSeconds"] = max(MIN_SECONDS, seconds(each.text))
            case _:
                note(each, f"deploy: {name} of restart_policy can't be expressed")
    return found


def _condition(given: Node, word: str) -> dict[str, Any]:
    if word not in CONDITIONS:
        raise given.error(f"restart: {word!r} is not one of no, on-failure, always and unless-stopped")
    return {"restart": CONDITIONS[word]}
