"""Plans of retries and rollbacks."""

from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.deployment import converge
from domain.deployment import repeat as repeats
from domain.deployment.effect import Effect
from domain.deployment.instance import Instance, digest
from domain.deployment.plan import Endpoint, Plan, PlannedService, PlannedStage
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import CancelDeployment, Deployment, DeploymentFailed
from domain.deployment.step import FailStep, KeepStep, OldInstance, Status, SucceedStep, UsedImage
from domain.errors import EnvironmentBusy, InvalidArgument, NothingToDeploy, NothingToRetry, RetryOutdated
from domain.pipeline.environment import Target
from domain.pipeline.gate import Approval, StageCheck
from domain.pipeline.service import Service
from domain.pipeline.stage import OnFailure, Stage, StagePolicy
from domain.pipeline.state import Pipeline
from domain.role import Role
from domain.spec import ServiceSpec, ServiceType, Variable
from tests.domain.run import WORKER, Run, build, deploy, service, service_id, stage
from tests.domain.test_deployment_property import PlanDraw, Story, fates, planned, plans
from tests.examples import examples

ship = stage("Ship", service("api"), service("web"), service("old", skipped=True), concurrency=1)
later = stage("Later", service("orders"))


def job(name: str) -> PlannedService:
    return replace(service(name), type=ServiceType.JOB)


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


def tagged(name: str) -> PlannedService:
    return replace(service(name, built=False), spec=ServiceSpec(image=f"{name}:1"))


def test_a_rollback_has_the_images_that_ran_and_not_their_tags() -> None:
    unbuilt = replace(service("site"), spec=ServiceSpec(context="site"))
    shipped = stage(
        "Ship", tagged("api"), tagged("web"), replace(tagged("done"), is_done=True), tagged("late"), unbuilt
    )
    same = {"revision": "abc", "digest": digest(tagged("web").spec)}
    known = tuple(
        [replace(each, image=f"{each.service}@sha256:old", **same) for each in instances("web", "done", "late")]
    )
    run = (
        Run(shipped, revision="abc")
        .take_up(instances=known)
        .start(deploy("api"), deploy("web"), deploy("late"), build("site"))
    )
    run.tell(SucceedStep(worker=WORKER, step=deploy("api"), image=UsedImage(digest="api@sha256:new")))
    run.tell(KeepStep(worker=WORKER, step=deploy("web")))
    run.succeed(build("site"))
    run.start(deploy("site"))
    run.tell(SucceedStep(worker=WORKER, step=deploy("site"), image=UsedImage(digest="sha256:built")))
    run.fail(deploy("late"))
    plan = repeats.roll_back(run.state, pipeline(shipped))
    assert {each.name: each.spec.image for each in plan.services} == {
        "api": "api@sha256:new",
        "web": f"{service_id('web')}@sha256:old",
        "done": f"{service_id('done')}@sha256:old",
        "late": "late:1",
        "site": None,
    }
    (found,) = [each for each in converge.instances(run.state, FIRST) if each.service == service_id("api")]
    assert found.image == "api@sha256:new"


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


def test_a_deployment_on_a_former_target_is_neither_retried_nor_rolled_back_to() -> None:
    now = replace(pipeline(ship, later), target=Target.DOCKER)
    why = "deployment 1 ran on target PROCESS, and the environment has DOCKER now"
    with pytest.raises(InvalidArgument, match=why):
        repeats.retry(failed(), now, newest=1)
    with pytest.raises(InvalidArgument, match=why):
        repeats.roll_back(failed(), now)


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


# Rollbacks after a failure


def gated(at: Pipeline, **policies: StagePolicy) -> Pipeline:
    """The pipeline *at* with those policies of its stages, by their names."""
    return replace(at, stages=tuple(replace(each, policy=policies.get(each.name, each.policy)) for each in at.stages))


REPEATS = (lambda now: repeats.retry(failed(), now, newest=1), lambda now: repeats.roll_back(failed(), now))


@pytest.mark.parametrize("repeat", REPEATS, ids=("retry", "rollback"))
def test_an_earlier_plan_meets_the_gates_of_the_present_policy(repeat: Callable[[Pipeline], Plan]) -> None:
    check, approval = StageCheck(url="https://ready.example"), Approval(count=2)
    now = gated(pipeline(ship, later), Later=StagePolicy(approval=approval, wait=5.0, check=check))
    first, second = repeat(now).stages
    assert first.gates == ()
    assert (second.approval, second.wait, second.check) == (approval, 5.0, check)


