"""Instances after their deployment: how an instance is, and whether it is started again when it has ended."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

from msgspec import Struct

from domain.spec import Restart, ServiceSpec

InstanceId = NewType("InstanceId", UUID)


class InstanceStatus(StrEnum):
    """The status of an instance that a deployment brought.

    RESTARTING lasts from an end until the instance is healthy again. EXITED and GIVEN_UP are final: nothing starts it.
    """

    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    RESTARTING = "RESTARTING"
    EXITED = "EXITED"
    GIVEN_UP = "GIVEN_UP"


class InstanceExit(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The end of an instance; without *code* and *signal* it was killed together with its shim, or the machine stopped.

    *signal* is a name such as SIGKILL.
    """

    at: datetime
    code: int | None = None
    signal: str | None = None


def after_exit(spec: ServiceSpec, is_failure: bool, recent: Sequence[float], now: float) -> InstanceStatus:
    """Return the status of an instance that has ended *now*; *recent* are the times of its restarts."""
    if spec.restart is Restart.NO or (spec.restart is Restart.ON_FAILURE and not is_failure):
        return InstanceStatus.EXITED
    if len(counted(spec, recent, now)) >= spec.restart_limit:
        return InstanceStatus.GIVEN_UP
    return InstanceStatus.RESTARTING


def counted(spec: ServiceSpec, recent: Sequence[float], now: float) -> tuple[float, ...]:
    """Return the restarts that count towards the limit: those within the window before *now*.

    Times are in seconds of the monotonic clock. A later one than *now* is from before a restart of the machine.
    """
    return tuple(moment for moment in recent if now - spec.restart_window < moment <= now)
