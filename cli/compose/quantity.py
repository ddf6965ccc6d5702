"""Durations, sizes and other quantities as Compose writes them. Each function raises `ValueError` with the reason."""

import math
import re

DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|us|µs|ns|m|s))+")
PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

MIN_SECONDS = 0.01
"""Minimum of a time in a specification, in seconds; see `domain.spec`."""

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
BYTES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
MEBIBYTE = 1024**2


def seconds(text: str) -> float:
    """Return a duration such as 1m30s, in seconds."""
    if text == "0":
        return 0.0
    if not DURATION.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration such as 1m30s")
    return sum(float(amount) * SECONDS[unit] for amount, unit in PART.findall(text))


def mebibytes(text: str) -> int:
    """Return a size such as 256m or 1gb, in MiB, rounded up."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a size such as 256m")
    return math.ceil(float(found[1]) * BYTES[found[2].lower()] / MEBIBYTE)


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is not a number")
    return value


def whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)
