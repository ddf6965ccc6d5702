"""Explanations of deployments: where the time of each went, compared with the deployments before it."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from domain.deployment.effect import Effect
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.types.deployment import Deployment
from gql.types.ref import ServiceRef, StageRef, service_ref, stage_ref
from gql.types.step import Phase, Status
from projections import explanation as explanations
from projections.deployment import DeploymentQuery, DeploymentSummary, DeploymentView
from projections.engine.views import Page, Slice
from projections.explanation import COMPARED, SLOW_FACTOR, SLOW_SECONDS, Explanation, Span

COMPARISON = frozenset({"usualSeconds", "isSlow", "compared"})
"""The fields that need the deployments before."""

_USUAL = f"Median of the last {COMPARED} successful deployments before, in seconds; null if there is none."


@strawberry.type(description="An attempt of a step that started.")
class ExplainedAttempt:
    attempt: int = strawberry.field(description="Number of the attempt, from 1.")
    status: Status = strawberry.field(description="Status of the attempt; FAILED also if the step was retried.")
    started_at: datetime = strawberry.field(description="When the attempt started.")
    seconds: float | None = strawberry.field(description="Duration, in seconds; null before its end.")
    backoff_seconds: float | None = strawberry.field(
        description="Time from the end of the attempt before it to its start, in seconds; null for the first one."
    )
    failure_reason: str | None = strawberry.field(description="The reason why the attempt failed, if it did.")
    is_critical: bool = strawberry.field(description="Whether it is on the critical path.")


@strawberry.type(description="Where the time of a step went.")
class StepExplanation:
    stage: StageRef = strawberry.field(description="The stage of the service.")
    service: ServiceRef = strawberry.field(description="The service.")
    phase: Phase = strawberry.field(description="The step.")
    status: Status = strawberry.field(description="Status of the step.")
    wait_seconds: float = strawberry.field(
        description="Time from the start of the stage, or from the end of the service's build, to the first attempt, in"
        " seconds."
    )
    seconds: float | None = strawberry.field(
        description="Time from the start of the first attempt to the end of the last one, in seconds; null before that."
    )
    usual_seconds: float | None = strawberry.field(description=_USUAL)
    is_slow: bool = strawberry.field(
        description=f"Whether it took {SLOW_FACTOR:g} times as long as usual or longer, and {SLOW_SECONDS:g} s longer."
    )
    attempts: list[ExplainedAttempt] = strawberry.field(description="The attempts that started, oldest first.")


@strawberry.type(description="The duration of a stage.")
class StageExplanation:
    stage: StageRef = strawberry.field(description="The stage.")
    position: int = strawberry.field(description="Position in the plan, from 1.")
    seconds: float | None = strawberry.field(description="Duration, in seconds; null before its end.")
    usual_seconds: float | None = strawberry.field(description=_USUAL)


@strawberry.type(description="An attempt on the critical path.")
class CriticalAttempt:
    service: ServiceRef = strawberry.field(description="The service.")
    phase: Phase = strawberry.field(description="The step.")
    attempt: int = strawberry.field(description="Number of the attempt, from 1.")
    wait_seconds: float = strawberry.field(
        description="Time from the end of the attempt before it on the path, or from the start of the deployment, to"
        " its start, in seconds."
    )
    seconds: float | None = strawberry.field(description="Duration, in seconds; null before its end.")


@strawberry.type(description="Where the time of a deployment went.")
class DeploymentExplanation:
    wait_seconds: float | None = strawberry.field(
        description="Time from the request to the start, in seconds; null before that."
    )
    usual_seconds: float | None = strawberry.field(description=_USUAL)
    compared: int = strawberry.field(description="Number of deployments before with which it is compared.")
    stages: list[StageExplanation] = strawberry.field(description="The stages that started, in order.")
    steps: list[StepExplanation] = strawberry.field(description="The steps that started, in the order of the plan.")
    critical_path: list[CriticalAttempt] = strawberry.field(
        description="The attempts, one after another, that the end of the deployment came from: before each one, the"
        " one that ended last."
    )


@edge(Deployment, "Where the time of the deployment went.")
async def explanation(context: Context, found: list[Deployment], selected: Selected) -> list[DeploymentExplanation]:
    views = [each.view for each in found if isinstance(each.view, DeploymentView)]
    assert len(views) == len(found), "a list has its deployments' steps if this field is selected"
    context.reads(*(view.id for view in views))
    before: dict[int, Sequence[DeploymentView]] = {}
    if not COMPARISON.isdisjoint(selected):
        context.reads(WHOLE)
        before = await _before(context, views)
    return [_converted(view, explanations.explain(view, before.get(view.id.int, ())), selected) for view in views]


async def _before(context: Context, views: list[DeploymentView]) -> dict[int, Sequence[DeploymentView]]:
    """Return the last successful deployments of the same effect before each, by its id.

    One read for each effect has them for deployments that are near the newest one; others are read alone.
    """
    await context.settled()
    found: dict[int, Sequence[DeploymentView]] = {}
    for effect in {view.effect for view in views}:
        some = [view for view in views if view.effect is effect]
        environments = list({view.environment.int: view.environment for view in some}.values())
        until = max(view.requested_at for view in some)
        pages = await _succeeded(context, environments, effect, until, COMPARED + len(some))
        by_environment = dict(zip([each.int for each in environments], pages, strict=True))
        for view in some:
            page = by_environment[view.environment.int]
            chosen = _older(view, page)
            if len(chosen) < COMPARED and page.has_next:
                (page,) = await _succeeded(context, [view.environment], effect, view.requested_at, COMPARED + 1)
                chosen = _older(view, page)
            found[view.id.int] = chosen
    return found


async def _succeeded(
    context: Context, environments: Sequence[EnvironmentId], effect: Effect, until: datetime, first: int
) -> Sequence[Page[DeploymentSummary]]:
    """Return the *first* successful deployments of each environment that were requested by *until*, newest first."""
    query = DeploymentQuery(statuses=frozenset({Status.SUCCEEDED}), actions=explanations.actions(effect), until=until)
    return await context.application.deployments.list_narrowed(environments, Slice(first=first), query)


def _older(view: DeploymentView, page: Page[DeploymentSummary]) -> Sequence[DeploymentView]:
    """Return the deployments of *page* with which *view* is compared."""
    found = [edge.node for edge in page.edges]
    older = [each for each in found if isinstance(each, DeploymentView) and each.number < view.number]
    return [each for each in older if each.effect is view.effect][:COMPARED]


def _converted(view: DeploymentView, explained: Explanation, selected: Selected) -> DeploymentExplanation:
    """Return the explanation; it has steps only if these are *selected*, since there may be thousands."""
    stages = {stage.id: stage_ref(stage.id, stage.name) for stage in view.stages}
    services = {each.id: service_ref(each.id, each.name, each.type) for stage in view.stages for each in stage.services}
    critical = frozenset((span.service, span.phase, span.attempt) for span in explained.path)
    return DeploymentExplanation(
        wait_seconds=explained.waited,
        usual_seconds=explained.usual,
        compared=explained.compared,
        stages=[
            StageExplanation(
                stage=stages[each.stage.id],
                position=each.stage.position,
                seconds=each.seconds,
                usual_seconds=each.usual,
            )
            for each in explained.stages
        ],
        steps=[
            StepExplanation(
                stage=stages[each.stage],
                service=services[each.service.id],
                phase=each.phase,
                status=each.status,
                wait_seconds=each.waited,
                seconds=each.seconds,
                usual_seconds=each.usual,
                is_slow=each.is_slow,
                attempts=[_attempt(span, critical) for span in each.spans],
            )
            for each in (explained.steps if "steps" in selected else ())
        ],
        critical_path=[
            CriticalAttempt(
                service=services[span.service],
                phase=span.phase,
                attempt=span.attempt,
                wait_seconds=(span.start - ready).total_seconds(),
                seconds=span.seconds,
            )
            for span, ready in zip(explained.path, _ready(view, explained.path), strict=True)
        ],
    )


def _ready(view: DeploymentView, path: Sequence[Span]) -> list[datetime]:
    """Return for each span of the critical *path* when the one before it ended, or when the deployment started."""
    starts = [] if view.started_at is None else [view.started_at]
    return [*starts, *(span.end for span in path[:-1] if span.end is not None)][: len(path)]


def _attempt(span: Span, critical: frozenset[tuple[ServiceId, Phase, int]]) -> ExplainedAttempt:
    return ExplainedAttempt(
        attempt=span.attempt,
        status=span.status,
        started_at=span.start,
        seconds=span.seconds,
        backoff_seconds=span.backoff,
        failure_reason=span.reason,
        is_critical=(span.service, span.phase, span.attempt) in critical,
    )
