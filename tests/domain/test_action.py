"""Actions on what runs: restart, start, stop and delete."""

from collections.abc import Mapping
from random import Random
from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import deployment, pipeline
from domain.container import Container, Volume
from domain.deployment import action as actions
from domain.deployment import converge
from domain.deployment import plan as plans
from domain.deployment import repeat as repeats
from domain.deployment.effect import Effect
from domain.deployment.instance import DeployedStatus, Instance, LastRun
from domain.deployment.plan import Plan
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.selection import WHOLE, Selection
from domain.deployment.stage import StageFailed, StageSkipped, StageStarted, StageSucceeded
from domain.deployment.state import (
    CancelDeployment,
    CancellationRequested,
    Deployment,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentTakenUp,
    TakeUpDeployment,
)
from domain.deployment.step import (
    AbortStep,
    FailStep,
    InstanceDeleted,
    KeepStep,
    OldInstance,
    Omission,
    Phase,
    ServiceCancelled,
    ServiceDeployStarted,
    ServiceOmitted,
    ServiceStopFailed,
    ServiceStopped,
    ServiceStopStarted,
    StartStep,
    Status,
    Step,
    StepCommand,
    SucceedStep,
)
from domain.deployment.value import Value
from domain.errors import InvalidArgument, NothingToDo, NothingToRetry, NothingToRollBackTo, StepNotDue, UnmetReference
from domain.pipeline.environment import Target, TargetChanged
from domain.pipeline.gate import Approval
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import ServiceConfigured, ServiceRenamed, ServiceSkipped
from domain.pipeline.stage import OnFailure, StagePolicy, StagePolicyChanged
from domain.pipeline.state import PipelineEvent
from domain.project import Project
from domain.spec import ServiceSpec, ServiceType, Variable
from tests.domain.example import API, BUILD, ORDERS, SHIP, WEB, added, build, created, ship
from tests.domain.given import Given
from tests.domain.run import ENVIRONMENT, WORKER
from tests.examples import examples

given = Given(deployment.decider)
FIRST, SECOND, THIRD = (DeploymentId(UUID(int=number)) for number in (101, 102, 103))
taken = DeploymentTakenUp(worker=WORKER)
SHOP = Project(name="Shop", variables=(Variable(name="LEVEL", value="info"),))
DATABASE = ServiceSpec(run="./db", build=("make",), ports=(0,))
READING = ServiceSpec(
    run="./api ${{ deployment.number }} ${{ variables.LEVEL }}",
    env=(Variable(name="DB", value="${{ services['DB'].port }}"),),
    allow_failure=True,
)
HISTORY = (
    created,
    build,
    ship,
    *added(WEB, "DB", BUILD, DATABASE, ServiceType.DATABASE),
    *added(ORDERS, "migrate", BUILD, ServiceSpec(run="./m"), ServiceType.JOB),
    *added(API, "api", SHIP, READING),
)


def instance(service: ServiceId, status: DeployedStatus = DeployedStatus.RUNNING, **more: object) -> Instance:
    stopped = {"stopped_by": SECOND, "stopped_number": 2} if status is DeployedStatus.STOPPED else {}
    known = Instance(service=service, deployment=FIRST, number=1, ports=(9000,), status=status)
    return replace(known, **stopped, **more)


def planned(
    effect: Effect,
    *events: PipelineEvent,
    selection: Selection = WHOLE,
    instances: tuple[Instance, ...] | None = None,
    last_runs: Mapping[int, LastRun] = {},
    with_volumes: bool = False,
) -> Plan:
    state = pipeline.decider.replay((*HISTORY, *events))
    known = None if instances is None else {each.service.int: each for each in instances}
    return actions.plan(state, 9, SHOP, effect, selection, known, last_runs, with_volumes=with_volumes)


def pinned(plan: Plan, number: int = 3) -> DeploymentPlanned:
    return DeploymentPlanned(environment=ENVIRONMENT, number=number, action=Action(plan.effect), plan=plan)


def step(phase: Phase, service: ServiceId = API, attempt: int = 1) -> Step:
    return Step(service=service, phase=phase, attempt=attempt)


def deployed(number: int = 1) -> Deployment:
    """The deployment of the whole environment, after its end."""
    state = pipeline.decider.replay(HISTORY)
    plan = plans.make(state, 8, SHOP)
    run = given(DeploymentPlanned(environment=ENVIRONMENT, number=number, action=Action.DEPLOY, plan=plan)).state
    return carried_out(run, ports=(7000,))


