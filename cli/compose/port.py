"""Ports of a service in a Compose file."""

import re
from dataclasses import dataclass

from cli.compose.node import Node
from cli.compose.quantity import whole

SHORT = re.compile(
    r"(?:(?:(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?P<published>[0-9]*(?:-[0-9]+)?):)?"
    r"(?P<target>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-z]+))?"
)

MAX_RANGE = 100
"""Maximum number of ports of a range."""


@dataclass(frozen=True)
class Port:
    """A port of the container; *published* is that of the machine, if it is fixed."""

    target: int
    published: int | None = None
    address: str | None = None
    protocol: str = "tcp"


def read(given: Node) -> list[Port]:
    """Return the ports of an entry of `ports` or `expose`; raise `Misused`."""
    try:
        if isinstance(given.value, dict):
            texts = {name: each.text for name, each in given.fields.items()}
            return _ports(
                texts.get("target", ""), texts.get("published", ""), texts.get("host_ip"), texts.get("protocol", "tcp")
            )
        found = SHORT.fullmatch(given.text)
        if found is None:
            raise ValueError(f"{given.text[:40]!r} is not a port such as 127.0.0.1:8080:80")
        return _ports(found["target"], found["published"] or "", found["address"], found["protocol"] or "tcp")
    except ValueError as why:
        raise given.error(str(why)) from None


def _ports(target: str, published: str, address: str | None, protocol: str) -> list[Port]:
    targets, places = _range(target), _range(published) if published else []
    if places and len(places) != len(targets):
        if len(targets) > 1:
            raise ValueError(f"the ranges {published} and {target} have different lengths")
        places = []  # any free port of the range
    host = None if address is None else address.strip("[]")
    return [Port(each, places[index] if places else None, host, protocol) for index, each in enumerate(targets)]


def _range(text: str) -> list[int]:
    first, _, last = text.partition("-")
    low, high = whole(first), whole(last or first)
    if not 1 <= low <= high <= 65_535 or high - low >= MAX_RANGE:
        raise ValueError(f"{text!r} is not a port, or a range of at most {MAX_RANGE}")
    return list(range(low, high + 1))
