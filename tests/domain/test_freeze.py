"""Freezes: when they begin and end, in which time zone, and which ones are refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidPolicy
from domain.pipeline import freeze as freezes
from domain.pipeline.environment import EnvironmentPolicy, checked_policy
from domain.pipeline.freeze import Freeze, OnFreeze
from tests.examples import examples

WEEKEND = Freeze(cron="0 18 * * FRI", duration=60 * 3600, time_zone="Europe/Berlin")


FIVE = "is no cron expression of five fields, such as '0 18 * * FRI'"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-27 16:59:59", None),
        ("2026-11-27 17:00", "2026-11-30 05:00"),  # 18:00 in Berlin
        ("2026-11-30 04:59:59", "2026-11-30 05:00"),
        ("2026-11-30 05:00", None),
        ("2026-07-03 16:00", "2026-07-06 04:00"),  # in summer an hour earlier
    ],
)
def test_a_freeze_lasts_for_its_duration_from_the_time_of_its_zone(at: str, until: str | None) -> None:
    assert WEEKEND.covers(utc(at)) == (None if until is None else utc(until))


@pytest.mark.parametrize(
    ("cron", "at", "until"),
    [
        # On 2026-03-29 the clock in Berlin goes from 2:00 to 3:00, at 1:00 UTC.
        ("30 2 * * *", "2026-03-29 01:29", None),
        ("30 2 * * *", "2026-03-29 01:30", "2026-03-29 02:30"),  # left out: an hour later, at 3:30
        ("0 2 * * *", "2026-03-29 01:00", "2026-03-29 02:00"),
        # On 2026-10-25 it goes from 3:00 to 2:00, at 1:00 UTC; so 2:30 is at 0:30 UTC, and again at 1:30 UTC.
        ("30 2 * * *", "2026-10-25 00:29", None),
        ("30 2 * * *", "2026-10-25 00:30", "2026-10-25 01:30"),
        ("30 2 * * *", "2026-10-25 01:15", "2026-10-25 01:30"),  # the clock shows 2:15 for the second time
        ("30 2 * * *", "2026-10-25 01:30", None),
    ],
)
def test_a_freeze_where_the_clock_changes(cron: str, at: str, until: str | None) -> None:
    freeze = Freeze(cron=cron, duration=3600, time_zone="Europe/Berlin")
    assert freeze.covers(utc(at)) == (None if until is None else utc(until))


def test_an_environment_is_frozen_until_the_last_of_overlapping_freezes_ends() -> None:
    holds = Freeze(cron="0 10 * * *", duration=2 * 3600, action=OnFreeze.HOLD)
    refuses = Freeze(cron="0 11 * * *", duration=3 * 3600)
    both = freezes.frozen((holds, refuses), utc("2026-01-01 10:30"))
    assert both is not None
    assert (both.freeze, both.until) == (holds, utc("2026-01-01 14:00"))
    later = freezes.frozen((holds, refuses), utc("2026-01-01 11:30"))
    assert later is not None
    assert later.freeze is refuses, "one that refuses goes first"
    assert freezes.frozen((holds, refuses), utc("2026-01-01 14:00")) is None


def test_a_freeze_without_an_end_is_looked_through_for_a_while_only() -> None:
    always = Freeze(cron="* * * * *", duration=3600)
    found = freezes.frozen((always,), utc("2026-01-01 00:00"))
    assert found is not None
    assert found.until == utc("2026-01-01 00:00") + timedelta(hours=1 + freezes.MAX_CHAINED)


@settings(max_examples=examples(200))
@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001  # hypothesis takes naive ones
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(1, 72),
)
def test_a_time_is_frozen_if_a_start_is_not_longer_ago_than_the_duration(
    at: datetime, zone: str, minute: int, hour: int, hours: int
) -> None:
    now, freeze = at.replace(tzinfo=UTC), Freeze(cron=f"{minute} {hour} * * *", duration=hours * 3600, time_zone=zone)
    local = now.astimezone(ZoneInfo(zone))
    days = [local.replace(tzinfo=None) + timedelta(days=day) for day in range(-4, 2)]
    starts = [day.replace(hour=hour, minute=minute, second=0, microsecond=0) for day in days]
    began = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in starts]
    ends = [each + timedelta(hours=hours) for each in began if each <= now < each + timedelta(hours=hours)]
    assert freeze.covers(now) == max(ends, default=None)


@pytest.mark.parametrize(
    ("freeze", "why"),
    [
        (Freeze(cron="", duration=60), f"'' {FIVE}"),
        (
            Freeze(cron="* * * * * *", duration=60),
            "'* * * * * *' is no cron expression of five fields, such as '0 18 * * FRI'",
        ),
        (
            Freeze(cron="R * * * *", duration=60),
            "'R * * * *' is no cron expression of five fields, such as '0 18 * * FRI'",
        ),
        (Freeze(cron="@daily", duration=60), f"'@daily' {FIVE}"),
        (
            Freeze(cron="61 * * * *", duration=60),
            "'61 * * * *' is no cron expression: [61 * * * *] is not acceptable, out of range",
        ),
        (Freeze(cron="0 0 30 2 *", duration=60), "'0 0 30 2 *' is no cron expression: failed to find next date"),
        (Freeze(cron="0 0 * * *", duration=59), "a duration of 59 is not between 60 and 2,678,400 seconds"),
        (
            Freeze(cron="0 0 * * *", duration=60, time_zone="Mars/Olympus"),
            "there is no time zone 'Mars/Olympus'; one is 'Europe/Berlin'",
        ),
        (
            Freeze(cron="0 0 * * *", duration=60, time_zone="../../etc/passwd"),
            "there is no time zone '../../etc/passwd'; one is 'Europe/Berlin'",
        ),
    ],
)
def test_a_freeze_that_cannot_be_kept_to_is_refused(freeze: Freeze, why: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        checked_policy(EnvironmentPolicy(freezes=(freeze,)))
    assert refused.value == InvalidPolicy(field="freezes", why=why)


def test_so_many_freezes_are_allowed_at_most() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        checked_policy(EnvironmentPolicy(freezes=(WEEKEND,) * 11))
    assert refused.value == InvalidPolicy(field="freezes", why="11 freezes; at most 10 are allowed")