def carried_out(
    state: Deployment, *instances: Instance, ports: tuple[int, ...] = (8000,), last: tuple[LastRun, ...] = ()
) -> Deployment:
    state = deployment.advance(state, TakeUpDeployment(worker=WORKER, instances=instances, last_runs=last))[1]
    while due := state.due():
        for each in due:
            state = deployment.advance(state, StartStep(worker=WORKER, step=each))[1]
        for each in due:
            state = deployment.advance(state, SucceedStep(worker=WORKER, step=each, ports=ports))[1]
    return state


RUNNING = instance(API), instance(WEB), instance(ORDERS)


def test_only_a_stop_and_a_delete_wait_for_nobody() -> None:
    gated = StagePolicyChanged(stage=SHIP, policy=StagePolicy(approval=Approval(), wait=30.0))
    for effect in (Effect.RESTART, Effect.STOP, Effect.DELETE):
        ship = next(each for each in planned(effect, gated, instances=RUNNING).stages if each.id == SHIP)
        assert bool(ship.gates) is effect.is_start


def test_services_are_stopped_in_the_reverse_order_of_the_stages_and_jobs_are_left_out() -> None:
    plan = planned(Effect.STOP, instances=RUNNING)
    assert [[each.name for each in stage.services] for stage in plan.stages] == [["api"], ["migrate", "DB"]]
    history = pinned(plan), DeploymentStarted(instances=RUNNING), taken, StageStarted(stage=SHIP)
    state = (
        given(*history, ServiceStopStarted(service=API, attempt=1))
        .when(SucceedStep(worker=WORKER, step=step(Phase.STOP)))
        .then(
            ServiceStopped(service=API, attempt=1),
            StageSucceeded(stage=SHIP),
            StageStarted(stage=BUILD),
            ServiceOmitted(service=ORDERS, cause=Omission.JOB),
        )
    )
    over = carried_out(state)
    assert over.status is Status.SUCCEEDED
    stopped = {each.service: each for each in converge.instances(over, THIRD)}
    assert stopped[ORDERS] == RUNNING[2]
    for id_ in (API, WEB):
        now = stopped[id_]
        assert (now.status, now.stopped_by, now.stopped_number, now.ports) == (DeployedStatus.STOPPED, THIRD, 3, ())
        assert (now.deployment, now.number) == (FIRST, 1)


def keeping(service: ServiceId, was: ServiceSpec, *volumes: str) -> ServiceConfigured:
    mounted = tuple([Volume(name=name, path=f"/{name}") for name in volumes])
    return ServiceConfigured(service=service, spec=replace(was, container=Container(volumes=mounted)))


ON_DOCKER = TargetChanged(target=Target.DOCKER)
DATA = keeping(WEB, DATABASE, "data", "backup")


def test_volumes_are_deleted_with_their_service_only_when_that_is_requested() -> None:
    for with_volumes, expected in ((True, ("backup", "data")), (False, ())):
        plan = planned(Effect.DELETE, ON_DOCKER, DATA, instances=RUNNING, with_volumes=with_volumes)
        assert {each.name: each.volumes for each in plan.services} == {"api": (), "migrate": (), "DB": expected}


def test_volumes_are_deleted_also_when_nothing_runs_of_their_service() -> None:
    plan = planned(Effect.DELETE, ON_DOCKER, DATA, instances=(), with_volumes=True)
    over = carried_out(given(pinned(plan)).state)
    assert {run.service.name: run.status for stage in over.stages for run in stage.services} == {
        "api": Status.SKIPPED,
        "migrate": Status.SKIPPED,
        "DB": Status.SUCCEEDED,
    }
    with pytest.raises(NothingToDo):
        planned(Effect.DELETE, ON_DOCKER, DATA, instances=())


def test_a_volume_is_not_deleted_while_it_is_one_of_a_service_that_is_not_chosen() -> None:
    database, both = Selection(services=("DB",)), (ON_DOCKER, DATA, keeping(API, READING, "data"))
    why = "volume 'data' of 'DB' is one of 'api', too: choose that service as well"
    with pytest.raises(InvalidArgument, match=why):
        planned(Effect.DELETE, *both, selection=database, instances=RUNNING, with_volumes=True)
    plan = planned(Effect.DELETE, *both, selection=Selection(services=("DB", "api")), with_volumes=True)
    assert [each.volumes for each in plan.services] == [("data",), ("backup", "data")]


