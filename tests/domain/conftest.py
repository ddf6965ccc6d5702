"""How long and how often Hypothesis tries: by examples, never by the clock of a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("domain", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("domain")
