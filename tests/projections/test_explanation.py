"""Explanations of deployments: durations, waits, comparisons, and the critical path."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.deployment.effect import Effect
from domain.deployment.queue import Action
from domain.deployment.stage import StageStarted, StageSucceeded
from domain.deployment.state import DeploymentStarted, DeploymentSucceeded
from domain.deployment.step import (
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    Phase,
    ServiceDeployed,
    ServiceDeployStarted,
    ServiceStopped,
    ServiceStopStarted,
    Status,
    StepRetried,
)
from projections import deployment
from projections.deployment import DeploymentView
from projections.explanation import Span, critical_path, explain
from tests.domain.run import planned, service, service_id, stage, stage_id
from tests.projections.given import at, folded

API, DB, WEB = service_id("api"), service_id("db"), service_id("web")
DATA, SHIP = stage_id("Data"), stage_id("Ship")

EVENTS = (
    planned(stage("Data", service("db", built=False)), stage("Ship", service("api", retries=1), service("web"))),
    DeploymentStarted(),  # 2
    StageStarted(stage=DATA),
    BuildSkipped(service=DB),
    ServiceDeployStarted(service=DB, attempt=1),  # 5
    ServiceDeployed(service=DB, attempt=1),
    StageSucceeded(stage=DATA),
    StageStarted(stage=SHIP),  # 8
    BuildStarted(service=API, attempt=1),
    BuildStarted(service=WEB, attempt=1),  # 10
    StepRetried(service=API, phase=Phase.BUILD, attempt=1, reason="exit code 1"),
    BuildSucceeded(service=WEB, attempt=1),  # 12
    ServiceDeployStarted(service=WEB, attempt=1),
    BuildStarted(service=API, attempt=2),  # 14
    ServiceDeployed(service=WEB, attempt=1),
    BuildSucceeded(service=API, attempt=2),  # 16
    ServiceDeployStarted(service=API, attempt=1),
    ServiceDeployed(service=API, attempt=1),  # 18
    StageSucceeded(stage=SHIP),
    DeploymentSucceeded(),
)


def _view() -> DeploymentView:
    view = folded(deployment.projection, *EVENTS)
    assert view is not None
    return view


def test_the_time_of_each_stage_step_and_attempt_is_explained() -> None:
    found = explain(_view())
    assert (found.waited, found.usual, found.compared) == (1.0, None, 0)
    assert [(each.stage.name, each.seconds) for each in found.stages] == [("Data", 4.0), ("Ship", 11.0)]
    steps = {(each.service.name, each.phase): each for each in found.steps}
    assert steps.keys() == {
        ("db", Phase.DEPLOY),
        *((name, phase) for name in ("api", "web") for phase in (Phase.BUILD, Phase.DEPLOY)),
    }
    build = steps["api", Phase.BUILD]
    assert (build.waited, build.seconds, build.usual, build.is_slow) == (1.0, 7.0, None, False)
    assert [(each.attempt, each.status, each.seconds, each.backoff, each.reason) for each in build.spans] == [
        (1, Status.FAILED, 2.0, None, "exit code 1"),
        (2, Status.SUCCEEDED, 2.0, 3.0, None),
    ]
    assert steps["web", Phase.DEPLOY].waited == 1.0  # after its build


def test_the_stop_of_a_service_is_not_explained_as_its_deploy() -> None:
    running = planned(stage("Data", service("db")))
    view = folded(
        deployment.projection,
        replace(running, action=Action.STOP, plan=replace(running.plan, effect=Effect.STOP)),
        DeploymentStarted(),
        StageStarted(stage=DATA),
        ServiceStopStarted(service=DB, attempt=1),  # 4
        ServiceStopped(service=DB, attempt=1),
        StageSucceeded(stage=DATA),
        DeploymentSucceeded(),
    )
    assert view is not None
    assert (view.effect, _view().effect) == (Effect.STOP, Effect.DEPLOY)
    (step,) = explain(view, [_view()]).steps
    assert (step.phase, step.seconds, step.usual) == (Phase.STOP, 1.0, None)


def test_the_critical_path_follows_the_attempts_that_ended_last() -> None:
    path = [(each.service, each.phase, each.attempt) for each in explain(_view()).path]
    assert path == [
        (DB, Phase.DEPLOY, 1),
        (API, Phase.BUILD, 1),
        (API, Phase.BUILD, 2),
        (API, Phase.DEPLOY, 1),
    ]


def test_a_step_is_compared_with_the_median_of_the_successful_ones() -> None:
    view = _view()
    fast = [replace(view, stages=_with_build_of_api(view, seconds)) for seconds in (1, 2, 6)]
    found = explain(view, fast)
    (build,) = [each for each in found.steps if each.service.name == "api" and each.phase is Phase.BUILD]
    assert (build.usual, build.is_slow) == (2.0, True)
    assert (found.usual, found.compared) == (18.0, 3)
    assert [each.usual for each in found.stages] == [4.0, 11.0]
    slower = explain(view, [replace(view, stages=_with_build_of_api(view, 6))])
    assert not any(each.is_slow for each in slower.steps)  # 7 s after 6 s


def _with_build_of_api(view: DeploymentView, seconds: int) -> tuple[deployment.StageView, ...]:
    data, ship = view.stages
    api, web = ship.services
    build = replace(api.build, retried=(), attempt=1, started_at=at(9), finished_at=at(9 + seconds))
    return data, replace(ship, services=(replace(api, build=build), web))


def test_a_deployment_that_runs_has_no_durations_yet() -> None:
    view = folded(deployment.projection, *EVENTS[:9])
    assert view is not None
    found = explain(view)
    assert [each.seconds for each in found.stages] == [4.0, None]
    assert [(each.service.name, each.seconds) for each in found.steps] == [("db", 1.0), ("api", None)]
    assert [each.service for each in found.path] == [DB, API]
    waiting = folded(deployment.projection, EVENTS[0])
    assert waiting is not None
    assert (explain(waiting).waited, explain(waiting).path) == (None, ())


spans = st.builds(
    lambda service, start, length, attempt: Span(
        service=service_id(service),
        phase=Phase.BUILD,
        attempt=attempt,
        status=Status.SUCCEEDED,
        start=at(start),
        end=None if length is None else at(start) + timedelta(seconds=length),
        reason=None,
    ),
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.none() | st.integers(0, 5),
    st.integers(1, 2),
)


@given(st.lists(spans, max_size=12))
def test_the_critical_path_is_a_chain_that_leads_to_the_last_end(found: list[Span]) -> None:
    path = critical_path(found)
    assert bool(path) == bool(found)
    for one, next_ in pairwise(path):
        assert one.end is not None
        assert one.end <= next_.start
    if path and all(each.end for each in found):
        assert path[-1].end == max(each.end for each in found if each.end)
    elif path:
        assert path[-1].end is None