def test_a_process_has_no_volumes_to_delete() -> None:
    with pytest.raises(InvalidArgument, match="an environment of target PROCESS has no volumes"):
        planned(Effect.DELETE, instances=RUNNING, with_volumes=True)


def test_a_deleted_instance_is_forgotten_also_that_of_a_job() -> None:
    plan = planned(Effect.DELETE, instances=RUNNING)
    stopped = instance(API, DeployedStatus.STOPPED)
    over = carried_out(given(pinned(plan)).state, stopped, *RUNNING[1:])
    assert (over.status, converge.instances(over, THIRD)) == (Status.SUCCEEDED, ())
    history = pinned(plan), DeploymentStarted(instances=RUNNING), taken, StageStarted(stage=SHIP)
    begun = given(*history, ServiceStopStarted(service=API, attempt=1))
    succeeded = deployment.decide(begun.state, SucceedStep(worker=WORKER, step=step(Phase.STOP)))
    assert succeeded[0] == InstanceDeleted(service=API, attempt=1)


def test_a_service_that_can_not_be_stopped_fails_the_deployment_even_if_its_deploy_may_fail() -> None:
    plan = planned(Effect.STOP, instances=RUNNING)
    history = pinned(plan), DeploymentStarted(instances=RUNNING), taken, StageStarted(stage=SHIP)
    state = (
        given(*history, ServiceStopStarted(service=API, attempt=1))
        .when(FailStep(worker=WORKER, step=step(Phase.STOP), reason="it still runs"))
        .then(
            ServiceStopFailed(service=API, attempt=1, reason="it still runs"),
            ServiceCancelled(service=ORDERS),
            ServiceCancelled(service=WEB),
            StageFailed(stage=SHIP),
            DeploymentFailed(stage=SHIP, service=API, phase=Phase.STOP, reason="it still runs"),
        )
    )
    assert set(converge.instances(state, THIRD)) == set(RUNNING)


def test_a_cancelled_stop_leaves_running_what_was_not_stopped() -> None:
    plan = planned(Effect.STOP, instances=RUNNING)
    history = pinned(plan), DeploymentStarted(instances=RUNNING), taken, StageStarted(stage=SHIP)
    begun = *history, ServiceStopStarted(service=API, attempt=1), CancellationRequested(forced=True)
    cancelled = ServiceCancelled(service=ORDERS), ServiceCancelled(service=WEB)
    state = (
        given(*begun, *cancelled)
        .when(SucceedStep(worker=WORKER, step=step(Phase.STOP)))
        .then(ServiceStopped(service=API, attempt=1), StageSucceeded(stage=SHIP), DeploymentCancelled())
    )
    assert {each.service: each.is_running for each in converge.instances(state, THIRD)} == {
        API: False,
        WEB: True,
        ORDERS: True,
    }
    aborted = deployment.decide(given(*begun, *cancelled).state, AbortStep(worker=WORKER, step=step(Phase.STOP)))
    assert aborted[0] == ServiceCancelled(service=API)


@pytest.mark.parametrize(
    ("effect", "status", "omission"),
    [
        (Effect.STOP, None, Omission.NOT_RUNNING),
        (Effect.STOP, DeployedStatus.STOPPED, Omission.STOPPED),
        (Effect.STOP, DeployedStatus.LOST, None),
        (Effect.RESTART, None, Omission.NEVER_RAN),
        (Effect.RESTART, DeployedStatus.STOPPED, Omission.STOPPED),
        (Effect.RESTART, DeployedStatus.LOST, None),
        (Effect.RESTART, DeployedStatus.RUNNING, None),
        (Effect.START, None, Omission.NEVER_RAN),
        (Effect.START, DeployedStatus.STOPPED, None),
        (Effect.START, DeployedStatus.RUNNING, None),
        (Effect.DELETE, None, Omission.NOT_RUNNING),
        (Effect.DELETE, DeployedStatus.STOPPED, None),
    ],
)
def test_a_service_is_left_out_if_there_is_nothing_to_do(
    effect: Effect, status: DeployedStatus | None, omission: Omission | None
) -> None:
    known = () if status is None else (instance(API, status),)
    plan = planned(effect, selection=Selection(services=("api",)))
    state = given(pinned(plan)).state
    events, after = deployment.advance(state, TakeUpDeployment(worker=WORKER, instances=known))
    number = 2 if omission is Omission.STOPPED else None
    left = ServiceOmitted(service=API, cause=omission, number=number) if omission else None
    assert [event for event in events if isinstance(event, ServiceOmitted)] == ([left] if left else [])
    assert (after.status is Status.SUCCEEDED) == (omission is not None)
    assert converge.instances(after, THIRD) == known
    if omission is None:
        return
    with pytest.raises(NothingToDo) as caught:
        planned(effect, selection=Selection(services=("api",)), instances=known)
    since = "" if number is None else ", since deployment 2"
    advice = f"; {actions.REMEDIES[omission]}" if effect.is_start and omission in actions.REMEDIES else ""
    assert str(caught.value) == (
        f"There is nothing to {effect.lower()}: 'api': {actions.WORDS[omission]}{since}{advice}."
    )


