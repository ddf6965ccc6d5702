"""The services that a deployment leaves unchanged, and the instances that it knows afterwards."""

from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import deployment
from domain.deployment import converge
from domain.deployment.instance import Instance, digest
from domain.deployment.plan import Plan, PlannedService
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.stage import StageStarted, StageSucceeded
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    Deployment,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentTakenUp,
    TakeUpDeployment,
)
from domain.deployment.step import (
    BuildStarted,
    FailStep,
    KeepStep,
    OldInstance,
    ServiceDeployed,
    ServiceDeployStarted,
    ServiceUnchanged,
    Status,
    SucceedStep,
    UsedImage,
)
from domain.errors import StepNotDue
from domain.pipeline.environment import Target
from domain.spec import ServiceSpec, ServiceType
from tests.domain.given import Given
from tests.domain.run import ENVIRONMENT, WORKER, build, deploy, plan, service, service_id, stage, stage_id
from tests.examples import examples

given = Given(deployment.decider)
API, WEB = service_id("api"), service_id("web")
SHIP = stage_id("Ship")
FIRST, SECOND = DeploymentId(UUID(int=11)), DeploymentId(UUID(int=12))
taken = DeploymentTakenUp(worker=WORKER)


def job(name: str, *, once: bool) -> PlannedService:
    return replace(service(name, built=False), type=ServiceType.JOB, spec=ServiceSpec(run="./migrate", once=once))


def planned(*services: PlannedService, revision: str | None = "abc", renew: bool = False) -> DeploymentPlanned:
    pinned = replace(plan(stage("Ship", *services)), revision=revision, renew=renew)
    return DeploymentPlanned(environment=ENVIRONMENT, number=2, action=Action.DEPLOY, plan=pinned)


def instance(service: PlannedService, revision: str | None = "abc") -> Instance:
    known = "" if revision is None else digest(service.spec)
    return Instance(service=service.id, deployment=FIRST, number=1, revision=revision, digest=known)


def started(planned: DeploymentPlanned, *instances: Instance) -> Deployment:
    started = DeploymentStarted(instances=instances)
    return given(planned, started, taken, StageStarted(stage=SHIP)).state


api = service("api")


def test_a_service_that_is_unchanged_and_healthy_is_left_as_it_is() -> None:
    history = planned(api), DeploymentStarted(instances=(instance(api),)), taken, StageStarted(stage=SHIP)
    assert converge.known_before(given(*history).state, build("api")) == instance(api)
    keep = AdvanceDeployment(worker=WORKER, outcomes=(KeepStep(worker=WORKER, step=build("api")),))
    state = (
        given(*history, BuildStarted(service=API, attempt=1))
        .when(keep)
        .then(ServiceUnchanged(service=API, number=1), StageSucceeded(stage=SHIP), DeploymentSucceeded())
    )
    run = state.stages[0].services[0]
    assert (run.status, run.build.status, run.deploy.status) == (Status.UNCHANGED,) * 3
    assert converge.instances(state, SECOND) == (instance(api),)


def test_a_service_without_a_build_is_left_as_it_is_at_its_deploy() -> None:
    bare = service("api", built=False)
    history = planned(bare), DeploymentStarted(instances=(instance(bare),)), taken, StageStarted(stage=SHIP)
    state = (
        given(*history, ServiceDeployStarted(service=API, attempt=1))
        .when(KeepStep(worker=WORKER, step=deploy("api")))
        .then(ServiceUnchanged(service=API, number=1), StageSucceeded(stage=SHIP), DeploymentSucceeded())
    )
    assert state.stages[0].services[0].build.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("wanted", "known"),
    [
        (planned(api, revision="def"), (instance(api),)),
        (planned(api, revision=None), (instance(api, revision=None),)),
        (planned(api, revision=None), (instance(api),)),
        (planned(api, renew=True), (instance(api),)),
        (planned(service("api", retries=1)), (instance(api),)),
        (planned(api), ()),
        (planned(api), (instance(service("web")),)),
    ],
    ids=["revision", "no revision", "no revision now", "redeploy", "specification", "nothing known", "another service"],
)
def test_a_service_is_renewed_unless_its_specification_and_revision_are_known(
    wanted: DeploymentPlanned, known: tuple[Instance, ...]
) -> None:
    state = started(wanted, *known)
    assert converge.known_before(state, build("api")) is None
    begun = given(
        wanted,
        DeploymentStarted(instances=known),
        taken,
        StageStarted(stage=SHIP),
        BuildStarted(service=API, attempt=1),
    )
    begun.when(KeepStep(worker=WORKER, step=build("api"))).refused(StepNotDue(phase="BUILD", service="api", attempt=1))


def test_only_the_first_step_of_a_service_can_find_it_unchanged() -> None:
    state = started(planned(api), instance(api))
    assert [converge.known_before(state, step) for step in (deploy("api"), build("api", 2))] == [None, None]


def test_a_job_runs_unless_it_runs_once_for_each_revision() -> None:
    once, always = job("web", once=True), job("api", once=False)
    take_up = TakeUpDeployment(worker=WORKER, instances=(instance(once), instance(always)))
    given(planned(once, always)).when(take_up).then(
        DeploymentStarted(instances=take_up.instances),
        taken,
        StageStarted(stage=SHIP),
        ServiceUnchanged(service=WEB, number=1),
    )
    given(planned(once, always, revision="def")).when(take_up).then(
        DeploymentStarted(instances=take_up.instances), taken, StageStarted(stage=SHIP)
    )
    given(planned(once, always, renew=True)).when(take_up).then(
        DeploymentStarted(instances=take_up.instances), taken, StageStarted(stage=SHIP)
    )