@pytest.mark.parametrize("repeat", REPEATS, ids=("retry", "rollback"))
def test_an_earlier_plan_meets_the_gates_of_the_stages_that_its_services_moved_to(
    repeat: Callable[[Pipeline], Plan],
) -> None:
    checked = stage("Checked", *later.services)
    now = gated(pipeline(ship, checked), Checked=StagePolicy(approval=Approval()))
    assert repeat(now).stages[1].approval == Approval()
    beside = stage("Checked", service("new"))
    now = gated(pipeline(ship, later, beside), Checked=StagePolicy(approval=Approval()))
    assert repeat(now).stages[1].approval is None, "another service's stage"


def test_an_earlier_plan_keeps_the_gates_that_it_pinned() -> None:
    check = StageCheck(url="https://then.example")
    approval = Approval(count=3, self_approval=False)
    then = ran(later)
    assert then.plan is not None
    then = replace(then, plan=replace(then.plan, stages=(replace(later, approval=approval, wait=60.0, check=check),)))
    (free,) = repeats.roll_back(then, pipeline(later)).stages
    assert (free.approval, free.wait, free.check) == (approval, 60.0, check)
    newer = StageCheck(url="https://now.example")
    policy = StagePolicy(approval=Approval(role=Role.ADMIN), wait=5.0, check=newer)
    (both,) = repeats.roll_back(then, gated(pipeline(later), Later=policy)).stages
    assert both.approval == Approval(count=3, self_approval=False, role=Role.ADMIN)
    assert (both.wait, both.check) == (60.0, newer)


def test_a_retry_of_a_stop_still_waits_for_nobody() -> None:
    stopped = failed()
    assert stopped.plan is not None
    stopped = replace(stopped, plan=replace(stopped.plan, effect=Effect.STOP))
    now = gated(pipeline(ship, later), Later=StagePolicy(approval=Approval()))
    assert repeats.retry(stopped, now, newest=1).stages[1].gates == ()


FIRST = DeploymentId(UUID(int=1))
fragile = stage("Ship", service("api"), service("web"), job("migrate"), on_failure=OnFailure.ROLL_BACK)
before = replace(fragile, services=(service("api", retries=3), service("web"), job("migrate"), service("gone")))


def ran(*stages: PlannedStage, number: int = 4) -> Deployment:
    """An earlier deployment of *stages*."""
    return replace(Run(*stages).take_up().carry_out().state, number=number)


def instances(*names: str, id_: DeploymentId = FIRST, number: int = 4) -> tuple[Instance, ...]:
    return tuple(Instance(service=service_id(name), deployment=id_, number=number, ports=(80,)) for name in names)


def undone(failed: Deployment, *stages: PlannedStage) -> Plan:
    plan = repeats.undo(failed, pipeline(*stages), {FIRST: ran(before)})
    assert plan is not None
    return plan


def half_failed(stage: PlannedStage = fragile, action: Action = Action.DEPLOY, *known: str) -> Run:
    """A deployment that renews `api` and `migrate`, and fails to build `web`."""
    run = Run(replace(stage, concurrency=1), action=action)
    return run.take_up(instances=instances(*(known or ("api", "web", "migrate")))).carry_out(
        lambda step: step.service == service_id("web")
    )


def rolls_back(run: Run) -> bool:
    ended = run.events[-1]
    assert isinstance(ended, DeploymentFailed)
    return ended.rolls_back


def test_a_failure_is_rolled_back_if_the_policy_says_so_and_something_was_replaced() -> None:
    order = replace(fragile, services=(fragile.services[0], fragile.services[2], fragile.services[1]))
    assert rolls_back(half_failed(order))
    assert not rolls_back(half_failed(replace(order, on_failure=OnFailure.STOP)))
    assert not rolls_back(half_failed(replace(order, on_failure=OnFailure.CONTINUE)))
    assert not rolls_back(half_failed(order, Action.DEPLOY, "web", "migrate")), "api is new"
    assert not rolls_back(half_failed(order, Action.ROLLBACK)), "a rollback is not rolled back"


def test_a_deployment_that_somebody_cancelled_is_not_rolled_back() -> None:
    run = Run(fragile).take_up(instances=instances("api", "web")).start(build("api"), build("web"))
    run.succeed(build("api"))
    run.start(deploy("api"))
    run.fail(build("web"))
    run.tell(CancelDeployment())
    run.succeed(deploy("api"))
    assert not rolls_back(run)


