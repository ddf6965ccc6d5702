"""
The runner, which keeps the running steps of a deployment equal to the due ones.

The runner reads a deployment's state, never the event that woke it, so a repeated, late or lost wake-up does no harm. A
step is recorded as started before it begins. After a restart, the runner passes each running step to its target again,
and the target adopts it by its identity.

Steps that end and steps that start as a result are recorded in one append.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from application import deployment as writing
from application.handler import Handler, StreamState, Transaction
from application.instance import keep_instances
from domain import deployment as deployments
from domain.access import ENGINE
from domain.deployment import queue as queues
from domain.deployment.converge import known_before
from domain.deployment.gate import CheckOutcome, StageApproved, StageGate, StageRejected, limit
from domain.deployment.hold import DeploymentHeld, DeploymentReleased
from domain.deployment.queue import DeploymentId
from domain.deployment.state import (
    AdvanceDeployment,
    CancellationRequested,
    Deployment,
    DeploymentPlanned,
    DeploymentTakenUp,
)
from domain.deployment.step import Phase, ServiceCancellationRequested, Status, Step, StepCommand
from domain.deployment.wait import WaitEnded, WaitStarted
from domain.errors import Fenced, Refused
from domain.pipeline.environment import Target
from domain.pipeline.gate import GateKind
from runner.check import wait_until_passed
from runner.metrics import FAILED, RUNNING, count_deployment, count_resumed, count_steps, outcome_label, time_of_start
from runner.retry import retry
from runner.secret import FilledSpec, SecretOpener
from runner.step import StepExecution
from runner.targets.contract import Executor, RegistryLogin, StepFailed, StepRequest
from runner.trace import bind_deployment
from store.log import Author, Event, Origin, RecordedEvent
from store.output import OutputStore
from tracing.span import Kind, annotate, child, fail, is_traced, span

T = TypeVar("T")

CONCERNING: Collection[type[Event]] = {
    CancellationRequested,
    DeploymentHeld,
    DeploymentPlanned,
    DeploymentReleased,
    DeploymentTakenUp,
    ServiceCancellationRequested,
    StageApproved,
    StageRejected,
    WaitEnded,
    WaitStarted,
    *queues.decider.events,
}
"""Types of the events by which others change a deployment that runs here."""

logger = logging.getLogger(__name__)


class Runner:
    """A runner of deployments. *worker* is its name, which no other runner has or had; *secrets* opens secrets."""

    def __init__(
        self,
        handler: Handler,
        executors: Mapping[Target, Executor],
        outputs: OutputStore,
        worker: str,
        secrets: SecretOpener,
    ) -> None:
        self.handler, self.executors, self.outputs, self.worker = handler, executors, outputs, worker
        self.secrets = secrets
        self._drives: dict[DeploymentId, DeploymentExecution] = {}
        self._counts: set[asyncio.Task[None]] = set()
        handler.log.watch(self._on_events, CONCERNING)

    async def drive(self, deployment: DeploymentId) -> Deployment:
        """Run *deployment* to its end; the log fences any earlier worker of it.

        Cancelling this does not stop running steps. Raises `DeploymentNotFound`, `DeploymentOver`,
        `DeploymentNotAdmitted` while it is queued, and `Fenced` when another worker has resumed the deployment.
        """
        drive = self._drives[deployment] = DeploymentExecution(self, deployment)
        try:
            parent = await bind_deployment(self.handler.states, deployment)
            with span("deployment", Kind.JOB, parent), RUNNING.track_inprogress():
                logger.info("A deployment runs here")
                annotate(deployment=str(deployment))
                over = await drive.carry_out()
                _annotate_end(over)
            self._count(deployment, over, drive.started_at)
            if over.status is Status.FAILED:
                logger.warning("A deployment failed", {"deployment": deployment, "environment": over.environment})
            return over
        finally:
            if self._drives.get(deployment) is drive:
                del self._drives[deployment]

    def _count(self, deployment: DeploymentId, over: Deployment, started_at: datetime | None) -> None:
        """Count a deployment that is *over*.

        One that started elsewhere is counted aside: its job must be done before another one of its environment runs.
        """
        if started_at is not None:
            count_deployment(over, started_at)
            return
        counting = asyncio.create_task(count_resumed(self.handler.log, deployment, over))
        self._counts.add(counting)
        counting.add_done_callback(self._counts.discard)

    def _on_events(self, events: Sequence[RecordedEvent]) -> None:
        self.handler.states.learn(events)
        for each in events if self._drives else ():
            drive = self._drives.get(DeploymentId(each.stream))
            if drive is not None:
                drive.note(each.version)


class DeploymentExecution:
    """A deployment that runs in this process: the tasks of its steps, and the event that wakes it."""

    def __init__(self, runner: Runner, id_: DeploymentId) -> None:
        self._runner = runner
        self._id = id_
        self._by = Author(actor=ENGINE, origin=Origin.ENGINE, correlation=id_)
        self._woken = asyncio.Event()
        self._now: StreamState[Deployment] = StreamState(id_, 0, deployments.decider.initial)
        self.started_at: datetime | None = None  # None if it started in another process
        self._newest = 0  # the stream's last version that the log has reported
        self._is_recording = False
        self._watches: dict[Step, asyncio.Task[StepCommand]] = {}
        self._aborts: dict[Step, asyncio.Task[StepCommand]] = {}
        self._checks: dict[StageGate, asyncio.Task[str | None]] = {}
        self._answers: dict[StageGate, str] = {}  # of checks that are tried again, not recorded yet
        self._waits: dict[Step | StageGate, asyncio.TimerHandle] = {}  # attempts and gates that wait
        self._waited: set[Step | StageGate] = set()  # those whose wait is over
        self._deadline: asyncio.TimerHandle | None = None
        self._is_overdue = False

    async def carry_out(self) -> Deployment:
        self.started_at = time_of_start(await self._transact(self._take_up))
        try:
            while not (deployment := await self._reconcile()).status.is_final:
                await self._woken.wait()
            keep_instances(self._runner.handler.states, self._id, deployment)  # its environment's next one needs them
            return deployment
        finally:
            for timer in (*self._waits.values(), *([self._deadline] if self._deadline else [])):
                timer.cancel()
            await _cancel([*self._aborts.values(), *self._watches.values(), *self._checks.values()])

    def note(self, version: int) -> None:
        """Note that the stream has reached *version*, and look again unless this process is appending."""
        self._newest = version
        if not self._is_recording:
            self._woken.set()

    async def _reconcile(self) -> Deployment:
        """Record ended and started steps; then watch the running ones, and abort the unwanted ones."""
        self._woken.clear()
        deployment = await self._record()
        self._wait(deployment)
        unwanted = deployment.unwanted
        for step in unwanted:
            if step not in self._aborts:
                self._aborts[step] = self._task(self._abort(deployment, step, self._watches.get(step)))
        for step in deployment.running:
            if step not in self._watches and step not in unwanted:
                self._watches[step] = self._task(self._watch(deployment, step))
        self._check(deployment)
        return deployment

    def _check(self, deployment: Deployment) -> None:
        """Begin the check before the next stage, also if it began on another worker."""
        gate, stage = deployment.gate, deployment.next_stage
        if gate is None or stage is None or stage.stage.check is None or stage.gate.open is not GateKind.CHECK:
            return
        if gate not in self._checks:
            tell = partial(self._note_answer, gate)
            self._checks[gate] = self._task(wait_until_passed(stage.stage.check, stage.gate.deadline, tell))

    def _note_answer(self, gate: StageGate, problem: str) -> None:
        self._answers[gate] = problem
        self._woken.set()

    async def _record(self) -> Deployment:
        tasks = {**self._watches, **self._aborts}
        ended = {step: task.result() for step, task in tasks.items() if task.done()}
        answers, self._answers = self._answers, {}
        over = {each: task.result() for each, task in self._checks.items() if task.done()}
        checks = (
            *(CheckOutcome(gate=each, problem=problem) for each, problem in over.items()),
            *(CheckOutcome(gate=each, problem=answers[each], is_tried=True) for each in answers.keys() - over.keys()),
        )
        if not (ended or checks):
            if self._newest > self._now.version:
                await self._load()
            state = self._now.state
            if not self._is_due(state):
                return state
        await self._transact(partial(self._report, tuple(ended.values()), checks))
        count_steps(ended.values())
        for each in over:
            del self._checks[each]
        for step in ended:
            for tasks_of in (self._watches, self._aborts):
                if (task := tasks_of.pop(step, None)) is not None:
                    task.cancel()
        return self._now.state

    def _is_due(self, state: Deployment) -> bool:
        """Return whether a step starts now, a gate opens or ends, or the deployment times out."""
        if state.is_gate_closed or state.gate in self._waited or (self._is_overdue and not state.has_timed_out):
            return True
        return any(step in self._waited or not state.retry_at(step) for step in state.startable)

    def _wait(self, deployment: Deployment) -> None:
        """Start a timer for each step that waits for its retry, and for the gate that has a deadline.

        They may have begun to wait on another worker.
        """
        now, plan, deadline = datetime.now(UTC), deployment.plan, deployment.deadline
        if self._deadline is None and deadline is not None and plan is not None and plan.timeout is not None:
            left = min((deadline - now).total_seconds(), plan.timeout)
            self._deadline = asyncio.get_running_loop().call_later(left, self._end_time)
        for step in deployment.startable:
            retry_at, run = deployment.retry_at(step), deployment.run_of(step.service)
            if retry_at is not None and run is not None:
                self._wait_until(step, retry_at, run.service.spec.backoff.max)
        gate, stage = deployment.gate, deployment.next_stage
        has_timer = stage is not None and stage.gate.open is not GateKind.CHECK
        if gate is not None and stage is not None and stage.gate.deadline is not None and has_timer:
            self._wait_until(gate, stage.gate.deadline, limit(stage.stage, gate.kind))

    def _wait_until(self, waiting: Step | StageGate, deadline: datetime, most: float) -> None:
        """Start a timer, for at most *most* seconds: the clock may have been set back since *deadline* was set."""
        if waiting not in self._waits and waiting not in self._waited:
            left = min((deadline - datetime.now(UTC)).total_seconds(), most)
            self._waits[waiting] = asyncio.get_running_loop().call_later(left, self._end_wait, waiting)

    def _end_wait(self, waiting: Step | StageGate) -> None:
        del self._waits[waiting]
        self._waited.add(waiting)
        self._woken.set()

    def _end_time(self) -> None:
        self._is_overdue = True
        self._woken.set()

    async def _load(self) -> None:
        states = self._runner.handler.states
        self._now = await retry(lambda: states.advance(deployments.decider, self._now))
        if self._now.state.worker != self._runner.worker:
            raise Fenced(worker=self._now.state.worker)

    async def _take_up(self, transaction: Transaction) -> DeploymentId:
        await writing.take_up(transaction, self._id, self._runner.worker, datetime.now(UTC))
        return await self._report((), (), transaction)

    async def _report(
        self, outcomes: tuple[StepCommand, ...], checks: tuple[CheckOutcome, ...], transaction: Transaction
    ) -> DeploymentId:
        advance = AdvanceDeployment(
            worker=self._runner.worker,
            outcomes=outcomes,
            waited=tuple(self._waited),
            is_overdue=self._is_overdue,
            checks=checks,
            at=datetime.now(UTC),
        )
        return await writing.report(transaction, self._id, advance)

    async def _transact(self, work: Callable[[Transaction], Awaitable[DeploymentId]]) -> Sequence[RecordedEvent]:
        """Carry out *work*, and return the events that were recorded."""
        handler, held = self._runner.handler, self._now
        transact = partial(handler.transact, work, deployments.decider, self._by, cached=True, held=held)
        self._is_recording = True
        try:
            outcome = await retry(transact)
            self._now = outcome.subject
        finally:
            self._is_recording = False
        if self._newest > self._now.version:
            self._woken.set()
        return outcome.receipt.recorded

    def _task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(lambda _: self._woken.set())
        return task

    async def _watch(self, deployment: Deployment, step: Step) -> StepCommand:
        execution = await self._run_of(deployment, step)
        if not is_traced():
            return await execution.watch()
        with child("step"):
            annotate(service=str(step.service), phase=step.phase.lower(), attempt=step.attempt)
            outcome = await execution.watch()
            label = outcome_label(outcome)
            if label is not None:
                annotate(outcome=label)
            if label == FAILED:
                fail(label)
            return outcome

    async def _abort(
        self, deployment: Deployment, step: Step, watching: asyncio.Task[StepCommand] | None
    ) -> StepCommand:
        return await (await self._run_of(deployment, step)).abort(watching)

    async def _run_of(self, deployment: Deployment, step: Step) -> StepExecution:
        run = deployment.run_of(step.service)
        assert run is not None
        assert deployment.environment is not None
        assert deployment.plan is not None
        known, before = known_before(deployment, step), deployment.inherited.get(step.service.int)
        found, unmet = FilledSpec(run.service.spec), None
        logins: tuple[RegistryLogin, ...] = ()
        if step.phase is not Phase.STOP:
            try:
                found = await self._runner.secrets.filled(deployment, step)
                if run.service.spec.run is None:  # its image may be in a registry with a login
                    logins = await self._runner.secrets.logins(deployment.environment)
            except (Refused, StepFailed) as failure:
                unmet = str(failure)
        request = StepRequest(
            environment=deployment.environment,
            deployment=self._id,
            number=deployment.number,
            service=step.service,
            name=run.service.name,
            type=run.service.type,
            spec=found.spec,
            secrets=(*found.secrets, *(login.password or login.token for login in logins)),
            logins=logins,
            shown=found.shown,
            phase=step.phase,
            attempt=step.attempt,
            known=None if known is None else known.deployment,
            effect=deployment.plan.effect,
            volumes=run.service.volumes,
            built=(before.built or before.deployment) if before and deployment.plan.effect.is_start else None,
        )
        executor = self._runner.executors.get(deployment.plan.target)
        return StepExecution(request, executor, self._runner.outputs, self._runner.worker, unmet)


def _annotate_end(over: Deployment) -> None:
    """Add to the present span what the deployment was, and its outcome."""
    annotate(number=over.number, environment=str(over.environment), outcome=over.status.lower())
    if over.status is Status.FAILED:
        fail(FAILED)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