def test_a_refusal_names_ten_services_and_counts_the_others() -> None:
    with pytest.raises(NothingToDo, match=r"There is nothing to stop: no services are chosen\."):
        actions.plan(pipeline.decider.replay(HISTORY[:3]), 3, SHOP, Effect.STOP, WHOLE, {}, {})
    many = [added(ServiceId(UUID(int=500 + number)), f"s{number}", BUILD) for number in range(12)]
    with pytest.raises(NothingToDo, match="; 5 more"):
        planned(Effect.STOP, *(event for pair in many for event in pair), instances=())


def test_a_service_that_runs_is_not_started_a_second_time() -> None:
    plan = planned(Effect.START, selection=Selection(services=("api",)))
    begun = taken, StageSkipped(stage=BUILD), StageStarted(stage=SHIP)
    history = pinned(plan), DeploymentStarted(instances=(instance(API),)), *begun
    state = given(*history).state
    assert converge.known_before(state, step(Phase.DEPLOY)) == instance(API)
    after = (
        given(*history, ServiceDeployStarted(service=API, attempt=1))
        .when(KeepStep(worker=WORKER, step=step(Phase.DEPLOY)))
        .then(
            ServiceOmitted(service=API, cause=Omission.RUNNING, number=1),
            StageSucceeded(stage=SHIP),
            DeploymentSucceeded(),
        )
    )
    assert converge.instances(after, THIRD) == (instance(API),)
    stopped = DeploymentStarted(instances=(instance(API, DeployedStatus.STOPPED),))
    restarted = given(
        pinned(plan), stopped, taken, StageStarted(stage=SHIP), ServiceDeployStarted(service=API, attempt=1)
    )
    refused = StepNotDue(phase="DEPLOY", service="api", attempt=1)
    restarted.when(KeepStep(worker=WORKER, step=step(Phase.DEPLOY))).refused(refused)


def last_runs(source: Deployment, *instances: Instance) -> tuple[LastRun, ...]:
    found = [actions.last_run(source, each) for each in instances]
    return tuple([each for each in found if each is not None])


def test_a_restarted_service_has_the_specification_and_the_values_of_its_last_run_and_new_addresses() -> None:
    first = deployed()
    known = converge.instances(first, FIRST)
    running = [each for each in known if each.service != ORDERS]
    last = last_runs(first, *running)
    edited = pipeline.decider.replay(HISTORY)
    plan = actions.plan(edited, 9, replace(SHOP, variables=()), Effect.RESTART, WHOLE, None, {})
    over = carried_out(given(pinned(plan, 2)).state, *known, last=last)
    assert over.status is Status.SUCCEEDED
    run = over.run_of(API)
    assert run is not None
    spec = over.filled(step(Phase.DEPLOY))
    assert spec.run == "./api 1 info"
    assert spec.env == (Variable(name="DB", value="8000"), Variable(name="LEVEL", value="info"))
    assert run.build.status is Status.SKIPPED
    again = {each.service: each for each in converge.instances(over, SECOND)}[API]
    assert (again.deployment, again.built, again.ports) == (SECOND, FIRST, (8000,))
    third = carried_out(
        given(pinned(plan, 3)).state, *converge.instances(over, SECOND), last=last_runs(over, again), ports=(6000,)
    )
    assert third.filled(step(Phase.DEPLOY)) == replace(spec, env=(Variable(name="DB", value="6000"), spec.env[1]))
    assert {each.service: each.built for each in converge.instances(third, THIRD)}[API] == FIRST