def test_a_rollback_deploys_what_was_replaced_as_it_was_and_leaves_the_rest() -> None:
    order = replace(fragile, services=(fragile.services[0], fragile.services[2], fragile.services[1]))
    plan = undone(half_failed(order).state, fragile)
    assert (plan.undoes, plan.source, plan.revision) == (1, None, None)
    (stage,) = plan.stages
    api, web, migrate = stage.services
    assert (api.is_due, api.source, api.spec.retries) == (True, 4, 3)
    assert (web.is_due, web.source, web.endpoint) == (False, None, Endpoint(ports=(80,)))
    assert not migrate.is_due, "what a job did is not taken back by running an earlier one"
    run = Run(*plan.stages, action=Action.ROLLBACK).take_up().carry_out()
    assert (run.of("api"), run.of("web"), run.state.status) == (Status.SUCCEEDED, Status.SKIPPED, Status.SUCCEEDED)


def test_the_rollback_of_a_failure_has_the_image_that_was_replaced() -> None:
    image_before = replace(before, services=(tagged("api"), *before.services[1:]))
    run = Run(replace(fragile, concurrency=1))
    run.take_up(instances=tuple([replace(each, image="api@sha256:old") for each in instances("api", "web")]))
    run.carry_out(lambda step: step.service == service_id("web"))
    plan = repeats.undo(run.state, pipeline(fragile), {FIRST: ran(image_before)})
    assert plan is not None
    assert plan.services[0].spec.image == "api@sha256:old"


def test_the_rollback_of_a_failure_waits_for_nobody() -> None:
    approved = Run(replace(before, approval=Approval())).state
    plan = repeats.undo(half_failed(fragile).state, pipeline(fragile), {FIRST: approved})
    assert plan is not None
    assert plan.stages[0].gates == ()


def test_an_old_instance_that_was_lost_is_brought_back() -> None:
    run = Run(fragile).take_up(instances=instances("api", "web")).start(build("api"), build("web"))
    run.succeed(build("api"), build("web"))
    run.start(deploy("api"), deploy("web"))
    lost = OldInstance(number=4, problem="exit code 2")
    run.tell(FailStep(worker=WORKER, step=deploy("api"), reason="exit code 1", old=lost))
    run.fail(deploy("web"))
    assert [each.name for each in undone(run.state, fragile).stages[0].services if each.is_due] == ["api"]


def test_services_of_earlier_deployments_have_the_variables_of_then() -> None:
    second = DeploymentId(UUID(int=2))
    known = (*instances("api", number=3), *instances("web", id_=second, number=5))
    run = Run(fragile, replace(later, on_failure=OnFailure.ROLL_BACK)).take_up(instances=known)
    run.carry_out(lambda step: step.service == service_id("orders"))
    old, new = ran(before, number=3), ran(before, number=5)
    assert old.plan is not None
    then = (Variable(name="REGION", value="eu"),)
    old = replace(old, plan=replace(old.plan, variables=then))
    plan = repeats.undo(run.state, pipeline(fragile, later), {FIRST: old, second: new})
    assert plan is not None
    found = {each.name: each for stage in plan.stages for each in stage.services if each.is_due}
    assert {name: (each.source, each.spec.env) for name, each in found.items()} == {"api": (3, then), "web": (5, ())}


def test_nothing_is_rolled_back_if_all_of_it_was_removed_since() -> None:
    order = replace(fragile, services=(fragile.services[0], fragile.services[2], fragile.services[1]))
    assert repeats.undo(half_failed(order).state, Pipeline(), {FIRST: ran(before)}) is None


@settings(max_examples=examples(300))
@given(st.booleans(), plans, fates, st.sampled_from([0.0, 0.3]), st.randoms(use_true_random=True))
def test_after_a_rollback_everything_that_ran_before_runs(
    barrier: bool, plan: PlanDraw, fate: tuple[float, float, float], failure: float, random: Random
) -> None:
    stages = planned([(most, OnFailure.ROLL_BACK, always, gate, of) for most, _, always, gate, of in plan])
    story = Story(stages, fate, random, barrier)
    story.live()
    state, witness = story.run.state, story.witness
    known = {each.service: each for each in story.known}
    replaced = (witness.deployed - witness.unchanged | witness.lost) & known.keys()
    may_undo = state.status is Status.FAILED and not witness.is_cancelled
    assert state.rolls_back == bool(may_undo and replaced and (witness.halted - witness.rejected or witness.is_overdue))
    if not state.rolls_back:
        return
    undo = repeats.undo(state, pipeline(*stages), {FIRST: Run(*stages).state})
    assert undo is not None
    assert {each.id for stage in undo.stages for each in stage.services if each.is_due} == replaced
    again = Story(list(undo.stages), (failure, 0.0, 0.2), random, barrier, Action.ROLLBACK)
    again.known = converge.instances(state, DeploymentId(UUID(int=2)))
    again.live()
    assert not again.run.state.rolls_back, "it never loops"
    after = {each.service for each in converge.instances(again.run.state, DeploymentId(UUID(int=3)))}
    assert known.keys() - again.witness.failed <= after


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
