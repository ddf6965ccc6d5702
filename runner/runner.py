"""
Deployments carried out: what runs is kept equal to what is due.

The runner reads a deployment's state, never the event that woke it, so that waking twice, late, or after a restart all
come to the same. A step is recorded as started before it begins, and what is recorded as running is asked of its target
again by the next server: the target finds it by its identity and takes it up.

What happens at the same time is recorded at the same time: the steps that have ended and those that start with that go
into one append, the first ones that of the taking up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from domain import deployment as deployments
from domain import queue as queues
from domain.access import ENGINE
from domain.deployment import (
    AdvanceDeployment,
    CancellationRequested,
    Deployment,
    DeploymentPlanned,
    DeploymentTakenUp,
)
from domain.environment import Target
from domain.errors import Fenced
from domain.queue import DeploymentId
from domain.step import Step, StepCommand
from runner.executor import Executor, Work
from runner.patience import patiently
from runner.step import StepRun
from store import deployment as writing
from store.handle import Handler, Loaded, Transaction
from store.log import Author, Event, Origin, Recorded
from store.output import OutputStore

T = TypeVar("T")

CONCERNING: Collection[type[Event]] = {
    CancellationRequested,
    DeploymentPlanned,
    DeploymentTakenUp,
    *queues.decider.events,
}
"""The kinds of events by which others reach into a deployment that is driven here, or to be driven."""

logger = logging.getLogger(__name__)


class Runner:
    """Carries deployments out as *worker*: a name that no runner has beside it, nor had before."""

    def __init__(
        self, handler: Handler, executors: Mapping[Target, Executor], outputs: OutputStore, worker: str
    ) -> None:
        self.handler, self.executors, self.outputs, self.worker = handler, executors, outputs, worker
        self._drives: dict[DeploymentId, _Drive] = {}
        handler.log.watch(self._told, CONCERNING)

    async def drive(self, deployment: DeploymentId) -> Deployment:
        """Carries *deployment* out to its end; whoever did so before may report nothing more.

        Cancelling this leaves what runs as it is. Raises `DeploymentNotFound`, `DeploymentOver`,
        `DeploymentNotAdmitted` before its turn has come, and `Fenced` when another worker took the deployment up.
        """
        drive = self._drives[deployment] = _Drive(self, deployment)
        try:
            return await drive.carry_out()
        finally:
            if self._drives.get(deployment) is drive:
                del self._drives[deployment]

    def _told(self, events: Sequence[Recorded]) -> None:
        self.handler.states.learn(events)
        for each in events if self._drives else ():
            drive = self._drives.get(DeploymentId(each.stream))
            if drive is not None:
                drive.hear(each.version)


class _Drive:
    """What a deployment needs in this process: the tasks that see to its steps, and a reason to look again."""

    def __init__(self, runner: Runner, id_: DeploymentId) -> None:
        self._runner = runner
        self._id = id_
        self._by = Author(actor=ENGINE, origin=Origin.ENGINE, correlation=id_)
        self._woken = asyncio.Event()
        self._now: Loaded[Deployment] = Loaded(id_, 0, deployments.decider.initial)
        self._newest = 0  # the version that others, or we, have brought the stream to, as far as the log has told us
        self._is_recording = False
        self._watches: dict[Step, asyncio.Task[StepCommand]] = {}
        self._aborts: dict[Step, asyncio.Task[StepCommand]] = {}

    async def carry_out(self) -> Deployment:
        await self._transact(self._take_up)
        try:
            while not (deployment := await self._reconcile()).status.is_final:
                await self._woken.wait()
            return deployment
        finally:
            await _cancel([*self._aborts.values(), *self._watches.values()])

    def hear(self, version: int) -> None:
        """The log tells that the stream has come to *version*: by others, or by what is being recorded here."""
        self._newest = version
        if not self._is_recording:
            self._woken.set()

    async def _reconcile(self) -> Deployment:
        """Records what has ended and what starts; then watches what runs, and aborts what ought not to run."""
        self._woken.clear()
        deployment = await self._record()
        unwanted = deployment.unwanted
        for step in unwanted:
            if step not in self._aborts:
                self._aborts[step] = self._task(self._run_of(deployment, step).abort(self._watches.get(step)))
        for step in deployment.running if not unwanted else ():
            if step not in self._watches:
                self._watches[step] = self._task(self._run_of(deployment, step).watch())
        return deployment

    async def _record(self) -> Deployment:
        tasks = {**self._watches, **self._aborts}
        ended = {step: task.result() for step, task in tasks.items() if task.done()}
        if not ended:
            if self._newest > self._now.version:
                await self._load()
            if not self._now.state.startable:
                return self._now.state
        await self._transact(partial(self._report, tuple(ended.values())))
        for tasks_of in (self._watches, self._aborts):
            for step in tasks_of.keys() & ended.keys():
                tasks_of.pop(step).cancel()
        return self._now.state

    async def _load(self) -> None:
        states = self._runner.handler.states
        self._now = await patiently(lambda: states.load(deployments.decider, self._id))
        if self._now.state.worker != self._runner.worker:
            raise Fenced(worker=self._now.state.worker)

    async def _take_up(self, transaction: Transaction) -> DeploymentId:
        await writing.take_up(transaction, self._id, self._runner.worker)
        return await self._report((), transaction)

    async def _report(self, outcomes: tuple[StepCommand, ...], transaction: Transaction) -> DeploymentId:
        advance = AdvanceDeployment(worker=self._runner.worker, outcomes=outcomes)
        return await writing.report(transaction, self._id, advance)

    async def _transact(self, work: Callable[[Transaction], Awaitable[DeploymentId]]) -> None:
        transact = partial(self._runner.handler.transact, work, deployments.decider, self._by, anew=False)
        self._is_recording = True
        try:
            self._now = (await patiently(transact)).subject
        finally:
            self._is_recording = False
        if self._newest > self._now.version:
            self._woken.set()

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._woken.set())
        return task

    def _run_of(self, deployment: Deployment, step: Step) -> StepRun:
        run = deployment.run_of(step.service)
        assert run is not None
        assert deployment.environment is not None
        assert deployment.plan is not None
        work = Work(
            environment=deployment.environment,
            deployment=self._id,
            number=deployment.number,
            service=step.service,
            name=run.service.name,
            type=run.service.type,
            spec=run.service.spec,
            phase=step.phase,
            attempt=step.attempt,
        )
        executor = self._runner.executors.get(deployment.plan.target)
        return StepRun(work, executor, self._runner.outputs, self._runner.worker)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
