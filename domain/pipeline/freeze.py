"""
Freezes: times in which no deployment of an environment starts.

A freeze begins whenever the clock of its time zone shows a time of its cron expression, and lasts for its duration.
Where the clock is set back, a time that comes twice counts the first time; one that is left out counts an hour later.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError
from msgspec import Struct

from domain.errors import InvalidPolicy

MAX_FREEZES = 10
"""Maximum number of freezes of an environment."""

MIN_DURATION, MAX_DURATION = 60.0, 31 * 86_400.0
"""Minimum and maximum duration of a freeze, in seconds."""

MAX_CRON = 100
"""Maximum length of a cron expression, in characters."""

MAX_CHAINED = 100
"""Maximum number of freezes, one after another, that are looked through for the end of all."""

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""A time after which each expression must have another one."""

CHANGE = timedelta(hours=3)
"""Maximum time by which a clock is set forward or back, with some room."""

FIELD = re.compile(r"(?![hr])[\da-z*,/#-]+", re.IGNORECASE)
"""A field of a cron expression; croniter draws lots for one with H or R."""


class OnFreeze(StrEnum):
    """The effect of a freeze on a request."""

    REFUSE = "REFUSE"
    HOLD = "HOLD"


class Freeze(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A freeze that begins at the times of *cron*, which has five fields, and lasts *duration* seconds."""

    cron: str
    duration: float
    time_zone: str = "UTC"
    action: OnFreeze = OnFreeze.REFUSE

    def covers(self, at: datetime) -> datetime | None:
        """Return the end of the freeze, if *at* is in it."""
        zone = ZoneInfo(self.time_zone)
        local = at.astimezone(zone).replace(tzinfo=None)
        starts = croniter(self.cron, local + CHANGE)
        while True:
            try:
                start: datetime = starts.get_prev(datetime)
            except CroniterError:  # there was none
                return None
            began = start.replace(tzinfo=zone).astimezone(UTC)
            if began <= at:
                end = began + timedelta(seconds=self.duration)
                return end if at < end else None


class Frozen(Struct, frozen=True, kw_only=True):
    """The state of an environment that is frozen *until* then, because of *freeze*."""

    freeze: Freeze
    until: datetime

    @property
    def words(self) -> str:
        """The end in the time zone of the freeze."""
        return f"{self.until.astimezone(ZoneInfo(self.freeze.time_zone)):%Y-%m-%d %H:%M} {self.freeze.time_zone}"


def frozen(freezes: Sequence[Freeze], at: datetime) -> Frozen | None:
    """Return how long an environment with *freezes* is frozen at that time, if it is; one that refuses goes first."""
    now = [(each, end) for each in freezes if (end := each.covers(at)) is not None]
    if not now:
        return None
    first = next((each for each, _ in now if each.action is OnFreeze.REFUSE), now[0][0])
    until = max(end for _, end in now)
    for _ in range(MAX_CHAINED):
        ends = [end for each in freezes if (end := each.covers(until)) is not None]
        if not ends:
            break
        until = max(ends)
    return Frozen(freeze=first, until=until)


def check(freezes: Sequence[Freeze]) -> None:
    """Raise `InvalidPolicy` unless each of *freezes* can be kept to."""
    if len(freezes) > MAX_FREEZES:
        raise InvalidPolicy(field="freezes", why=f"{len(freezes):,} freezes; at most {MAX_FREEZES} are allowed")
    for each in freezes:
        if why := _fault(each):
            raise InvalidPolicy(field="freezes", why=why)


def _fault(freeze: Freeze) -> str | None:
    if not MIN_DURATION <= freeze.duration <= MAX_DURATION:
        return f"a duration of {freeze.duration:g} is not between {MIN_DURATION:g} and {MAX_DURATION:,.0f} seconds"
    fields = freeze.cron.split(" ")
    if len(freeze.cron) > MAX_CRON or len(fields) != 5 or not all(map(FIELD.fullmatch, fields)):
        return f"{freeze.cron!r} is no cron expression of five fields, such as '0 18 * * FRI'"
    try:
        croniter(freeze.cron, FIRST).get_next(datetime)
    except (CroniterError, ValueError, KeyError) as error:
        return f"{freeze.cron!r} is no cron expression: {error}"
    try:
        ZoneInfo(freeze.time_zone)
    except (OSError, ValueError, KeyError):
        return f"there is no time zone {freeze.time_zone!r}; one is 'Europe/Berlin'"
    return None
