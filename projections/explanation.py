"""
The explanation of a deployment: where its time went, and how that compares with the deployments before it.

A span is an attempt of a step that started. The critical path has the spans, one after another, that the end of the
deployment came from.
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TypeVar

from msgspec import Struct

from domain.deployment.effect import Effect
from domain.deployment.queue import FREEZABLE, Action
from domain.deployment.step import Phase, Status
from domain.pipeline.ref import ServiceId, StageId
from projections.deployment import DeploymentView, StageView
from projections.step import ServiceView, StepView

Key = TypeVar("Key", bound=Hashable)

NEVER = datetime.max.replace(tzinfo=UTC)
"""The end of an attempt that runs."""

COMPARED = 10
"""Number of successful deployments with which a deployment is compared: the last ones of its effect before it."""

SLOW_FACTOR = 1.5
"""Duration from which a step is slow, as a multiple of its usual duration."""

SLOW_SECONDS = 1.0
"""Duration by which a slow step exceeds its usual duration at least, in seconds."""

CLOSE = timedelta(milliseconds=50)
"""Time between the build and the deploy of a service that still counts as none."""


class Span(Struct, frozen=True, kw_only=True):
    """An attempt of a step that started; without an *end* it runs.

    *backoff* is the time between it and the attempt before it, in seconds.
    """

    service: ServiceId
    phase: Phase
    attempt: int
    status: Status
    start: datetime
    end: datetime | None
    reason: str | None
    backoff: float | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.end is None else (self.end - self.start).total_seconds()


class ExplainedStep(Struct, frozen=True, kw_only=True):
    """A step that started; *waited* is the time until then from its stage's start, or from the end of the build.

    Times are in seconds, and *usual* is the median of other deployments. *seconds* is the time from its first attempt's
    start to its end.
    """

    stage: StageId
    service: ServiceView
    phase: Phase
    status: Status
    spans: tuple[Span, ...]
    waited: float
    seconds: float | None
    usual: float | None

    @property
    def is_slow(self) -> bool:
        """Whether it took much longer than usual."""
        if self.seconds is None or self.usual is None:
            return False
        return self.seconds >= max(SLOW_FACTOR * self.usual, self.usual + SLOW_SECONDS)


class ExplainedStage(Struct, frozen=True, kw_only=True):
    """A stage that started; times are in seconds, and *usual* is the median of other deployments."""

    stage: StageView
    seconds: float | None
    usual: float | None


class Explanation(Struct, frozen=True, kw_only=True):
    """The explanation of a deployment, which waited *waited* seconds and is compared with *compared* others."""

    waited: float | None
    usual: float | None
    compared: int
    stages: tuple[ExplainedStage, ...]
    steps: tuple[ExplainedStep, ...]
    path: tuple[Span, ...]


def actions(effect: Effect) -> frozenset[Action]:
    """Return the actions of the deployments with which one of that *effect* is compared.

    Retries have the effect of the deployment that they retry. They are compared with only if they may deploy, because
    they would displace the few deployments of another effect from a list.
    """
    return frozenset(FREEZABLE if effect is Effect.DEPLOY else (Action(effect),))


def explain(view: DeploymentView, before: Sequence[DeploymentView] = ()) -> Explanation:
    """Return the explanation of a deployment, compared with the successful ones of its effect *before* it."""
    usual_stages = _usual(
        (stage.id.int, _seconds(stage.started_at, stage.finished_at)) for each in before for stage in each.stages
    )
    usual_steps = _usual(
        ((service.id.int, phase), _seconds(step.first_start, step.finished_at))
        for each in before
        for stage in each.stages
        for service in stage.services
        for phase, step in _steps(service)
        if step.status is Status.SUCCEEDED
    )
    steps = tuple(
        _explained(stage, service, phase, step, usual_steps.get((service.id.int, phase)))
        for stage in view.stages
        for service in stage.services
        for phase, step in _steps(service)
        if step.first_start is not None and step.status is not Status.SKIPPED
    )
    return Explanation(
        waited=_seconds(view.requested_at, view.started_at),
        usual=_usual((0, _seconds(each.started_at, each.finished_at)) for each in before).get(0),
        compared=len(before),
        stages=tuple(
            ExplainedStage(
                stage=stage,
                seconds=_seconds(stage.started_at, stage.finished_at),
                usual=usual_stages.get(stage.id.int),
            )
            for stage in view.stages
            if stage.started_at is not None
        ),
        steps=steps,
        path=critical_path([span for step in steps for span in step.spans]),
    )


def critical_path(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans that the last end came from, first to last: before each one, the one that ended last.

    A second attempt follows the first one of its service, and a deploy its own build if no other span ended much later.
    """
    ordered = sorted(spans, key=lambda span: (span.end or NEVER, NEVER - span.start))
    ends = [span.end or NEVER for span in ordered]
    places: dict[int, list[int]] = {}
    for place, span in enumerate(ordered):
        places.setdefault(span.service.int, []).append(place)
    path: list[Span] = []
    place = len(ordered) - 1
    while place >= 0:
        current = ordered[place]
        path.append(current)
        before = bisect_right(ends, current.start, 0, place) - 1
        own = next((each for each in reversed(places[current.service.int]) if each <= before), None)
        is_next = own is not None and (current.attempt > 1 or ends[before] - ends[own] <= CLOSE)
        place = own if own is not None and is_next else before
    return tuple(reversed(path))


def _explained(
    stage: StageView, service: ServiceView, phase: Phase, step: StepView, usual: float | None
) -> ExplainedStep:
    start = step.first_start
    assert start is not None, "the step started"
    ready = service.build.finished_at if phase is Phase.DEPLOY else None
    return ExplainedStep(
        stage=stage.id,
        service=service,
        phase=phase,
        status=step.status,
        spans=_spans(service, phase, step),
        waited=_seconds(ready or stage.started_at or start, start) or 0.0,
        seconds=_seconds(start, step.finished_at),
        usual=usual,
    )


def _spans(service: ServiceView, phase: Phase, step: StepView) -> tuple[Span, ...]:
    """Return the attempts of a step that started, with the time between each two."""
    retried = [(each.attempt, Status.FAILED, each.started_at, each.finished_at, each.reason) for each in step.retried]
    attempts = [*retried, (step.attempt, step.status, step.started_at, step.finished_at, step.reason)]
    found: list[Span] = []
    for attempt, status, start, end, reason in attempts:
        if start is None:
            continue
        previous = found[-1].end if found else None
        found.append(
            Span(
                service=service.id,
                phase=phase,
                attempt=attempt,
                status=status,
                start=start,
                end=end,
                reason=reason if status is Status.FAILED else None,
                backoff=_seconds(previous, start),
            )
        )
    return tuple(found)


def _steps(service: ServiceView) -> tuple[tuple[Phase, StepView], tuple[Phase, StepView]]:
    return (Phase.BUILD, service.build), (service.phase, service.deploy)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _usual(found: Iterable[tuple[Key, float | None]]) -> Mapping[Key, float]:
    """Return the median of the known durations of each key, in seconds."""
    durations: dict[Key, list[float]] = {}
    for key, seconds in found:
        if seconds is not None:
            durations.setdefault(key, []).append(seconds)
    return {key: median(each) for key, each in durations.items()}
