"""Tallies of the deployments and of the steps in a window of time. docs/insights.md defines each figure."""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime
from math import ceil
from statistics import median

import msgspec
from msgspec import Struct

from domain.deployment.queue import Action
from domain.deployment.step import Phase, Status
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from projections.outcome import Outcome, ServiceOutcome, StepOutcome


class Spread(Struct, frozen=True, kw_only=True):
    """The middle and the end of *count* durations, in seconds: *p95* is the lowest that 95 % of them don't exceed."""

    count: int = 0
    median: float | None = None
    p95: float | None = None


def spread(durations: Collection[float]) -> Spread:
    """Return the median and the 95th percentile, by the nearest rank, of *durations*."""
    if not durations:
        return Spread()
    ordered = sorted(durations)
    return Spread(count=len(ordered), median=median(ordered), p95=ordered[ceil(0.95 * len(ordered)) - 1])


class DayTally(Struct, kw_only=True):
    """The changes of a day in UTC: *delivered* ones, and those that *failed* or were rolled back."""

    delivered: int = 0
    failed: int = 0


class Delivery(Struct, frozen=True, kw_only=True):
    """The first delivery of a revision by an environment in a window."""

    environment: EnvironmentId
    revision: str
    outcome: Outcome


class Tally(Struct, kw_only=True):
    """What a window has: counts of deployments, and durations in seconds.

    *rolled_back* are deliveries that a rollback undid, *restores* the times to restore, and *unrestored* the
    environments that were broken at its end.
    """

    delivered: int = 0
    failed: int = 0
    rolled_back: int = 0
    rollbacks: int = 0
    cancelled: int = 0
    unchanged: int = 0
    unrestored: int = 0
    durations: list[float] = msgspec.field(default_factory=list)
    restores: list[float] = msgspec.field(default_factory=list)
    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    days: dict[date, DayTally] = msgspec.field(default_factory=lambda: defaultdict(DayTally))

    @property
    def changes(self) -> int:
        """The number of changes: the denominator of the failure rate."""
        return self.delivered + self.failed

    @property
    def failure_rate(self) -> float | None:
        return (self.failed + self.rolled_back) / self.changes if self.changes else None


class EnvironmentTally:
    """Adds the outcomes of one environment, oldest first, to a tally."""

    def __init__(self, tally: Tally, environment: EnvironmentId) -> None:
        self._tally = tally
        self._environment = environment
        self._last: Outcome | None = None  # the last change
        self._is_counted = False  # whether that change is a failure
        self._broken_at: datetime | None = None
        self._revisions: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        """Add the next outcome."""
        if outcome.status is Status.CANCELLED:
            self._tally.cancelled += 1
            return
        if outcome.action is Action.ROLLBACK:
            self._roll_back(outcome)
        elif outcome.is_unchanged:
            self._tally.unchanged += 1
        else:
            self._change(outcome)
        if outcome.status is Status.SUCCEEDED and self._broken_at is not None:
            self._tally.restores.append((outcome.ended_at - self._broken_at).total_seconds())
            self._broken_at = None

    def end(self) -> None:
        """End the window."""
        self._tally.unrestored += self._broken_at is not None

    def _change(self, outcome: Outcome) -> None:
        self._last, self._is_counted = outcome, False
        if outcome.status is Status.FAILED:
            self._tally.failed += 1
            self._fail(outcome)
            return
        self._tally.delivered += 1
        self._tally.days[outcome.ended_at.date()].delivered += 1
        if outcome.started_at is not None:
            self._tally.durations.append((outcome.ended_at - outcome.started_at).total_seconds())
        if outcome.revision is not None and outcome.revision not in self._revisions:
            self._revisions.add(outcome.revision)
            found = Delivery(environment=self._environment, revision=outcome.revision, outcome=outcome)
            self._tally.deliveries.append(found)

    def _roll_back(self, outcome: Outcome) -> None:
        """Count the change that *outcome* rolls back as a failure, unless it is one already."""
        self._tally.rollbacks += 1
        last = self._last
        if last is not None and not self._is_counted and last.number != outcome.source:
            self._tally.rolled_back += 1
            self._fail(last)

    def _fail(self, change: Outcome) -> None:
        self._is_counted = True
        self._tally.days[change.ended_at.date()].failed += 1
        self._broken_at = self._broken_at or change.ended_at


class StepTally(Struct, kw_only=True):
    """The runs of a step in a window; *durations* are those of the runs that succeeded, in seconds."""

    runs: int = 0
    failed: int = 0
    flaky: int = 0
    durations: list[float] = msgspec.field(default_factory=list)

    def add(self, step: StepOutcome) -> None:
        """Add a run."""
        self.runs += 1
        self.failed += step.has_failed
        self.flaky += step.is_flaky
        if not step.has_failed:
            self.durations.append(step.seconds)


class ServiceTally(Struct, kw_only=True):
    """The steps of a service in a window, with the newest name and type of the service."""

    id: ServiceId
    environment: EnvironmentId
    name: str
    type: ServiceType
    steps: dict[Phase, StepTally] = msgspec.field(default_factory=lambda: defaultdict(StepTally))

    @property
    def order(self) -> tuple[int, int, str, int]:
        """The place in the list: flaky ones first, then those that failed, then by name."""
        flaky, failed = (sum(getattr(each, name) for each in self.steps.values()) for name in ("flaky", "failed"))
        return -flaky, -failed, self.name.casefold(), self.id.int

    def add(self, run: ServiceOutcome) -> None:
        """Add a run."""
        self.name, self.type = run.name, run.type
        for phase, step in ((Phase.BUILD, run.build), (Phase.DEPLOY, run.deploy)):
            if step is not None:
                self.steps[phase].add(step)
