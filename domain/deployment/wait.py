"""
Waits: what keeps an open deployment from going on.

A wait is recorded when its cause begins or changes, not each time that somebody looks.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class WaitReason(StrEnum):
    """The kind of thing that an open deployment waits for."""

    APPROVAL = "APPROVAL"
    DEPLOYMENT = "DEPLOYMENT"
    HOLD = "HOLD"
    MACHINE = "MACHINE"
    WORKER = "WORKER"


class WaitCause(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The thing that a deployment waits for.

    A DEPLOYMENT is the one with *number*, and *more* after it. A *machine* is the one whose workers are silent. The
    APPROVAL of the stage with the name *stage* lacks *missing* actors, and *needs_others* than its requester. It
    ends at *deadline*, if there is one. No wait is recorded for an APPROVAL or a HOLD, which have their own events.
    """

    reason: WaitReason
    machine: str | None = None
    number: int | None = None
    more: int = 0
    stage: str = ""
    missing: int = 0
    needs_others: bool = False
    deadline: datetime | None = None


class WaitStarted(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment waits because of *cause*, and no longer because of an earlier one."""

    cause: WaitCause


class WaitEnded(Struct, frozen=True, kw_only=True, gc=False):
    """The *cause* is gone before another worker took the deployment up, which ends a wait, too."""

    cause: WaitCause


class RecordWait(Struct, frozen=True, kw_only=True, gc=False):
    """Record that the deployment waits because of *cause*, or for no worker and no machine."""

    cause: WaitCause | None = None


def decide(current: WaitCause | None, found: WaitCause | None) -> list[WaitStarted | WaitEnded]:
    """Return the events that lead from the *current* cause to the one *found*.

    The end of a wait for another deployment is an event of the queue.
    """
    if found == current:
        return []
    if found is not None:
        return [WaitStarted(cause=found)]
    if current is None or current.reason is WaitReason.DEPLOYMENT:
        return []
    return [WaitEnded(cause=current)]
