"""The effect of a deployment on the services of its plan."""

from enum import StrEnum


class Effect(StrEnum):
    """The effect of a plan. A retry has that of the deployment that it retries, and a rollback deploys."""

    DEPLOY = "DEPLOY"
    RESTART = "RESTART"
    START = "START"
    STOP = "STOP"
    DELETE = "DELETE"

    @property
    def is_end(self) -> bool:
        """Whether services end, in the reverse order of the stages."""
        return self in (Effect.STOP, Effect.DELETE)

    @property
    def is_start(self) -> bool:
        """Whether services are started as they ran last, without a build."""
        return self in (Effect.RESTART, Effect.START)
