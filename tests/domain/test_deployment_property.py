"""Whatever happens to a deployment, in whatever order, it comes to its end and kept to its order."""

from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import deployment
from domain.deployment import converge
from domain.deployment.converge import known_before
from domain.deployment.effect import Effect
from domain.deployment.gate import (
    ApproveStage,
    CheckOutcome,
    GateEvent,
    RejectStage,
    StageApprovalRequested,
    StageApprovalTimedOut,
    StageApproved,
    StageCheckAnswered,
    StageCheckFailed,
    StageCheckPassed,
    StageCheckStarted,
    StageGate,
    StageRejected,
    StageWaitEnded,
    StageWaitStarted,
)
from domain.deployment.hold import DeploymentHeld, DeploymentReleased, HoldDeployment, ReleaseDeployment
from domain.deployment.instance import DeployedStatus, Instance, digest
from domain.deployment.plan import PlannedService, PlannedStage
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.stage import StageRun, StageStarted
from domain.deployment.state import (
    AdvanceDeployment,
    CancelDeployment,
    CancellationRequested,
    CancelServices,
    DeploymentCancelled,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentTimedOut,
    TakeUpDeployment,
    TimeoutReached,
)
from domain.deployment.step import (
    DEPLOYED,
    AbortStep,
    BuildFailed,
    BuildStarted,
    BuildSucceeded,
    FailStep,
    InstanceDeleted,
    KeepStep,
    OldInstance,
    OldInstanceLost,
    OldInstanceRestarted,
    Omission,
    Phase,
    ServiceCancellationRequested,
    ServiceCancelled,
    ServiceDeployed,
    ServiceDeployFailed,
    ServiceDeployStarted,
    ServiceOmitted,
    ServiceStopFailed,
    ServiceStopped,
    ServiceStopStarted,
    ServiceUnchanged,
    StartStep,
    Status,
    Step,
    StepCommand,
    StepRetried,
    SucceedStep,
)
from domain.errors import Fenced, SelfApproval, StageNotWaiting, StepNotDue
from domain.pipeline.gate import Approval, GateKind, OnTimeout, StageCheck
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.stage import OnFailure
from domain.role import Role
from tests.domain.given import stored
from tests.domain.run import Run, service, stage
from tests.examples import examples

FIRST, SECOND = DeploymentId(UUID(int=1)), DeploymentId(UUID(int=2))
NOW = datetime(2026, 1, 2, tzinfo=UTC)

REQUESTER = "requester"
REASONS = "rejected: no", "not approved within 60 s", "its check failed: the status was 503"
REVIEWERS = (REQUESTER, "ann", "bob", "cleo")

PlanDraw = list[tuple[int, OnFailure, bool, Approval | None, list[tuple[bool, bool, int, bool]]]]

RARELY = st.sampled_from([False, False, False, True])

# Of a service whether there is something to build, whether it is skipped, its retries, and whether it may fail; of a
# stage its concurrency, its reaction to a failure, whether it always runs, its approval, and its services.
approvals = st.builds(
    Approval,
    count=st.integers(1, 3),
    timeout=st.just(60),
    on_timeout=st.sampled_from(OnTimeout),
    self_approval=st.booleans(),
    role=st.sampled_from([Role.DEPLOYER, Role.EDITOR, Role.ADMIN]),
)
services = st.tuples(st.booleans(), RARELY, st.integers(0, 2), RARELY)
stages = st.tuples(
    st.integers(1, 4), st.sampled_from(OnFailure), RARELY, st.none() | approvals, st.lists(services, max_size=6)
)
plans: st.SearchStrategy[PlanDraw] = st.lists(stages, min_size=1, max_size=5)

# How likely at each turn that a step fails, that somebody cancels, and that something else happens.
fates = st.tuples(
    st.sampled_from([0, 0.05, 0.3, 0.9]), st.sampled_from([0, 0, 0.02, 0.2]), st.sampled_from([0, 0.2, 0.5])
)


