"""Deployments: the statuses of the domain, with times and reasons."""

from collections.abc import Iterable
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import deployment as deployments
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    Cancellation,
    CancellationRequested,
    Deployment,
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentTakenUp,
    DeploymentTimedOut,
    Failure,
    TimeoutReached,
)
from domain.deployment.step import (
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    Phase,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    Status,
    StepRetried,
)
from domain.spec import ServiceType
from projections import deployment
from projections.deployment import Deployments, DeploymentView, StageView
from projections.engine.views import ListPlace
from projections.sqlite.views import SqliteViews
from projections.step import AttemptView, ServiceView, StepView
from store.memory import MemoryLog
from tests.domain.run import ENVIRONMENT, WORKER, planned, service, service_id, stage, stage_id
from tests.examples import examples
from tests.projections.given import BY, STREAM, at, folded
from tests.projections.world import RandomWorld

API, WEB = service_id("api"), service_id("web")
BUILD, SHIP = stage_id("Build"), stage_id("Ship")

requested = planned(
    stage("Build", service("api"), service("old", skipped=True)), stage("Ship", service("web", built=False))
)
begun = (requested, DeploymentStarted(), DeploymentTakenUp(worker=WORKER), StageStarted(stage=BUILD))
built = (*begun, BuildStarted(service=API, attempt=1), BuildSucceeded(service=API, attempt=1))
deployed = (
    *built,
    ServiceDeployStarted(service=API, attempt=1),
    ServiceDeployed(service=API, attempt=1, ports=(8080, 9090)),
)

queued, skipped, cancelled = (StepView(status=each) for each in (Status.QUEUED, Status.SKIPPED, Status.CANCELLED))


def a_service(name: str, status: Status, build: StepView, deploy: StepView, ports: tuple[int, ...] = ()) -> ServiceView:
    return ServiceView(
        id=service_id(name),
        name=name,
        type=ServiceType.APPLICATION,
        status=status,
        ports=ports,
        build=build,
        deploy=deploy,
    )


OLD = a_service("old", Status.SKIPPED, skipped, skipped)


def after(*events: DeploymentEvent) -> DeploymentView:
    view = folded(deployment.projection, *events)
    assert view is not None
    return view


def api_after(*events: DeploymentEvent) -> ServiceView:
    return after(*events).stages[0].services[0]


def succeeded(started: int, finished: int) -> StepView:
    return StepView(status=Status.SUCCEEDED, started_at=at(started), finished_at=at(finished))


def test_a_deployment_waits_as_planned_and_names_its_actor() -> None:
    assert after(requested) == DeploymentView(
        id=DeploymentId(STREAM),
        environment=ENVIRONMENT,
        number=1,
        action=Action.DEPLOY,
        status=Status.QUEUED,
        actor="ada",
        reason="because",
        pipeline_version=5,
        requested_at=at(1),
        stages=(
            StageView(
                id=BUILD,
                position=1,
                name="Build",
                status=Status.QUEUED,
                services=(a_service("api", Status.QUEUED, queued, queued), OLD),
                plan=stage("Build"),
            ),
            StageView(
                id=SHIP,
                position=2,
                name="Ship",
                status=Status.QUEUED,
                services=(a_service("web", Status.QUEUED, skipped, queued),),
                plan=stage("Ship"),
            ),
        ),
        version=1,
        position=1,
    )


def test_a_deployment_starts_with_its_worker_and_its_first_stage() -> None:
    view, before = after(*begun), after(requested)
    assert view == replace(
        before,
        status=Status.RUNNING,
        started_at=at(2),
        worker=WORKER,
        stages=(replace(before.stages[0], status=Status.RUNNING, started_at=at(4)), before.stages[1]),
        version=4,
        position=4,
    )


def test_each_phase_of_a_service_has_its_times() -> None:
    running = StepView(status=Status.RUNNING, started_at=at(5))
    assert api_after(*built[:5]) == a_service("api", Status.RUNNING, running, queued)
    assert api_after(*built) == a_service("api", Status.RUNNING, succeeded(5, 6), queued)
    assert api_after(*deployed) == a_service("api", Status.SUCCEEDED, succeeded(5, 6), succeeded(7, 8), (8080, 9090))