def test_an_unchanged_job_does_not_run_after_a_cancellation_either() -> None:
    state = started(planned(api, job("web", once=True)))
    state = deployment.decider.replay([DeploymentStarted(instances=(instance(job("web", once=True)),))], state)
    decided = deployment.decide(state, CancelDeployment())
    assert not any(isinstance(event, ServiceUnchanged) for event in decided)


def test_services_that_the_plan_lacks_are_forgotten_unless_it_is_an_earlier_plan() -> None:
    take_up = TakeUpDeployment(worker=WORKER, instances=(instance(api), instance(service("web"))))
    pinned = planned(api)
    given(pinned).when(take_up).then(DeploymentStarted(instances=(instance(api),)), taken, StageStarted(stage=SHIP))
    earlier = replace(pinned, plan=replace(pinned.plan, source=1))
    state = (
        given(earlier)
        .when(take_up)
        .then(DeploymentStarted(instances=take_up.instances), taken, StageStarted(stage=SHIP))
    )
    assert converge.instances(state, SECOND) == take_up.instances


def test_an_old_log_knows_no_instances() -> None:
    old = Plan(pipeline_version=1, target=planned(api).plan.target, stages=(stage("Ship", api),))
    state = given(replace(planned(api), plan=old), DeploymentStarted()).state
    assert converge.instances(state, FIRST) == ()


FATES = st.lists(st.sampled_from(["deployed", "unchanged", "failed", "restarted", "lost"]), min_size=1, max_size=6)


@settings(max_examples=examples(200))
@for_all(st.lists(st.tuples(st.sampled_from(["a", "b"]), FATES), min_size=1, max_size=6))
def test_the_known_instance_is_the_newest_that_was_healthy(story: list[tuple[str, list[str]]]) -> None:
    """Of one service over some deployments, each with so many attempts; a model of a line says what runs."""
    runs: tuple[int, str] | None = None
    has_run = False
    known: tuple[Instance, ...] = ()
    for number, (revision, fates) in enumerate(story, 1):
        own, before = DeploymentId(UUID(int=number)), runs
        bare = service("api", built=False, retries=5)
        pinned = replace(planned(bare, revision=revision), number=number)
        state = given(pinned).state
        state = deployment.advance(state, TakeUpDeployment(worker=WORKER, instances=known))[1]
        for attempt, fate in enumerate(fates, 1):
            state = deployment.advance(state, AdvanceDeployment(worker=WORKER, waited=(deploy("api", attempt),)))[1]
            step = deploy("api", attempt)
            may_keep = converge.known_before(state, step) is not None
            assert may_keep <= (runs is not None and runs[1] == revision)
            match fate:
                case "unchanged" if may_keep:
                    state = deployment.advance(state, KeepStep(worker=WORKER, step=step))[1]
                case "deployed" | "unchanged":
                    state = deployment.advance(state, SucceedStep(worker=WORKER, step=step))[1]
                    runs, has_run = (number, revision), True
                case _:
                    old = None if fate == "failed" else OldInstance(number=1, problem="no" if fate == "lost" else None)
                    runs = {"failed": runs, "lost": None, "restarted": before}[fate]
                    state = deployment.advance(state, FailStep(worker=WORKER, step=step, reason="no", old=old))[1]
            if state.status.is_final:
                break
        known = converge.instances(state, own)
        assert [(each.number, each.revision) for each in known if each.is_running] == ([] if runs is None else [runs])
        assert len(known) == has_run  # also one that is lost can be named


@pytest.mark.parametrize(
    ("renew", "spec", "is_known"),
    [(False, api.spec, True), (True, api.spec, False), (False, ServiceSpec(image="other"), False)],
)
def test_a_target_that_compares_images_needs_no_revision(renew: bool, spec: ServiceSpec, is_known: bool) -> None:
    known = replace(instance(api, revision=None), digest=digest(spec))
    wanted = on_docker(planned(api, revision=None, renew=renew))
    state = started(wanted, known)
    assert converge.known_before(state, build("api")) == (known if is_known else None)
    if is_known:
        begun = given(
            wanted,
            DeploymentStarted(instances=(known,)),
            taken,
            StageStarted(stage=SHIP),
            BuildStarted(service=API, attempt=1),
        )
        unchanged = ServiceUnchanged(service=API, number=1, is_by_image=True)
        keep = KeepStep(worker=WORKER, step=build("api"))
        begun.when(keep).then(unchanged, StageSucceeded(stage=SHIP), DeploymentSucceeded())


def test_a_job_without_a_revision_runs_on_every_target() -> None:
    once = job("api", once=True)
    known = replace(instance(once, revision=None), digest=digest(once.spec))
    assert converge.unchanged_jobs(started(on_docker(planned(once, revision=None)), known)) == []


def test_an_instance_on_a_target_that_compares_images_has_a_digest_without_a_revision() -> None:
    state = started(on_docker(planned(service("api", built=False), revision=None)))
    succeeded = SucceedStep(worker=WORKER, step=deploy("api"), image=UsedImage(digest="sha256:1"))
    begun = given(
        on_docker(planned(service("api", built=False), revision=None)),
        DeploymentStarted(),
        taken,
        StageStarted(stage=SHIP),
        ServiceDeployStarted(service=API, attempt=1),
    )
    after = begun.when(succeeded).then(
        ServiceDeployed(service=API, attempt=1, image=UsedImage(digest="sha256:1")),
        StageSucceeded(stage=SHIP),
        DeploymentSucceeded(),
    )
    (known,) = converge.instances(after, SECOND)
    assert known.digest == digest(state.stages[0].services[0].service.spec)


def on_docker(planned: DeploymentPlanned) -> DeploymentPlanned:
    return replace(planned, plan=replace(planned.plan, target=Target.DOCKER))
