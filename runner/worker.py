"""
The engine of many machines: every worker drives the deployments whose jobs it gets.

A job is fetched by one worker at a time, and one of an environment. When a worker gives no sign of life for `STALLED`
seconds, what it was about is fetched by another: that one takes the deployment up, and from then on the log accepts
nothing of the first. So whether a worker is really dead need not be known.

Processes are a machine's own. The environment whose target they are is on the machine that first drove it, and its
jobs are that machine's, until it is gone for good: not heard of for a long time. Then its next job, or the one that
was under way, is another machine's: what was running is said to be begun anew, and begun anew.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from domain import deployment as deployments
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment
from domain.deployment.step import Step
from domain.errors import DeploymentNotAdmitted, DeploymentNotFound, DeploymentOver, Fenced
from runner.engine import OpenDeployments, StandingServices, clean_up
from runner.jobs import HEARTBEAT, STALLED, Home, Jobs
from runner.leftover import CONCERNING, Leftovers
from runner.machine import Machine
from runner.retry import backoff, follow, retry
from runner.runner import Runner
from store.log import LogUnavailable, RecordedEvent
from store.output import LineKind
from store.postgres.connection import STATEMENT_TIMEOUT, Prepare
from store.postgres.output import PostgresOutput

HANDING_OVER = 5.0
"""Seconds that it may take to hand over when a worker ends; others see after `STALLED` seconds that it has ended."""

logger = logging.getLogger(__name__)


class WrongMachine(Exception):
    """The deployment is another machine's."""


class MachineReplaced(Exception):
    """This machine was taken for gone, so others may have taken over what is here."""


class WorkerEngine:
    """See `Engine`. Drives deployments on *machine*, as one of many workers; what waits for it is in *dsn*."""

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
        self._drives: dict[DeploymentId, asyncio.Task[Any]] = {}
        self._tidying: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._fault: str | None = None  # why it doesn't go on just now, as far as that was said

    async def start(self) -> None:
        self._log.watch(self._on_events, CONCERNING)
        self._task = asyncio.create_task(self._persist(), name="worker")

    async def stop(self) -> None:
        """Hands over what it drives."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=HANDING_OVER)
            if not self._task.done():
                logger.warning(
                    "The worker did not release its deployments within %(timeout)g s; others resume them in "
                    "%(stalled)g s",
                    {"timeout": HANDING_OVER, "stalled": STALLED},
                )
        for tidying in self._tidying:
            tidying.cancel()

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
            if self._fault != str(reason):  # it is said once, however long it lasts
                logger.warning("The worker is interrupted, and retries: %(reason)s", {"reason": reason})
            self._fault = str(reason)
            await asyncio.sleep(next(waits))

    async def _work(self) -> None:
        """Until something fails, or the database goes away."""
        async with Jobs(self._dsn, self._machine, self._gone, *self._prepare).open() as jobs:
            self._machine.live()
            await jobs.heartbeat()
            position = await self._log.position()
            if self._fault is not None:
                logger.info("The worker is running again")
            self._fault = None
            async with self._machine.occupied(lambda: clean_up(self._sweep(jobs, position))):
                await _first([jobs.work(self._queues, partial(self._drive, jobs)), self._keep_up(jobs)])

    @property
    def _queues(self) -> Iterable[str]:
        for target in self._runner.executors:
            yield target.lower()
        if any(executor.is_local for executor in self._runner.executors.values()):
            yield self._machine.id.hex  # see queue_of in jobs.sql

    # Driving

    async def _drive(self, jobs: Jobs, id_: DeploymentId, home: Home | None) -> None:
        """Returns when *id_* is over; whatever else it comes to, the job is handed on."""
        if id_ in self._drives:  # this worker was taken for stalled, and has got its own job again
            await asyncio.wait([self._drives[id_]])
            return
        self._drives[id_] = _current_task()
        try:
            if home is not None:
                await self._settle(jobs, id_, home)
            await self._carry_out(id_)
        except (DeploymentNotFound, DeploymentNotAdmitted, DeploymentOver) as refusal:
            logger.info("Deployment %(deployment)s is not run here: %(reason)s", {"deployment": id_, "reason": refusal})
        except Fenced:
            # Whoever drives it has the job now. It mustn't be said to be done before the deployment is.
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

    async def _settle(self, jobs: Jobs, id_: DeploymentId, home: Home) -> None:
        """Raises `WrongMachine` if the deployment's processes are another machine's."""
        if home.machine != self._machine.id:
            raise WrongMachine(f"deployment {id_} is carried out on machine {home.machine}")
        if home.lost is not None:
            text = f"the machine {home.lost} is gone: this step is begun anew on {self._machine.name}"
            deployment = await self._load(id_)
            assert deployment.environment is not None
            for step in deployment.running:
                await retry(partial(self._begin_anew, id_, step, text))
            await retry(partial(jobs.clear_lost, deployment.environment))

    async def _begin_anew(self, id_: DeploymentId, step: Step, text: str) -> None:
        await self._outputs.reset_offset(id_, step.service, step.phase, step.attempt)
        await self._note(id_, step, text)

    async def _keep_up(self, jobs: Jobs) -> None:
        """Gives signs of life, and hands on what others don't do any more."""
        while True:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                if await jobs.heartbeat():
                    raise MachineReplaced
                handed_on = await jobs.release_stalled()
            self._machine.live()
            for id_, machine in handed_on:
                if machine is None:
                    logger.warning(
                        "The worker of deployment %(deployment)s is stalled; another worker resumes it",
                        {"deployment": id_},
                    )
                else:
                    logger.warning(
                        "The worker of deployment %(deployment)s is stalled; it waits for the machine %(machine)s",
                        {"deployment": id_, "machine": machine},
                    )
                    await self._tell_to_wait(id_, machine)
            await asyncio.sleep(HEARTBEAT)

    async def _tell_to_wait(self, id_: DeploymentId, machine: str) -> None:
        text = f"the machine {machine} does not answer: this step waits for it, for {self._gone:g} s at most"
        for step in (await self._load(id_)).running:
            await self._note(id_, step, text)

    async def _note(self, id_: DeploymentId, step: Step, text: str) -> None:
        await self._outputs.append(id_, step.service, step.phase, step.attempt, [text], LineKind.NOTE)

    # Tidying up

    async def _sweep(self, jobs: Jobs, position: int) -> None:
        """Stops the processes that no pipeline and no plan holds, and those that are on another machine by now.

        The other targets are all workers' own: there nobody may sweep while others deploy.
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
            work = self._leftovers.after(recorded)
            if work is not None:
                task = asyncio.create_task(clean_up(work))
                self._tidying.add(task)
                task.add_done_callback(self._tidying.discard)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def _first(works: Collection[Coroutine[Any, Any, None]]) -> None:
    """Returns when the first of *works* does, or raises what it raises; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
