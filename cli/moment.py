"""Times on the command line: in ISO 8601, or as a time span before now."""

import re
from datetime import UTC, datetime, timedelta

from cli.errors import Misused

SPAN = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta | None:
    """Return the time span *text*, such as 30m, 12h, 90d or 4w, or None if it is none."""
    found = SPAN.fullmatch(text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None


def time(option: str, text: str | None, *, others: str = "") -> str | None:
    """Return the time *text* in ISO 8601. Without a time zone it is local.

    Raise `Misused` if it is invalid; *others* are what the option takes besides times.
    """
    if text is None:
        return None
    if ago := span(text):
        return (datetime.now(UTC) - ago).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError) as error:
        raise Misused(
            f"Invalid {option} {text!r}: give {others}a time in ISO 8601, such as 2026-01-31T12:00Z, or a time span "
            "before now, such as 1h or 7d."
        ) from error
