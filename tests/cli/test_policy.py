"""The words of policies."""

import pytest

from cli.policy import FreezeJson, read_freeze


@pytest.mark.parametrize(
    ("duration", "shown"),
    [(61, "61s"), (1800, "30m"), (9000, "150m"), (216_000, "60h"), (172_800, "2d"), (90.5, "90.5s")],
)
def test_a_freeze_is_shown_as_it_can_be_given(duration: float, shown: str) -> None:
    freeze = FreezeJson(cron="0 18 * * FRI", duration_seconds=duration, time_zone="Europe/Berlin", action="HOLD")
    assert freeze.words == f"0 18 * * FRI; {shown}; Europe/Berlin; hold"
    assert read_freeze(freeze.words) == freeze
