"""The health check of a service in a Compose file."""

import shlex
from collections.abc import Callable
from typing import Any

from cli.compose.node import Node
from cli.compose.quantity import seconds, whole

INTERVAL, TIMEOUT, RETRIES = 30.0, 30.0, 3
"""Compose's defaults: seconds between two checks and of one check, and failures until a service is unhealthy."""

MAX_FAILURES = 100
"""Maximum of a failure threshold; see `domain.spec`."""

LONGEST = 24 * 3600.0
"""Maximum of every time, in seconds; see `domain.spec`."""


def health_check(given: Node, note: Callable[[Node, str], None]) -> dict[str, Any] | None:
    """Return the check of a pipeline document; None, and a note, if there is none that can be expressed.

    A service of Compose is unhealthy after so many failures beyond its start period; one of Stageline has failed if it
    is not healthy in time. That time is the start period, and the tries after it.
    """
    asked = given.get("disable")
    if asked is not None and asked.is_true:
        note(given, "healthcheck: that of the image can't be disabled; give it another one")
        return None
    command = _command(given, note)
    if command is None:
        return None
    interval, timeout = _time(given, "interval", INTERVAL), _time(given, "timeout", TIMEOUT)
    retries = given.get("retries")
    failures = RETRIES if retries is None else max(1, min(MAX_FAILURES, whole(retries.text)))
    starts = _time(given, "start_period", 0.0)
    for name in sorted(set(given.fields) - {"test", "interval", "timeout", "retries", "start_period", "disable"}):
        note(given.fields[name], f"healthcheck: {name} has no effect")
    return {
        "command": command,
        "intervalSeconds": interval,
        "timeoutSeconds": timeout,
        "startPeriodSeconds": min(LONGEST, starts + failures * interval + timeout),
        "watchIntervalSeconds": interval,
        "failureThreshold": failures,
    }


def _time(given: Node, name: str, default: float) -> float:
    found = given.get(name)
    return default if found is None else min(LONGEST, seconds(found.text)) or default


def _command(given: Node, note: Callable[[Node, str], None]) -> str | None:
    test = given.get("test")
    if test is None:
        note(given, "healthcheck: the times of the image's own check can't be changed")
        return None
    if isinstance(test.value, str):
        return test.text
    words = test.texts
    match words[:1]:
        case ["CMD-SHELL"]:
            return " ".join(words[1:])
        case ["CMD"]:
            return shlex.join(words[1:])
        case ["NONE"]:
            note(given, "healthcheck: that of the image can't be disabled; give it another one")
            return None
    raise test.error("healthcheck: test begins with CMD, CMD-SHELL or NONE")
