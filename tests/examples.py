"""How many examples Hypothesis tries, by the form of the suite (see conftest.py)."""

from hypothesis import HealthCheck, settings

FEWEST = 5
"""The first one is the smallest that there is, and says little."""

_common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
settings.register_profile("long", _common, max_examples=100, derandomize=False)
settings.register_profile("short", _common, max_examples=25, derandomize=True, database=None)


def load(*, is_long: bool) -> None:
    """Must be called before the tests are imported."""
    settings.load_profile("long" if is_long else "short")


def examples(count: int) -> int:
    """All *count* in the long form, a quarter of them in the short one."""
    return max(min(count, FEWEST), count * settings().max_examples // 100)