def planned(plan: PlanDraw) -> list[PlannedStage]:
    return [
        stage(
            f"stage {place}",
            *(
                service(
                    f"service {place}.{number}", built=built, skipped=skipped, retries=retries, allow_failure=may_fail
                )
                for number, (built, skipped, retries, may_fail) in enumerate(members)
            ),
            concurrency=concurrency,
            on_failure=on_failure,
            always=always,
            approval=approval,
            wait=None if approval is None or approval.count > 1 else 5,
            check=None if approval is None or approval.self_approval else StageCheck(url="http://a"),
        )
        for place, (concurrency, on_failure, always, approval, members) in enumerate(plan)
    ]


def is_left_out(planned: PlannedService) -> bool:
    return planned.is_skipped or planned.is_done


class Witness:
    """Follows the events alone, with no help of the decider's state, and knows what must not happen."""

    def __init__(self, stages: list[PlannedStage], barrier: bool, effect: Effect = Effect.DEPLOY) -> None:
        self.stages = stages
        self.barrier = barrier
        self.effect = effect
        self.service = {each.id: each for stage in stages for each in stage.services}
        self.started: set[tuple[ServiceId, Phase, int]] = set()
        self.built = {
            id_ for id_, each in self.service.items() if effect is not Effect.DEPLOY or not each.spec.is_built
        }
        self.busy: set[ServiceId] = set()
        self.deployed: set[ServiceId] = set()
        self.failed: set[ServiceId] = set()
        self.cancelled: set[ServiceId] = set()
        self.lost: set[ServiceId] = set()
        self.unneeded: set[ServiceId] = set()  # somebody cancelled them
        self.unchanged: set[ServiceId] = set()  # those that are reported to be
        self.omitted: set[ServiceId] = set()
        self.halted: set[int] = set()
        self.rejected: set[int] = set()
        self.open: set[StageId] = set()
        self.passed: dict[StageId, list[GateKind]] = {each.id: [] for each in stages}
        self.approvals: dict[StageId, set[str]] = {each.id: set() for each in stages}
        self.first_failure: BuildFailed | ServiceDeployFailed | ServiceStopFailed | GateEvent | None = None
        self.is_cancelled = self.is_overdue = self.is_held = False
        self.ended = False

    @property
    def over(self) -> set[ServiceId]:
        return self.deployed | self.failed | self.cancelled | self.omitted

    def place(self, id_: ServiceId) -> int:
        return next(place for place, stage in enumerate(self.stages) if self.service[id_] in stage.services)

    def may_go_on(self, place: int) -> bool:
        """Whether services of the stage at that place may start: nothing stops it."""
        if self.is_cancelled or self.is_overdue or place in self.halted:
            return False
        return not self.halted or self.stages[place].always

    def stage(self, id_: StageId) -> PlannedStage:
        return next(stage for stage in self.stages if stage.id == id_)

    def see_gate(self, event: GateEvent) -> None:
        stage = self.stage(event.stage)
        place, approval = self.stages.index(stage), stage.approval
        assert approval is not None
        assert self.may_go_on(place)
        assert not self.busy
        assert self.is_over_before(place)
        opens = isinstance(event, StageApprovalRequested | StageWaitStarted | StageCheckStarted)
        assert opens == (event.stage not in self.open)
        assert not (opens and self.is_held)
        match event:
            case StageApprovalRequested():
                assert not self.passed[stage.id]
                self.open.add(stage.id)
            case StageWaitStarted():
                assert self.passed[stage.id] == [GateKind.APPROVAL]
                self.open.add(stage.id)
            case StageCheckStarted():
                assert self.passed[stage.id] == [kind for kind in stage.gates if kind is not GateKind.CHECK]
                self.open.add(stage.id)
            case StageApproved(actor=actor):
                assert actor not in self.approvals[stage.id]
                assert approval.self_approval or actor != REQUESTER
                self.approvals[stage.id].add(actor)
                if len(self.approvals[stage.id]) == approval.count:
                    self.passes(stage.id, GateKind.APPROVAL)
            case StageApprovalTimedOut() if approval.on_timeout is OnTimeout.APPROVE:
                self.passes(stage.id, GateKind.APPROVAL)
            case StageWaitEnded():
                self.passes(stage.id, GateKind.TIME)
            case StageCheckPassed():
                self.passes(stage.id, GateKind.CHECK)
            case StageRejected() | StageApprovalTimedOut() | StageCheckFailed():
                self.first_failure = self.first_failure or event
                self.halted.add(place)
                self.rejected.add(place)

    def passes(self, stage: StageId, kind: GateKind) -> None:
        self.open.remove(stage)
        self.passed[stage].append(kind)

    def see(self, event: DeploymentEvent) -> None:
        assert not self.ended
        match event:
            case StageApprovalRequested() | StageApproved() | StageRejected() | StageApprovalTimedOut():
                self.see_gate(event)
            case StageWaitStarted() | StageWaitEnded() | StageCheckStarted() | StageCheckPassed() | StageCheckFailed():
                self.see_gate(event)
            case StageCheckAnswered(stage=stage):
                assert stage in self.open
            case BuildStarted(service=id_, attempt=attempt):
                assert self.effect is Effect.DEPLOY
                self.start(id_, Phase.BUILD, attempt)
            case ServiceOmitted(service=id_, cause=cause):
                assert self.effect is not Effect.DEPLOY
                assert id_ not in self.over
                if cause is Omission.RUNNING:
                    assert id_ in self.unchanged & self.busy
                    self.busy.remove(id_)
                else:
                    assert not any(each == id_ for each, _, _ in self.started)
                self.omitted.add(id_)
            case ServiceStopStarted(service=id_, attempt=attempt):
                assert self.effect.is_end
                self.start(id_, Phase.STOP, attempt)
            case ServiceStopped(service=id_) | InstanceDeleted(service=id_):
                assert isinstance(event, ServiceStopped) == (self.effect is Effect.STOP)
                assert id_ not in self.over
                self.deployed.add(id_)
                self.busy.remove(id_)
            case ServiceStopFailed(service=id_):
                self.failed.add(id_)
                self.busy.remove(id_)
                if not (self.is_cancelled or self.is_overdue or self.first_failure):
                    self.first_failure = event
                if self.stages[self.place(id_)].on_failure is not OnFailure.CONTINUE:
                    self.halted.add(self.place(id_))
            case ServiceDeployStarted(service=id_, attempt=attempt):
                assert not self.effect.is_end
                assert id_ in self.built
                beside = self.stages[self.place(id_)].services
                assert not self.barrier or all(
                    is_left_out(each) or each.id in self.built | self.over for each in beside
                )
                self.start(id_, Phase.DEPLOY, attempt)
            case BuildSucceeded(service=id_):
                self.built.add(id_)
                if self.barrier:  # others are built meanwhile
                    self.busy.remove(id_)
            case OldInstanceLost(service=id_):
                assert id_ not in self.deployed
                self.lost.add(id_)
            case OldInstanceRestarted(service=id_):
                assert id_ not in self.deployed
                self.lost.discard(id_)
            case ServiceUnchanged(service=id_):
                assert id_ in self.unchanged
                assert {start for start in self.started if start[0] == id_} in (
                    {(id_, Phase.BUILD, 1)},
                    {(id_, Phase.DEPLOY, 1)},
                )
                assert id_ not in self.over
                self.deployed.add(id_)
                self.busy.remove(id_)
            case ServiceDeployed(service=id_):
                self.lost.discard(id_)
                assert id_ not in self.over
                self.deployed.add(id_)
                self.busy.remove(id_)
            case BuildFailed(service=id_) | ServiceDeployFailed(service=id_):
                assert id_ not in self.over
                self.failed.add(id_)
                self.busy.remove(id_)
                assert event.is_allowed is self.service[id_].spec.allow_failure
                if not event.is_allowed:
                    if not (self.is_cancelled or self.is_overdue or self.first_failure):
                        self.first_failure = event
                    if self.stages[self.place(id_)].on_failure is not OnFailure.CONTINUE:
                        self.halted.add(self.place(id_))
            case StepRetried(service=id_, retry_at=retry_at):
                assert self.may_go_on(self.place(id_))
                assert id_ not in self.unneeded
                assert retry_at is not None
            case ServiceCancelled(service=id_):
                assert id_ not in self.over
                assert id_ in self.unneeded or not self.may_go_on(self.place(id_))
                self.cancelled.add(id_)
                self.busy.discard(id_)
            case DeploymentHeld():
                assert not self.is_held
                self.is_held = True
            case DeploymentReleased():
                assert self.is_held
                self.is_held = False
            case StageStarted():
                assert not self.is_held
            case ServiceCancellationRequested(service=id_):
                assert id_ not in self.over
                self.unneeded.add(id_)
            case CancellationRequested():
                assert not self.is_overdue
                self.is_cancelled = True
            case TimeoutReached():
                assert not self.is_overdue
                self.is_overdue = True
            case DeploymentSucceeded() | DeploymentFailed() | DeploymentTimedOut() | DeploymentCancelled():
                self.ended = True
            case _:
                pass

    def start(self, id_: ServiceId, phase: Phase, attempt: int) -> None:
        place = self.place(id_)
        assert self.may_go_on(place)
        assert id_ not in self.unneeded
        assert not self.is_held
        assert not is_left_out(self.service[id_])
        assert id_ not in self.over
        assert (id_, phase, attempt) not in self.started
        assert attempt == 1 or (id_, phase, attempt - 1) in self.started
        assert attempt <= self.service[id_].spec.retries + 1
        assert self.passed[self.stages[place].id] == [*self.stages[place].gates]
        self.started.add((id_, phase, attempt))
        self.busy.add(id_)
        assert self.is_over_before(place)
        assert self.busy <= {each.id for each in self.stages[place].services}
        assert len(self.busy) <= self.stages[place].concurrency

    def is_over_before(self, place: int) -> bool:
        before = [each for stage in self.stages[:place] for each in stage.services]
        return all(is_left_out(each) or each.id in self.over for each in before)

    def is_done(self, planned: PlannedService) -> bool:
        is_allowed = planned.id in self.failed and planned.spec.allow_failure
        is_unneeded = planned.id in self.unneeded & self.cancelled
        return is_left_out(planned) or planned.id in self.deployed | self.omitted or is_allowed or is_unneeded