def test_a_deployment_that_succeeded_has_its_end_and_those_of_its_stages() -> None:
    view = after(
        *deployed,
        StageSucceeded(stage=BUILD),
        StageStarted(stage=SHIP),
        BuildSkipped(service=WEB),
        ServiceDeployStarted(service=WEB, attempt=1),
        ServiceDeployed(service=WEB, attempt=1),
        StageSucceeded(stage=SHIP),
        DeploymentSucceeded(),
    )
    assert (view.status, view.started_at, view.finished_at) == (Status.SUCCEEDED, at(2), at(15))
    assert [(each.status, each.started_at, each.finished_at) for each in view.stages] == [
        (Status.SUCCEEDED, at(4), at(9)),
        (Status.SUCCEEDED, at(10), at(14)),
    ]
    assert view.stages[1].services == (a_service("web", Status.SUCCEEDED, skipped, succeeded(12, 13)),)


def test_a_stage_that_was_skipped_has_no_times() -> None:
    view = after(requested, DeploymentStarted(), StageSkipped(stage=BUILD))
    assert view.stages[0] == replace(after(requested).stages[0], status=Status.SKIPPED)


def test_the_reason_of_a_failed_attempt_stays_until_the_outcome_of_the_next() -> None:
    failed_once = StepRetried(service=API, phase=Phase.BUILD, attempt=1, reason="exit code 1")
    retried = (*begun, BuildStarted(service=API, attempt=1), failed_once)
    first = (AttemptView(attempt=1, started_at=at(5), finished_at=at(6), reason="exit code 1"),)
    waiting = StepView(status=Status.QUEUED, attempt=2, reason="exit code 1", retried=first)
    assert api_after(*retried).build == waiting
    again = (*retried, BuildStarted(service=API, attempt=2))
    running = replace(waiting, status=Status.RUNNING, started_at=at(7))
    assert api_after(*again).build == running
    ended = replace(running, finished_at=at(8))
    good = api_after(*again, BuildSucceeded(service=API, attempt=2))
    assert good.build == replace(ended, status=Status.SUCCEEDED, reason=None)
    bad = api_after(*again, BuildFailed(service=API, attempt=2, reason="exit code 2"))
    assert bad.build == replace(ended, status=Status.FAILED, reason="exit code 2")
    stopped = api_after(*again, CancellationRequested(forced=True), ServiceCancelled(service=API))
    assert stopped.build == replace(ended, status=Status.CANCELLED, finished_at=at(9))


def test_a_retried_deploy_leaves_the_build_alone() -> None:
    retried = (*built, ServiceDeployStarted(service=API, attempt=1))
    view = api_after(*retried, StepRetried(service=API, phase=Phase.DEPLOY, attempt=1, reason="not healthy"))
    first = (AttemptView(attempt=1, started_at=at(7), finished_at=at(8), reason="not healthy"),)
    waiting = StepView(status=Status.QUEUED, attempt=2, reason="not healthy", retried=first)
    assert view == a_service("api", Status.RUNNING, succeeded(5, 6), waiting)


def test_a_failed_build_cancels_its_deploy_and_keeps_its_reason() -> None:
    view = api_after(*built[:5], BuildFailed(service=API, attempt=1, reason="exit code 1"))
    failed = StepView(status=Status.FAILED, started_at=at(5), finished_at=at(6), reason="exit code 1")
    assert view == a_service("api", Status.FAILED, failed, cancelled)


def test_a_failed_deployment_says_which_step_failed_and_why() -> None:
    failure = Failure(stage=BUILD, service=API, phase=Phase.DEPLOY, reason="not healthy")
    view = after(
        *built,
        ServiceDeployStarted(service=API, attempt=1),
        ServiceDeployFailed(service=API, attempt=1, reason="not healthy"),
        ServiceCancelled(service=WEB),
        StageFailed(stage=BUILD),
        DeploymentFailed(stage=BUILD, service=API, phase=Phase.DEPLOY, reason="not healthy"),
    )
    failed = StepView(status=Status.FAILED, started_at=at(7), finished_at=at(8), reason="not healthy")
    assert (view.status, view.failure, view.finished_at) == (Status.FAILED, failure, at(11))
    assert view.stages[0].services == (a_service("api", Status.FAILED, succeeded(5, 6), failed), OLD)
    assert (view.stages[0].status, view.stages[0].finished_at) == (Status.FAILED, at(10))
    assert view.stages[1] == StageView(
        id=SHIP,
        position=2,
        name="Ship",
        status=Status.CANCELLED,
        services=(a_service("web", Status.CANCELLED, skipped, cancelled),),
        plan=stage("Ship"),
    )