def test_a_restarted_service_finds_one_that_was_renamed_since_and_that_the_plan_lacks() -> None:
    first = deployed()
    known = converge.instances(first, FIRST)
    api = [each for each in known if each.service == API]
    selection = Selection(services=("api",))
    plan = planned(Effect.RESTART, ServiceRenamed(service=WEB, name="Store"), selection=selection)
    plan = replace(plan, stages=plan.stages[1:])
    over = carried_out(given(pinned(plan, 2)).state, *known, last=last_runs(first, *api))
    assert over.filled(step(Phase.DEPLOY)).env[0] == Variable(name="DB", value="7000")


def test_a_restarted_service_keeps_its_revision_so_that_the_next_deployment_leaves_it_unchanged() -> None:
    first = deployed()
    assert first.plan is not None
    first = replace(first, plan=replace(first.plan, revision="abc"))
    known = converge.instances(first, FIRST)
    plan = planned(Effect.RESTART, selection=Selection(services=("DB",)))
    before = {each.service: each for each in known}[WEB]
    over = carried_out(given(pinned(plan, 2)).state, *known, last=last_runs(first, before))
    now = {each.service: each for each in converge.instances(over, SECOND)}[WEB]
    assert (now.revision, now.digest, now.number) == ("abc", before.digest, 2)
    assert now.digest


def test_a_stopped_service_is_started_by_the_next_deployment() -> None:
    first = deployed()
    assert first.plan is not None
    known = {
        each.service: each for each in converge.instances(replace(first, plan=replace(first.plan, revision="a")), FIRST)
    }
    again = replace(first.plan, revision="a")
    ship_stage = StageStarted(stage=BUILD)
    for status, unchanged in ((DeployedStatus.RUNNING, True), (DeployedStatus.STOPPED, False)):
        start = DeploymentStarted(instances=(replace(known[WEB], status=status),))
        state = given(
            DeploymentPlanned(environment=ENVIRONMENT, number=4, action=Action.DEPLOY, plan=again),
            start,
            taken,
            ship_stage,
        ).state
        assert (converge.known_before(state, step(Phase.BUILD, WEB)) is not None) == unchanged


def test_the_plan_of_a_restart_has_the_specifications_of_the_last_runs_and_leaves_out_skipped_services() -> None:
    old = LastRun(service=API, spec=ServiceSpec(run="./old"))
    plan = planned(Effect.RESTART, ServiceSkipped(service=WEB), instances=RUNNING, last_runs={API.int: old})
    assert {each.name: (each.spec.run, each.is_due) for each in plan.services} == {
        "DB": ("./db", False),
        "migrate": ("./m", True),
        "api": ("./old", True),
    }
    assert [each.name for each in planned(Effect.STOP, ServiceSkipped(service=WEB)).services if each.is_due] == [
        "api",
        "migrate",
        "DB",
    ]


def test_a_service_is_not_started_without_one_that_it_needs() -> None:
    first = deployed()
    known = {each.service: each for each in converge.instances(first, FIRST)}
    stopped = {id_: replace(known[id_], status=DeployedStatus.STOPPED) for id_ in (API, WEB)}
    runs = {each.service.int: each for each in last_runs(first, *stopped.values())}
    with pytest.raises(UnmetReference) as caught:
        planned(Effect.START, selection=Selection(services=("api",)), instances=tuple(stopped.values()), last_runs=runs)
    assert str(caught.value) == (
        "Service 'api' refers to services['DB'].port in env DB, but 'DB' does not run: start or deploy 'DB', too."
    )
    for chosen, instances in (
        (Selection(services=("api", "DB")), stopped),
        (Selection(services=("api",)), {**stopped, WEB: known[WEB]}),
    ):
        planned(Effect.START, selection=chosen, instances=tuple(instances.values()), last_runs=runs)


def test_a_retry_does_the_rest_of_what_its_source_did_and_nobody_rolls_back_to_a_stop() -> None:
    plan = planned(Effect.STOP, instances=RUNNING)
    history = pinned(plan), DeploymentStarted(instances=RUNNING), taken, StageStarted(stage=SHIP)
    failing = given(*history, ServiceStopStarted(service=API, attempt=1))
    failed = deployment.advance(failing.state, FailStep(worker=WORKER, step=step(Phase.STOP), reason="no"))[1]
    standing = pipeline.decider.replay(HISTORY)
    again = repeats.retry(failed, standing, newest=3)
    assert (again.effect, again.source) == (Effect.STOP, 3)
    over = carried_out(given(pinned(again, 4)).state, *RUNNING)
    assert {each.service: each.is_running for each in converge.instances(over, THIRD)} == {
        API: False,
        WEB: False,
        ORDERS: True,
    }
    with pytest.raises(NothingToRetry):
        repeats.retry(over, standing, newest=4)
    with pytest.raises(NothingToRollBackTo):
        repeats.roll_back(over, standing)