class Story:
    """A deployment to which things happen by chance: at every turn something that is possible now."""

    def __init__(
        self,
        stages: list[PlannedStage],
        fate: tuple[float, float, float],
        random: Random,
        barrier: bool,
        action: Action = Action.DEPLOY,
        effect: Effect = Effect.DEPLOY,
    ) -> None:
        self.run = Run(
            *stages,
            build_barrier=barrier,
            revision=random.choice([None, "abc"]),
            timeout=60.0,
            action=action,
            on_failure=OnFailure.ROLL_BACK,
            effect=effect,
        )
        known = [each for stage in stages for each in stage.services if random.random() < 0.3]
        self.known = tuple(
            Instance(
                service=each.id,
                deployment=FIRST,
                number=0,
                revision="abc",
                digest=digest(each.spec),
                status=DeployedStatus.RUNNING if effect is Effect.DEPLOY else random.choice(list(DeployedStatus)),
            )
            for each in known
        )
        self.witness = Witness(stages, barrier, effect)
        self.failure, self.cancellation, self.noise = fate
        self.random = random
        self.workers = 0
        self.past: list[StepCommand] = []

    @property
    def worker(self) -> str:
        return f"worker-{self.workers}"

    def tell(self, command: DeploymentCommand) -> list[DeploymentEvent]:
        decided = self.run.tell(command)
        for event in decided:
            self.witness.see(event)
        return decided

    def happens(self, likelihood: float) -> bool:
        return self.random.random() < likelihood

    def live(self) -> None:
        """To the end, in no more turns than there can be attempts: a start and an outcome for each."""
        most = sum(2 * 2 * (each.spec.retries + 1) for each in self.witness.service.values())
        most += sum(5 + each.approval.count for each in self.witness.stages if each.approval)
        turns = 0
        while not self.run.state.status.is_final:
            if self.happens(self.cancellation):
                self.random.choice([self.cancel, self.cancel_some, self.let_time_pass])()
            elif self.happens(self.noise):
                noises = self.take_up, self.start_again, self.repeat, self.intrude, self.review_again, self.hold
                self.random.choice(noises)()
            elif self.run.state.status is Status.QUEUED:
                self.take_up()
            elif self.run.state.is_held and not (self.run.state.running and self.happens(0.7)):
                assert self.tell(ReleaseDeployment())
            else:
                turns += 1
                self.go_on()
            assert turns <= most

    def cancel(self) -> None:
        self.tell(CancelDeployment(forced=self.happens(0.3)))

    def cancel_some(self) -> None:
        services = tuple(self.witness.service)
        if services:
            self.tell(CancelServices(services=(self.random.choice(services),), forced=self.happens(0.5)))

    def let_time_pass(self) -> None:
        """The deadline passes, if the deployment has started."""
        if self.run.state.worker is not None:
            self.tell(AdvanceDeployment(worker=self.worker, is_overdue=True))

    def hold(self) -> None:
        """The deployment is held; a second time changes nothing."""
        nothing = self.run.state.is_held or self.run.state.ending
        assert self.tell(HoldDeployment()) == ([] if nothing else [DeploymentHeld()])
        assert self.tell(HoldDeployment()) == []
        assert set(self.run.state.due()) <= set(self.run.state.running)

    def go_on(self) -> None:
        """A step that is due starts, or one that runs comes to its end: one of them there always is."""
        running = self.run.state.running
        if self.run.state.gate is not None and not self.run.state.is_held:
            self.meet_gate()
            return
        if self.happens(0.3):
            self.advance(running)
            return
        step = self.random.choice([*running, *(step for step in self.run.state.due() if step not in running)])
        command = self.outcome(step) if step in running else StartStep(worker=self.worker, step=step)
        self.past.append(command)
        assert self.tell(command)

    def meet_gate(self) -> None:
        """The gate opens; then people or a check decide, or its time is over."""
        stage, gate = self.run.state.next_stage, self.run.state.gate
        assert stage is not None
        assert gate is not None
        if self.run.state.is_gate_closed:
            assert self.tell(AdvanceDeployment(worker=self.worker, at=NOW))
        elif gate.kind is GateKind.TIME:
            assert self.tell(AdvanceDeployment(worker=self.worker, at=NOW, waited=(gate,)))
        elif gate.kind is GateKind.CHECK:
            problem = "the status was 503" if self.happens(self.failure / 2) else None
            outcome = CheckOutcome(gate=gate, problem=problem)
            answer = CheckOutcome(gate=gate, problem="away", is_tried=True)
            self.tell(AdvanceDeployment(worker=self.worker, at=NOW, checks=(answer, answer)))
            assert self.tell(AdvanceDeployment(worker=self.worker, at=NOW, checks=(outcome, outcome)))
        else:
            self.decide(stage, gate)

    def decide(self, stage: StageRun, gate: StageGate) -> None:
        assert stage.stage.approval is not None
        late = 0.1 if stage.stage.approval.on_timeout is OnTimeout.APPROVE else self.failure / 2
        if self.happens(self.failure / 2):
            assert self.tell(RejectStage(stage=stage.stage.id, actor="ann", at=NOW, comment="no"))
        elif self.happens(late):
            assert self.tell(AdvanceDeployment(worker=self.worker, at=NOW, waited=(gate,)))
        else:
            actor = self.random.choice([each for each in REVIEWERS if each not in stage.gate.approvals])
            if actor == REQUESTER and not stage.stage.approval.self_approval:
                with pytest.raises(SelfApproval):
                    self.tell(self.approval(stage.stage.id, actor))
                actor = next(each for each in REVIEWERS if each not in (REQUESTER, *stage.gate.approvals))
            assert self.tell(self.approval(stage.stage.id, actor))

    def approval(self, stage: StageId, actor: str) -> ApproveStage:
        return ApproveStage(stage=stage, actor=actor, is_requester=actor == REQUESTER, at=NOW, role=Role.ADMIN)

    def review_again(self) -> None:
        """A second approval by the same actor changes nothing, and a stage that does not wait can't be reviewed."""
        for run in self.run.state.stages:
            for actor in run.gate.approvals:
                assert self.tell(self.approval(run.stage.id, actor)) == []
            if run.gate.open is not GateKind.APPROVAL:
                with pytest.raises(StageNotWaiting):
                    self.tell(RejectStage(stage=run.stage.id, actor="ann", at=NOW))

    def advance(self, running: tuple[Step, ...]) -> None:
        """Some that run come to their end together, reported once more and with them what is over already."""
        outcomes = [
            self.outcome(step)
            for step in self.random.sample(running, self.random.randint(min(1, len(running)), len(running)))
        ]
        late = self.random.sample(self.past, min(2, len(self.past)))
        reports = (*outcomes, *outcomes, *(each for each in late if each.step not in running))
        self.past += outcomes
        waiting = tuple(step for step in self.run.state.startable if self.run.state.retry_at(step))
        waited = self.random.sample(waiting, self.random.randint(0 if running else len(waiting), len(waiting)))
        self.tell(AdvanceDeployment(worker=self.worker, outcomes=reports, waited=tuple(waited), at=NOW))
        state = self.run.state
        left = set(state.due()) - set(state.running)
        assert all(state.retry_at(step) for step in left)
        assert not (left & set(waited)) or state.is_stopping

    def outcome(self, step: Step) -> StepCommand:
        old = self.random.choice([None, OldInstance(number=1), OldInstance(number=1, problem="exit code 1")])
        old = None if step.phase is Phase.STOP else old
        if self.happens(self.failure):
            at, chance, reason = NOW, self.random.random(), f"attempt {step.attempt}"
            return FailStep(worker=self.worker, step=step, reason=reason, at=at, chance=chance, old=old)
        if step in self.run.state.unwanted:
            return AbortStep(worker=self.worker, step=step, old=old)
        if known_before(self.run.state, step) and self.happens(0.5):
            self.witness.unchanged.add(step.service)
            return KeepStep(worker=self.worker, step=step)
        return SucceedStep(worker=self.worker, step=step)

    def take_up(self) -> None:
        self.workers += 1
        self.tell(TakeUpDeployment(worker=self.worker, instances=self.known, at=NOW))

    def start_again(self) -> None:
        """A worker that finds a step running, after a restart or because it was woken twice, adopts it."""
        if self.run.state.worker is not None:
            for step in self.run.state.running:
                assert self.tell(StartStep(worker=self.worker, step=step)) == []

    def repeat(self) -> None:
        """An earlier report once more: it is not due, or comes from a worker that has lost the deployment."""
        for report in self.random.sample(self.past, min(3, len(self.past))):
            if report.step not in self.run.state.running:
                with pytest.raises((Fenced, StepNotDue)):
                    self.tell(report)
                with pytest.raises(StepNotDue):
                    self.tell(replace(report, worker=self.worker))

    def intrude(self) -> None:
        """Reports by a worker that never took the deployment up."""
        for step in (*self.run.state.due(), *self.run.state.running):
            with pytest.raises(Fenced):
                self.tell(SucceedStep(worker="worker-0", step=step))
            with pytest.raises(Fenced):
                self.tell(AdvanceDeployment(worker="worker-0"))