@pytest.mark.parametrize(("forced", "kind"), [(False, Cancellation.SAFE), (True, Cancellation.FORCED)])
def test_a_deployment_that_is_cancelled_while_it_waits_ends_without_having_begun(
    forced: bool, kind: Cancellation
) -> None:
    view = after(requested, CancellationRequested(forced=forced), *cancels(), DeploymentCancelled())
    assert (view.status, view.cancellation) == (Status.CANCELLED, kind)
    assert (view.started_at, view.finished_at) == (None, at(5))
    assert {(each.status, each.started_at, each.finished_at) for each in view.stages} == {
        (Status.CANCELLED, None, None)
    }


def test_a_deployment_that_is_superseded_is_cancelled_and_names_the_later_one() -> None:
    view = after(requested, DeploymentSuperseded(number=7), *cancels(), DeploymentCancelled())
    assert (view.status, view.superseded_by, view.cancelled_by) == (Status.CANCELLED, 7, BY.actor)


def test_a_deployment_that_times_out_has_failed_and_was_not_cancelled() -> None:
    limited = replace(requested, plan=replace(requested.plan, timeout=90.0))

    view = after(
        limited,
        DeploymentStarted(),
        DeploymentTakenUp(worker=WORKER),
        StageStarted(stage=BUILD),
        TimeoutReached(seconds=90.0),
        *cancels(),
        DeploymentTimedOut(seconds=90.0),
    )
    assert (view.status, view.timeout, view.has_timed_out) == (Status.FAILED, 90.0, True)
    assert (view.cancellation, view.failure) == (None, None)
    assert {each.status for each in view.stages} == {Status.CANCELLED}


def cancels() -> Iterable[ServiceCancelled]:
    return [ServiceCancelled(service=each) for each in (API, WEB)]


def test_the_newest_of_an_environment_sorts_last() -> None:
    views = [replace(after(requested), number=number) for number in (2, 10, 9)]
    places = [deployment.projection.place(view) for view in views]
    assert sorted(place.sort for place in places if place) == ["0000000002", "0000000009", "0000000010"]
    assert deployment.projection.place(views[0]) == ListPlace(str(ENVIRONMENT), "0000000002")


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=st.lists(st.sampled_from(range(len(RandomWorld.ACTS))), min_size=20, max_size=60), seed=st.integers(0, 2**32)
)
async def test_a_view_never_disagrees_with_the_domain(story: list[int], seed: int) -> None:
    log = MemoryLog()
    world, shown = RandomWorld(log, seed), Deployments(await SqliteViews.open(":memory:"), log)
    await world.begin()
    for number in story:
        await world.act(number)
    for id_ in world.deployments:
        state = Deployment()
        for recorded in await log.read(id_):
            state = deployments.evolve(state, cast("DeploymentEvent", recorded.event))
            view = await shown.read(id_, recorded.version)
            assert view is not None
            assert meant(state) == said(view)
            assert (recorded.version, recorded.position) == (view.version, view.position)
            assert (view.finished_at is not None) == view.status.is_final


def meant(state: Deployment) -> object:
    services = [
        (run.service.id, run.service.name, run.status, run.build.status, run.build.attempt, run.deploy.status)
        for stage in state.stages
        for run in stage.services
    ]
    stages = [(run.stage.id, run.stage.name, run.status) for run in state.stages]
    return state.status, state.worker, state.failure, state.cancellation, stages, services


def said(view: DeploymentView) -> object:
    services = [
        (each.id, each.name, each.status, each.build.status, each.build.attempt, each.deploy.status)
        for stage in view.stages
        for each in stage.services
    ]
    stages = [(each.id, each.name, each.status) for each in view.stages]
    return view.status, view.worker, view.failure, view.cancellation, stages, services


def test_the_domain_folds_each_event_into_the_stages_as_they_were_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every field of a planned stage, also one that is added later."""
    states: list[Deployment] = []

    def evolve(state: Deployment, event: DeploymentEvent) -> Deployment:
        states.append(state)
        return deployments.evolve(state, event)

    monkeypatch.setattr(deployment, "evolve", evolve)
    after(planned(stage("Build", service("api"), concurrency=3), stage("Ship")), DeploymentStarted())
    assert [run.stage for run in states[-1].stages] == [stage("Build", concurrency=3), stage("Ship")]


def test_a_row_of_an_earlier_version_can_be_read_until_it_is_rebuilt() -> None:
    view = after(*deployed)
    earlier = msgspec.json.decode(deployment.projection.encode(view))
    for each in earlier["stages"]:
        del each["plan"]
    stages = tuple(replace(each, plan=None) for each in view.stages)
    assert deployment.projection.decode(msgspec.json.encode(earlier)) == replace(view, stages=stages)
