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
    FREEZE = "FREEZE"
    MACHINE = "MACHINE"
    TIME = "TIME"
    CHECK = "CHECK"
    WORKER = "WORKER"


QUEUED = WaitReason.DEPLOYMENT, WaitReason.FREEZE
"""Reasons of a deployment whose turn has not come."""


class WaitCause(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The thing that a deployment waits for.

    A DEPLOYMENT is the one with *number*, and *more* after it. A *machine* is the one whose workers are silent. A
    FREEZE ends at *deadline*.

    An APPROVAL, a TIME or a CHECK is in front of the stage with the name *stage*, and ends at *deadline*, if there is
    one. The approval lacks *missing* actors, and *needs_others* than the requester if so; the check asks *url*, and
    has not passed because of *answer*, since *answered_at*. No wait is recorded for these and for a HOLD: they have
    events of their own.
    """

    reason: WaitReason
    machine: str | None = None
    number: int | None = None
    more: int = 0
    stage: str = ""
    missing: int = 0
    url: str = ""
    needs_others: bool = False
    deadline: datetime | None = None
    answer: str = ""
    answered_at: datetime | None = None


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

    The end of a wait for another deployment, or for the end of a freeze, is an event of the queue.
    """
    if found == current:
        return []
    if found is not None:
        return [WaitStarted(cause=found)]
    if current is None or current.reason in QUEUED:
        return []
    return [WaitEnded(cause=current)]