@settings(max_examples=examples(500))
@given(st.booleans(), plans, fates, st.randoms(use_true_random=True))
def test_a_deployment_comes_to_its_end_and_keeps_to_its_order(
    barrier: bool, plan: PlanDraw, fate: tuple[float, float, float], random: Random
) -> None:
    story = Story(planned(plan), fate, random, barrier)
    story.live()
    check_the_end(story.run, story.witness)
    after = {each.service: each for each in converge.instances(story.run.state, SECOND)}
    for each in story.known if story.run.state.worker else ():  # what ran before runs, or was replaced
        if each.service in story.witness.deployed - story.witness.unchanged:
            assert (after[each.service].status, after[each.service].deployment) == (DeployedStatus.RUNNING, SECOND)
        else:
            is_lost = each.service in story.witness.lost
            assert after[each.service] == (replace(each, status=DeployedStatus.LOST) if is_lost else each)


@settings(max_examples=examples(300))
@given(st.sampled_from([each for each in Effect if each is not Effect.DEPLOY]), plans, fates, st.randoms())
def test_an_action_comes_to_its_end_and_does_only_what_it_is_for(
    effect: Effect, plan: PlanDraw, fate: tuple[float, float, float], random: Random
) -> None:
    stages = planned(plan)
    if effect.is_end:
        stages = [_without_allowance(each) for each in stages]
    story = Story(stages, fate, random, barrier=False, action=Action(effect), effect=effect)
    story.live()
    check_the_end(story.run, story.witness)
    known = {each.service: each for each in story.known}
    for each in story.witness.omitted:
        assert effect is not Effect.DELETE or each not in known
    after = {each.service: each for each in converge.instances(story.run.state, SECOND)}
    if story.run.state.worker is None:  # it was cancelled while it waited
        return
    for id_, before in known.items():
        is_done = id_ in story.witness.deployed
        match effect:
            case Effect.DELETE if is_done:
                assert id_ not in after
            case Effect.STOP if is_done:
                assert (after[id_].status, after[id_].stopped_by) == (DeployedStatus.STOPPED, SECOND)
            case Effect.RESTART | Effect.START if is_done:
                assert (after[id_].status, after[id_].deployment) == (DeployedStatus.RUNNING, SECOND)
            case _:
                lost = DeployedStatus.LOST if id_ in story.witness.lost else before.status
                assert after[id_] == replace(before, status=lost)


