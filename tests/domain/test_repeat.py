"""Plans of retries and rollbacks."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.deployment import repeat as repeats
from domain.deployment.plan import Plan, PlannedStage
from domain.deployment.state import CancelDeployment, Deployment
from domain.deployment.step import Status
from domain.errors import EnvironmentBusy, NothingToDeploy, NothingToRetry, RetryOutdated
from domain.pipeline.service import Service
from domain.pipeline.stage import Stage
from domain.pipeline.state import Pipeline
from tests.domain.run import Run, build, service, stage
from tests.domain.test_deployment_property import PlanDraw, Story, fates, planned, plans
from tests.examples import examples

ship = stage("Ship", service("api"), service("web"), service("old", skipped=True), concurrency=1)
later = stage("Later", service("orders"))


def pipeline(*stages: PlannedStage) -> Pipeline:
    """The pipeline that has the services of *stages*."""
    return Pipeline(
        stages=tuple(
            Stage(
                id=each.id,
                name=each.name,
                description="",
                services=tuple(Service(id=s.id, name=s.name, type=s.type, spec=s.spec) for s in each.services),
            )
            for each in stages
        )
    )


def failed() -> Deployment:
    """A deployment of `api`, which succeeded, `web`, which failed, and `orders`, which never began."""
    return Run(ship, later).take_up().carry_out(lambda step: step == build("web")).state


def marks(plan: Plan) -> dict[str, tuple[bool, bool]]:
    return {each.name: (each.is_done, each.is_skipped) for stage in plan.stages for each in stage.services}


def test_a_retry_leaves_out_what_succeeded_and_says_whose_plan_it_is() -> None:
    plan = repeats.retry(failed(), pipeline(ship, later), newest=1)
    assert marks(plan) == {
        "api": (True, False),
        "web": (False, False),
        "old": (False, True),
        "orders": (False, False),
    }
    assert plan.source == 1
    run = Run(*plan.stages).take_up().carry_out()
    assert [run.of(name) for name in ("api", "web", "orders")] == [
        Status.SKIPPED,
        Status.SUCCEEDED,
        Status.SUCCEEDED,
    ]


def test_a_rollback_deploys_all_that_the_plan_pinned_also_that_of_a_retry() -> None:
    retried = Run(*repeats.retry(failed(), pipeline(ship, later), newest=1).stages).take_up().carry_out().state
    plan = repeats.roll_back(replace(retried, number=2), pipeline(ship, later))
    assert marks(plan) == {name: (False, name == "old") for name in ("api", "web", "old", "orders")}
    assert plan.source == 2


def test_a_retry_has_the_revision_of_its_source_and_a_rollback_has_none() -> None:
    first = failed()
    assert first.plan is not None
    first = replace(first, plan=replace(first.plan, revision="abc", renew=True))
    retried = repeats.retry(first, pipeline(ship, later), newest=1)
    assert (retried.revision, retried.renew) == ("abc", True)
    assert repeats.roll_back(first, pipeline(ship, later)).revision is None


def test_services_that_were_removed_since_are_left_out() -> None:
    assert marks(repeats.retry(failed(), pipeline(ship), newest=1)).keys() == {"api", "web", "old"}
    with pytest.raises(NothingToDeploy):
        repeats.roll_back(failed(), Pipeline())


def test_a_deployment_that_runs_is_neither_retried_nor_rolled_back_to() -> None:
    running = Run(ship).take_up().state
    with pytest.raises(EnvironmentBusy):
        repeats.retry(running, pipeline(ship), newest=1)
    with pytest.raises(EnvironmentBusy):
        repeats.roll_back(running, pipeline(ship))


def test_only_the_newest_deployment_is_retried_and_only_if_something_is_left() -> None:
    with pytest.raises(RetryOutdated):
        repeats.retry(failed(), pipeline(ship, later), newest=2)
    done = Run(ship).take_up().carry_out().state
    with pytest.raises(NothingToRetry):
        repeats.retry(done, pipeline(ship), newest=1)


def test_a_deployment_that_was_cancelled_before_it_began_is_retried_as_a_whole() -> None:
    run = Run(ship, later)
    run.tell(CancelDeployment())
    assert [done for done, _ in marks(repeats.retry(run.state, pipeline(ship, later), newest=1)).values()] == [
        False
    ] * 4


@settings(max_examples=examples(300))
@given(st.booleans(), plans, st.lists(fates, min_size=1, max_size=4), st.randoms(use_true_random=True))
def test_retries_after_any_failure_lead_to_what_a_whole_success_would_have_led_to(
    barrier: bool, plan: PlanDraw, fates_: list[tuple[float, float, float]], random: Random
) -> None:
    stages = planned(plan)
    services = [each for stage in stages for each in stage.services]
    wanted = {each.id for each in services if not each.is_skipped}
    deployed: set[object] = set()
    last = [(0.0, 0.0, 0.0)]
    for fate in [*fates_, *last]:
        story = Story(stages, fate, random, barrier)
        story.live()
        assert not (story.witness.deployed & deployed), "no service is deployed twice"
        deployed |= story.witness.deployed
        try:
            stages = list(repeats.retry(story.run.state, pipeline(*stages), newest=1).stages)
        except NothingToRetry:
            break
    assert deployed == wanted
