"""Freezes of an environment."""

import strawberry

from domain.pipeline.freeze import Freeze as DomainFreeze
from domain.pipeline.freeze import OnFreeze
from gql.contract import enum

_CRON = "When it begins: a cron expression of five fields, such as `0 18 * * FRI`."
_DURATION = "How long it lasts."
_ZONE = "The time zone whose clock the expression means, such as Europe/Berlin."
_ACTION = "What happens to a request meanwhile."

enum.describe(
    OnFreeze,
    "What happens to a request during a freeze.",
    REFUSE="It is refused.",
    HOLD="It waits for the end of the freeze.",
)


@strawberry.type(description="A recurring time in which no deployment starts.")
class Freeze:
    cron: str = strawberry.field(description=_CRON)
    duration_seconds: float = strawberry.field(description=_DURATION)
    time_zone: str = strawberry.field(description=_ZONE)
    action: OnFreeze = strawberry.field(description=_ACTION)


@strawberry.input(description="A recurring time in which no deployment starts.")
class FreezeInput:
    cron: str = strawberry.field(description=_CRON)
    duration_seconds: float = strawberry.field(description=_DURATION)
    time_zone: str = strawberry.field(default="UTC", description=_ZONE)
    action: OnFreeze = strawberry.field(default=OnFreeze.REFUSE, description=_ACTION)


def from_domain(freeze: DomainFreeze) -> Freeze:
    return Freeze(cron=freeze.cron, duration_seconds=freeze.duration, time_zone=freeze.time_zone, action=freeze.action)


def to_domain(given: FreezeInput) -> DomainFreeze:
    return DomainFreeze(
        cron=given.cron, duration=given.duration_seconds, time_zone=given.time_zone, action=given.action
    )
