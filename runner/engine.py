"""
The engines that run deployments.

Between its start and its stop, an engine runs every admitted deployment. Deployments of different environments run
concurrently; the queue of an environment admits one at a time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from itertools import chain
from typing import Any, Protocol

from domain import deployment as deployments
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentAdmitted, DeploymentId
from domain.errors import DeploymentNotAdmitted, DeploymentNotFound, DeploymentOver, Fenced
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.leftover import Leftovers
from runner.retry import backoff, follow
from runner.runner import Runner
from runner.targets.contract import StepFailed, TargetRefused, TargetUnavailable
from store.log import RecordedEvent

logger = logging.getLogger(__name__)

OpenDeployments = Callable[[int], Awaitable[Collection[DeploymentId]]]
"""Return the unfinished deployments, admitted or queued, at a position of the log or later."""

StandingServices = Callable[[int], Awaitable[Mapping[EnvironmentId, Collection[ServiceId]]]]
"""Return the services in the pipeline of each environment, at a position of the log or later."""


class Engine(Protocol):
    """Something that runs deployments between its start and its stop.

    *swept* is set when the services have been stopped that nobody needs on this machine. *fault* is the reason for
    which it runs no deployments at the moment, or None.
    """

    swept: asyncio.Event
    fault: str | None

    async def start(self) -> None:
        """Resume the deployments of an earlier server, and from then on run each admitted one."""
        ...

    async def stop(self) -> None:
        """Stop watching. Running steps continue, and the next server resumes them."""
        ...


class LocalEngine:
    """The engine of a single server: it runs deployments in the server's process, and stops removed services.

    It lists the open deployments once, so a start takes no longer when the log has grown. Then it follows the log.
    """

    def __init__(self, runner: Runner, open_deployments: OpenDeployments, services: StandingServices) -> None:
        self._runner = runner
        self._open_deployments, self._services = open_deployments, services
        self._leftovers = Leftovers(runner.handler, runner.executors)
        self.swept = asyncio.Event()
        self.fault: str | None = None
        self._drives: dict[DeploymentId, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        position = await self._runner.handler.log.position()
        open_ = await self._open_deployments(position)
        admitted = [deployment for deployment in open_ if await self._is_admitted(deployment)]
        for deployment in admitted:
            self._drive(deployment)
        self._spawn(self._follow(position, open_))

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, position: int, open_: Collection[DeploymentId]) -> None:
        # The sweep knows the services at *position*, so no newer deployment may begin before it ends.
        await clean_up(self._sweep(position, open_))
        self.swept.set()
        for pause in backoff():
            self.fault = None
            try:
                async for batch in follow(self._runner.handler.log, position):
                    for recorded in batch:
                        self._react(recorded)
                        position = recorded.position
                return
            except Exception as error:
                self.fault = f"{type(error).__name__}: {error}"
                logger.exception(
                    "Following the log after position %(position)d failed; retrying in %(pause).2g s",
                    {"position": position, "pause": pause},
                )
                await asyncio.sleep(pause)

    def _react(self, recorded: RecordedEvent) -> None:
        if isinstance(recorded.event, DeploymentAdmitted):
            self._drive(recorded.event.deployment)
        elif cleanup := self._leftovers.after(recorded):
            self._spawn(clean_up(cleanup))

    async def _is_admitted(self, id_: DeploymentId) -> bool:
        states = self._runner.handler.states
        environment = (await states.load(deployments.decider, id_)).state.environment
        if environment is None:
            return False
        admitted = (await states.load(queues.decider, queues.stream(environment))).state.admitted
        return admitted is not None and admitted.deployment == id_

    def _drive(self, deployment: DeploymentId) -> None:
        if deployment not in self._drives:
            self._drives[deployment] = task = self._spawn(self._carry_out(deployment))
            task.add_done_callback(lambda _: self._drives.pop(deployment))

    async def _carry_out(self, deployment: DeploymentId) -> None:
        for pause in backoff():
            try:
                await self._runner.drive(deployment)
            except (DeploymentNotFound, DeploymentNotAdmitted, DeploymentOver, Fenced) as refusal:
                logger.info(
                    "Deployment %(deployment)s is not run here: %(reason)s",
                    {"deployment": deployment, "reason": refusal},
                )
                return
            except Exception:
                logger.exception(
                    "Deployment %(deployment)s failed to run; retrying in %(pause).2g s",
                    {"deployment": deployment, "pause": pause},
                )
                await asyncio.sleep(pause)
            else:
                return

    async def _sweep(self, position: int, open_: Collection[DeploymentId]) -> None:
        standing = chain.from_iterable((await self._services(position)).values())
        await self._leftovers.sweep({*standing, *await self._leftovers.planned(open_)})

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def clean_up(cleanup: Coroutine[Any, Any, None]) -> None:
    """Await *cleanup*, and log its failure; the sweep of the next start does the rest."""
    try:
        await cleanup
    except (StepFailed, TargetRefused, TargetUnavailable) as error:
        logger.warning("Stopping unneeded services failed; the next start stops them: %(reason)s", {"reason": error})
    except Exception:
        logger.exception("Stopping unneeded services failed; the next start stops them")