def test_the_values_of_a_last_run_are_those_that_are_no_addresses() -> None:
    first = deployed()
    api = {each.service: each for each in converge.instances(first, FIRST)}[API]
    last = actions.last_run(first, api)
    assert last is not None
    assert set(last.values) == {
        Value(reference="deployment.number", value="1"),
        Value(reference="variables.LEVEL", value="info"),
    }
    assert [(need.key, need.service) for need in last.needs] == [("db", WEB)]
    assert actions.last_run(first, instance(ServiceId(UUID(int=9)))) is None


def test_a_cancelled_start_leaves_the_service_stopped() -> None:
    plan = planned(Effect.START, selection=Selection(services=("api",)))
    state = given(pinned(plan)).state
    stopped = instance(API, DeployedStatus.STOPPED)
    state = deployment.advance(state, TakeUpDeployment(worker=WORKER, instances=(stopped,)))[1]
    state = deployment.advance(state, CancelDeployment())[1]
    assert (state.status, converge.instances(state, THIRD)) == (Status.CANCELLED, (stopped,))


class Machine:
    """A target in a few lines: the deployment whose healthy instance runs of each service, if any does."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.running: dict[ServiceId, int] = {}
        self.stopped: set[ServiceId] = set()  # by request, and not started since

    def carry_out(self, state: Deployment, each: Step) -> StepCommand:
        """The fate of a step, by chance."""
        id_, fate = each.service, self.random.random()
        run = state.run_of(id_)
        assert run is not None
        if each.phase is Phase.DEPLOY and (known := converge.known_before(state, each)):
            assert known.number == self.running.get(id_, known.number)
            if id_ in self.running and fate < 0.8:  # else its check fails once
                return KeepStep(worker=WORKER, step=each)
        try:
            state.filled(each)
        except UnmetReference:
            fate = 0.7 if each.phase is not Phase.STOP else fate
        if fate < 0.6:
            self._done(state, each, run.service.type)
            return SucceedStep(worker=WORKER, step=each, ports=(9000,))
        before, old = self.running.get(id_), None
        if each.phase is Phase.DEPLOY and before is not None and fate > 0.75:  # it was stopped first
            old = OldInstance(number=before, problem=None if fate < 0.9 else "exit code 1")
            if old.problem:
                del self.running[id_]
        return FailStep(worker=WORKER, step=each, reason="no", old=old)

    def _done(self, state: Deployment, each: Step, type_: ServiceType) -> None:
        if each.phase is Phase.STOP:
            self.running.pop(each.service, None)
            self.stopped.add(each.service)
        elif each.phase is Phase.DEPLOY and type_ is not ServiceType.JOB:
            self.running[each.service] = state.number
            self.stopped.discard(each.service)


CHOICES = WHOLE, Selection(services=("api",)), Selection(stages=("Build",)), Selection(services=("DB", "api"))


@settings(max_examples=examples(300))
@for_all(st.lists(st.tuples(st.sampled_from(Effect), st.sampled_from(CHOICES)), min_size=1, max_size=8), st.randoms())
def test_what_ran_runs_or_is_replaced_by_something_healthy_unless_it_was_stopped(
    story: list[tuple[Effect, Selection]], random: Random
) -> None:
    machine, known, past = Machine(random), tuple[Instance, ...](), dict[DeploymentId, Deployment]()
    standing = pipeline.decider.replay(HISTORY)
    for number, (effect, selection) in enumerate(story, 1):
        own = DeploymentId(UUID(int=number))
        if effect is Effect.DEPLOY:
            plan = plans.make(standing, 8, SHOP, "a", selection=selection)
        else:
            plan = actions.plan(standing, 8, SHOP, effect, selection, None, {})
        before = dict(machine.running)
        last = tuple([run for each in known if (run := actions.last_run(past[each.deployment], each))])
        chosen = {each.id for each in plan.services if each.is_due}
        state = given(replace(pinned(plan), number=number)).state
        take_up = TakeUpDeployment(worker=WORKER, instances=known, last_runs=last if effect.is_start else ())
        state = deployment.advance(state, take_up)[1]
        while due := state.due():
            each = random.choice(due)
            state = deployment.advance(state, StartStep(worker=WORKER, step=each))[1]
            state = deployment.advance(state, machine.carry_out(state, each))[1]
            if random.random() < 0.05 and not state.status.is_final:
                state = deployment.advance(state, CancelDeployment(forced=False))[1]
        past[own], known = state, converge.instances(state, own)

        now = {each.service: each for each in known if each.service != ORDERS}
        assert {id_: each.number for id_, each in now.items() if each.is_running} == machine.running
        for id_ in before.keys() - machine.running.keys():
            assert id_ in chosen
            assert effect.is_end or now[id_].status is DeployedStatus.LOST
        stopped = {id_ for id_, each in now.items() if each.status is DeployedStatus.STOPPED}
        assert stopped <= machine.stopped
        assert not stopped & machine.running.keys()
        if state.status is Status.SUCCEEDED and effect is Effect.DEPLOY:
            failed = {run.service.id for stage in state.stages for run in stage.services if run.status is Status.FAILED}
            assert chosen - {ORDERS} - failed <= machine.running.keys()  # also what was stopped
        if state.status is Status.SUCCEEDED and effect.is_end:
            assert not chosen & machine.running.keys()


def rolling_back(effect: Effect, *, fails: ServiceId, instances: tuple[Instance, ...]) -> Deployment:
    """A deployment or the retry of an action, whose stages roll back, after the failure of one service."""
    made = plans.make(pipeline.decider.replay(HISTORY), 8, SHOP) if effect is Effect.DEPLOY else planned(effect)
    strict = [replace(each, spec=replace(each.spec, allow_failure=False)) for each in made.services]
    services = {each.id: each for each in strict}
    stages = [
        replace(stage, on_failure=OnFailure.ROLL_BACK, services=tuple([services[each.id] for each in stage.services]))
        for stage in made.stages
    ]
    action = Action.DEPLOY if effect is Effect.DEPLOY else Action.RETRY
    plan = replace(made, stages=tuple(stages))
    state = given(DeploymentPlanned(environment=ENVIRONMENT, number=3, action=action, plan=plan)).state
    state = deployment.advance(state, TakeUpDeployment(worker=WORKER, instances=instances))[1]
    while due := state.due():
        state = deployment.advance(state, StartStep(worker=WORKER, step=due[0]))[1]
        if due[0].service == fails and due[0].phase is not Phase.BUILD:
            outcome: StepCommand = FailStep(worker=WORKER, step=due[0], reason="no")
        else:
            outcome = SucceedStep(worker=WORKER, step=due[0], ports=(1,))
        state = deployment.advance(state, outcome)[1]
    assert state.status is Status.FAILED
    return state


def test_a_failed_stop_is_not_rolled_back_and_a_stopped_service_is_not_brought_back() -> None:
    assert not rolling_back(Effect.STOP, fails=WEB, instances=RUNNING).rolls_back
    assert rolling_back(Effect.DEPLOY, fails=API, instances=RUNNING).rolls_back
    stopped = instance(WEB, DeployedStatus.STOPPED)
    assert not rolling_back(Effect.DEPLOY, fails=API, instances=(instance(API), stopped)).rolls_back


def test_a_rollback_after_a_failure_deploys_what_was_restarted_as_it_ran() -> None:
    first = deployed()
    known = converge.instances(first, FIRST)
    last = last_runs(first, *[each for each in known if each.service != ORDERS])
    edited = actions.plan(pipeline.decider.replay(HISTORY), 9, SHOP, Effect.RESTART, WHOLE, None, {})
    edited = replace(
        edited,
        stages=tuple(
            replace(
                stage, services=tuple(replace(each, spec=replace(each.spec, run="./edited")) for each in stage.services)
            )
            for stage in edited.stages
        ),
    )
    restarted = carried_out(given(pinned(edited, 2)).state, *known, last=last)
    now = converge.instances(restarted, SECOND)
    failed = rolling_back(Effect.DEPLOY, fails=API, instances=now)
    undo = repeats.undo(failed, pipeline.decider.replay(HISTORY), {SECOND: restarted})
    assert undo is not None
    assert (undo.effect, [each.spec.run for each in undo.services if each.is_due]) == (Effect.DEPLOY, ["./db"])