def _without_allowance(stage: PlannedStage) -> PlannedStage:
    """*stage* as a plan has it that ends services: no end may fail."""
    services = [replace(each, spec=replace(each.spec, allow_failure=False)) for each in stage.services]
    return replace(stage, services=tuple(services))


def check_the_end(run: Run, witness: Witness) -> None:
    state = run.state
    assert witness.ended
    assert witness.busy == set()
    assert state.due() == state.running == ()
    for stage_run in state.stages:
        statuses = {each.status for each in stage_run.services}
        assert stage_run.status.is_final
        for each in stage_run.services:
            assert each.status.is_final
            ends = witness.deployed, witness.failed, witness.cancelled, witness.omitted
            assert [each.service.id in ended for ended in ends].count(True) == (not is_left_out(each.service))
            assert each.build.status.is_final
            assert each.deploy.status.is_final
            assert (each.status in DEPLOYED) == (each.service.id in witness.deployed)
            assert each.is_lost == (each.service.id in witness.lost)
            is_omitted = each.service.id in witness.omitted
            assert (each.status is Status.SKIPPED) == (is_left_out(each.service) or is_omitted)
        match stage_run.status:
            case Status.SUCCEEDED:
                assert all(witness.is_done(each.service) for each in stage_run.services)
                ended = statuses & {Status.SUCCEEDED, Status.FAILED, Status.UNCHANGED, Status.CANCELLED}
                assert ended or any(each.service.id in witness.omitted for each in stage_run.services)
            case Status.SKIPPED:
                assert statuses <= {Status.SKIPPED}
            case Status.FAILED:
                assert (stage_run.gate.problem is None) == (Status.FAILED in statuses)

    is_done = all(map(witness.is_done, witness.service.values()))
    failed = [stage_run.stage.id for stage_run in state.stages if stage_run.status is Status.FAILED]
    match run.events[-1]:
        case DeploymentSucceeded():
            assert state.status is Status.SUCCEEDED
            assert is_done
        case DeploymentFailed(stage=stage, service=service, reason=reason):
            assert state.status is Status.FAILED
            assert stage in failed
            match witness.first_failure:
                case BuildFailed() | ServiceDeployFailed() | ServiceStopFailed() as failure:
                    assert (failure.service, failure.reason) == (service, reason)
                case None:
                    pytest.fail("nothing failed")
                case failure:
                    assert (failure.stage, None) == (stage, service)
                    assert reason in REASONS
        case DeploymentTimedOut():
            assert state.status is Status.FAILED
            assert witness.is_overdue
            assert not witness.is_cancelled
            assert witness.first_failure is None
            assert not is_done
        case DeploymentCancelled():
            assert state.status is Status.CANCELLED
            assert witness.is_cancelled
            assert witness.first_failure is None
            assert failed == []
            assert not is_done or not any(isinstance(event, DeploymentStarted) for event in run.events)
        case _:
            pytest.fail("the last event is none that ends a deployment")

    assert deployment.decider.replay(map(stored, run.events)) == state
