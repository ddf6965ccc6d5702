"""
The engine of many workers: each runs the deployments whose jobs it fetches.

One worker at a time has a job, and an environment has one job at a time. After `STALLED` seconds without a heartbeat of
a worker, another one fetches its jobs and resumes their deployments. From then on, the log fences the first worker. So
nobody needs to know whether it is really dead.

A local target runs processes on the worker's own machine. Its environment is bound to the machine that first deployed
it, and only workers there fetch its jobs. A machine without a heartbeat for a long time is lost. Then another machine
takes over the environment, and restarts its running steps with a note in their output.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from domain import deployment as deployments
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment
from domain.deployment.step import Step
from domain.errors import DeploymentNotAdmitted, DeploymentNotFound, DeploymentOver, Fenced
from runner.engine import OpenDeployments, StandingServices, clean_up
from runner.first import first
from runner.jobs import HEARTBEAT, STALLED, Jobs, MachineBinding
from runner.leftover import CONCERNING, Leftovers
from runner.machine import Machine
from runner.retry import backoff, follow, retry
from runner.runner import Runner
from store.log import LogUnavailable, RecordedEvent
from store.output import LineKind
from store.postgres.connection import STATEMENT_TIMEOUT, Prepare
from store.postgres.output import PostgresOutput

RELEASE_TIMEOUT = 5.0
"""Maximum time for releasing deployments when a worker stops, in seconds."""

logger = logging.getLogger(__name__)


class WrongMachine(Exception):
    """The environment of the deployment is bound to another machine."""


class MachineReplaced(Exception):
    """Other workers took this machine for lost, so its environments may be bound to other machines."""


class WorkerEngine:
    """The engine of one worker on *machine*; the database *dsn* has its jobs. A machine silent for *gone* s is lost."""

    def __init__(
        self,
        dsn: str,
        machine: Machine,
        gone: float,
        runner: Runner,
        outputs: PostgresOutput,
        open_deployments: OpenDeployments,
        services: StandingServices,
        *prepare: Prepare,
    ) -> None:
        self._dsn, self._machine, self._gone, self._prepare = dsn, machine, gone, prepare
        self._runner, self._outputs = runner, outputs
        self._states, self._log = runner.handler.states, runner.handler.log
        self._open_deployments, self._services = open_deployments, services
        self._leftovers = Leftovers(runner.handler, runner.executors)
        self.swept = asyncio.Event()
        self._drives: dict[DeploymentId, asyncio.Task[Any]] = {}
        self._cleanups: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.fault: str | None = None  # the logged reason of the present interruption

    async def start(self) -> None:
        self._log.watch(self._on_events, CONCERNING)
        self._task = asyncio.create_task(self._persist(), name="worker")

    async def stop(self) -> None:
        """Release the deployments, so that other workers resume them at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=RELEASE_TIMEOUT)
            if not self._task.done():
                logger.warning(
                    "The worker did not release its deployments within %(timeout)g s; others resume them in "
                    "%(stalled)g s",
                    {"timeout": RELEASE_TIMEOUT, "stalled": STALLED},
                )
        for cleanup in self._cleanups:
            cleanup.cancel()

    async def _persist(self) -> None:
        waits = backoff()
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._work()
                reason: object = "the database closed the connection"
            except MachineReplaced:
                reason = "other workers took this machine for lost"
            except LogUnavailable as error:
                reason = error
            except TimeoutError:
                reason = "the database does not answer"
            except Exception as error:
                logger.exception("The worker failed")
                reason = f"{type(error).__name__}: {error}"
            if asyncio.get_running_loop().time() - began > 60:
                waits = backoff()
            if self.fault != str(reason):  # logged once, however long it lasts
                logger.warning("The worker is interrupted, and retries: %(reason)s", {"reason": reason})
            self.fault = str(reason)
            await asyncio.sleep(next(waits))

    async def _work(self) -> None:
        """Run jobs until something fails or the database is unavailable."""
        async with Jobs(self._dsn, self._runner.worker, self._machine, self._gone, *self._prepare).open() as jobs:
            self._machine.live()
            await jobs.heartbeat()
            await jobs.declare({target: executor.is_local for target, executor in self._runner.executors.items()})
            position = await self._log.position()
            if self.fault is not None:
                logger.info("The worker is running again")
            self.fault = None
            async with self._machine.occupied(lambda: clean_up(self._sweep(jobs, position))):
                self.swept.set()
                await first([jobs.work(self._queues, partial(self._drive, jobs)), self._keep_up(jobs)])

    @property
    def _queues(self) -> Iterable[str]:
        for target in self._runner.executors:
            yield target.lower()
        if any(executor.is_local for executor in self._runner.executors.values()):
            yield self._machine.id.hex  # see queue_of in jobs.sql

    # Driving

    async def _drive(self, jobs: Jobs, id_: DeploymentId, binding: MachineBinding | None) -> None:
        """Run the deployment *id_* to its end. Any exception releases the job."""
        if id_ in self._drives:  # this worker was taken for stalled, and has fetched its own job again
            await asyncio.wait([self._drives[id_]])
            return
        self._drives[id_] = _current_task()
        try:
            if binding is not None:
                await self._settle(jobs, id_, binding)
            await self._carry_out(id_)
        except (DeploymentNotFound, DeploymentNotAdmitted, DeploymentOver) as refusal:
            logger.info("Deployment %(deployment)s is not run here: %(reason)s", {"deployment": id_, "reason": refusal})
        except Fenced:
            # The other worker has the job now, which must not be deleted before the deployment is over.
            logger.warning("Deployment %(deployment)s was resumed by another worker", {"deployment": id_})
            await self._over(id_)
        finally:
            del self._drives[id_]

    async def _carry_out(self, id_: DeploymentId) -> None:
        for pause in backoff():
            try:
                await self._runner.drive(id_)
            except (DeploymentNotFound, DeploymentNotAdmitted, DeploymentOver, Fenced):
                raise
            except Exception:
                logger.exception(
                    "Deployment %(deployment)s failed to run; retrying in %(pause).2g s",
                    {"deployment": id_, "pause": pause},
                )
                await asyncio.sleep(pause)
            else:
                return

    async def _load(self, id_: DeploymentId) -> Deployment:
        return (await retry(lambda: self._states.load(deployments.decider, id_))).state

    async def _over(self, id_: DeploymentId) -> None:
        async for _ in follow(self._log, 0, id_):
            if (await self._load(id_)).status.is_final:
                return

    # Machines

    async def _settle(self, jobs: Jobs, id_: DeploymentId, binding: MachineBinding) -> None:
        """Restart the steps of a lost machine; raise `WrongMachine` if the environment is bound to another machine."""
        if binding.machine != self._machine.id:
            raise WrongMachine(f"deployment {id_} runs on machine {binding.machine}")
        if binding.lost is not None:
            text = f"machine {binding.lost} is lost; the step restarts on {self._machine.name}"
            deployment = await self._load(id_)
            assert deployment.environment is not None
            for step in deployment.running:
                await retry(partial(self._restart, id_, step, text))
            await retry(partial(jobs.clear_lost, deployment.environment))

    async def _restart(self, id_: DeploymentId, step: Step, text: str) -> None:
        await self._outputs.reset_offset(id_, step.service, step.phase, step.attempt)
        await self._note(id_, step, text)

    async def _keep_up(self, jobs: Jobs) -> None:
        """Record heartbeats, and release stalled workers' jobs; raise `MachineReplaced` if this machine was lost."""
        while True:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                if await jobs.heartbeat():
                    raise MachineReplaced
                released = await jobs.release_stalled()
            self._machine.live()
            for id_, machine in released:
                if machine is None:
                    logger.warning(
                        "The worker of deployment %(deployment)s is stalled; another worker resumes it",
                        {"deployment": id_},
                    )
                else:
                    logger.warning(
                        "The worker of deployment %(deployment)s is stalled; only machine %(machine)s can resume it",
                        {"deployment": id_, "machine": machine},
                    )
                    await self._note_wait(id_, machine)
            await asyncio.sleep(HEARTBEAT)

    async def _note_wait(self, id_: DeploymentId, machine: str) -> None:
        text = f"machine {machine} does not answer; the step waits for it, at most {self._gone:g} s"
        for step in (await self._load(id_)).running:
            await self._note(id_, step, text)

    async def _note(self, id_: DeploymentId, step: Step, text: str) -> None:
        await self._outputs.append(id_, step.service, step.phase, step.attempt, [text], LineKind.NOTE)

    # Cleaning up

    async def _sweep(self, jobs: Jobs, position: int) -> None:
        """Stop the services on this machine that no pipeline and no plan has, or whose environment is elsewhere.

        Workers share every other target, so a sweep there could stop a deployment of another worker.
        """
        local = [executor for executor in self._runner.executors.values() if executor.is_local]
        if not local:
            return
        standing, elsewhere = await self._services(position), await jobs.environments_elsewhere()
        keep = await self._leftovers.planned(await self._open_deployments(position), elsewhere)
        keep.update(*(services for environment, services in standing.items() if environment not in elsewhere))
        await asyncio.gather(*(executor.sweep(keep) for executor in local))

    def _on_events(self, events: Sequence[RecordedEvent]) -> None:
        for recorded in events if self._task is not None and not self._task.done() else ():
            cleanup = self._leftovers.after(recorded)
            if cleanup is not None:
                task = asyncio.create_task(clean_up(cleanup))
                self._cleanups.add(task)
                task.add_done_callback(self._cleanups.discard)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
