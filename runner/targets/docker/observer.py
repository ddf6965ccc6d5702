"""
The observer of what runs on an engine after its deployment. It follows the engine's events.

The engine restarts containers by its own policy, also while no server runs. The observer counts the ends, runs the
checks of specifications, restarts what is unhealthy, and gives up what ends too often. All it knows is on the engine
and in the log, so any number of observers may follow one engine: they report the same.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from domain.instance import InstanceExit, InstanceStatus
from domain.spec import Restart, ServiceType
from runner.mask import Mask
from runner.targets.contract import OpenSecrets, StepFailed
from runner.targets.docker import health, label
from runner.targets.docker.container import ListedContainer, moment
from runner.targets.docker.engine import EngineError, EngineUnavailable
from runner.targets.docker.event import ACTIONS, EngineEvent, Info
from runner.targets.docker.health import ContainerInstance
from runner.targets.docker.instance import Instances
from runner.targets.docker.observation import Observation
from runner.targets.health import watch
from runner.targets.instance import LOOK, DeployedInstances, Report, absent, report_lost
from runner.targets.outage import PAUSE

REMOVED = "somebody removed its container from the engine"
ABSENT = "its container is not on the engine any more"

logger = logging.getLogger(__name__)


class Observer:
    """The observer of *instances*; *deployed* says what the log knows."""

    def __init__(
        self,
        instances: Instances,
        deployed: DeployedInstances,
        open_secrets: OpenSecrets | None = None,
    ) -> None:
        self._engine, self._instances, self._deployed = instances.engine, instances, deployed
        self._open_secrets = open_secrets
        self._watched: dict[str, Observation] = {}
        self._checks: dict[str, tuple[str, asyncio.Task[None]]] = {}  # with the start for which each runs
        self._exits: dict[str, InstanceExit] = {}
        self._since = 1  # the time up to which events were seen, in seconds
        self._report: Report = lambda environment, report: None
        self._is_away = False

    async def run(self, report: Report) -> None:
        """Observe until cancelled; *report* is called with each instance at first, and after each change."""
        self._report = report
        try:
            while True:
                try:
                    await self._follow()
                except EngineUnavailable as error:
                    if not self._is_away:
                        logger.warning("Instances are not observed: %(reason)s", {"reason": error})
                    self._is_away = True
                except EngineError as error:
                    logger.warning("Observing instances failed; retrying: %(reason)s", {"reason": error.message})
                self._forget()
                await asyncio.sleep(PAUSE)
        finally:
            self._forget()

    def _forget(self) -> None:
        for id_ in list(self._watched):
            self._drop(id_)

    async def _follow(self) -> None:
        """Learn of past ends, look at all containers, and follow new events until the engine goes away."""
        filters = {
            "type": ["container"],
            "event": list(ACTIONS),
            "label": ["stageline.phase=deploy", label.ENVIRONMENT],
        }
        info = await self._engine.get("/info", Info)
        until = f"{moment(info.system_time).timestamp():.6f}"
        async with self._engine.events(filters=filters, since=self._since, until=until) as past:
            async for line in past:
                self._learn(msgspec.json.decode(line, type=EngineEvent))
        async with self._engine.events(filters=filters, since=until) as events:
            self._is_away = False
            for listed in await self._list():
                await self._look(listed.id)
            comparing = asyncio.create_task(self._compare())
            try:
                async for line in events:
                    event = msgspec.json.decode(line, type=EngineEvent)
                    self._learn(event)
                    self._since = max(self._since, event.nanoseconds // 10**9)
                    if event.action == "destroy":
                        self._lose(event.actor.id)
                    else:
                        await self._look(event.actor.id)
            finally:
                comparing.cancel()
                await asyncio.wait([comparing])
        raise EngineUnavailable(f"the Docker engine at {self._engine.address.text} ended its events")

    def _learn(self, event: EngineEvent) -> None:
        if event.exit is not None:
            self._exits[event.actor.id] = event.exit

    async def _list(self) -> list[ListedContainer]:
        filters = {"label": ["stageline.phase=deploy", label.ENVIRONMENT]}
        return await self._instances.list(filters)

    async def _look(self, id_: str) -> None:
        """Look at a container, and watch it from when it was found healthy until it is stopped on purpose."""
        found = await self._instances.find(id_)
        if found is None:
            return  # the event of its end is still to come
        if label.TYPE not in found.labels or found.request.type is ServiceType.JOB:
            return
        if not await self._instances.is_settled(found):
            self._drop(id_)
            return
        environment, service = found.request.environment, found.request.service
        observation = self._watched.get(id_)
        if observation is None:
            watched = await self._deployed.watched(environment)
            if watched is None:
                return  # of another Stageline
            known = next((each for key, each in watched.known.items() if key == service), None)
            observation = self._watched[id_] = Observation(found, known)
        observation.look(found, self._exits.pop(id_, None), time.monotonic())
        if observation.status is InstanceStatus.GIVEN_UP:
            self._drop(id_)
            await self._instances.give_up(found)
            self._tell(observation)
            return
        self._tell(observation)
        self._check_from(observation)
        await self._heed_image(observation)

    def _tell(self, observation: Observation) -> None:
        self._report(observation.request.environment, observation.report)

    def _change(self, observation: Observation, status: InstanceStatus, problem: str | None = None) -> None:
        observation.change(status, problem)
        self._tell(observation)

    def _drop(self, id_: str) -> None:
        self._watched.pop(id_, None)
        _, check = self._checks.pop(id_, ("", None))
        if check is not None and check is not asyncio.current_task():
            check.cancel()

    def _lose(self, id_: str) -> None:
        """Report that a container which was not stopped on purpose is gone."""
        observation = self._watched.get(id_)
        self._drop(id_)
        self._exits.pop(id_, None)
        if observation is not None:
            report = msgspec.structs.replace(
                observation.report, status=InstanceStatus.LOST, problem=REMOVED, at=datetime.now(UTC)
            )
            self._report(observation.request.environment, report)

    # Health

    def _check_from(self, observation: Observation) -> None:
        """Check the health of a container from its start on, until it ends."""
        id_, state = observation.container.id, observation.container.state
        began, check = self._checks.get(id_, ("", None))
        is_over = not (state.runs or observation.is_being_restarted) or (state.runs and began != state.started_at)
        if check is not None and is_over:
            check.cancel()
            del self._checks[id_]
            check = None
        if check is None and state.runs:
            task = asyncio.create_task(self._guarded(self._check, observation))
            self._checks[id_] = state.started_at, task

    async def _guarded(self, work: Callable[[Observation], Awaitable[None]], observation: Observation) -> None:
        try:
            await work(observation)
        except (EngineError, EngineUnavailable) as error:  # the events say what became of it
            logger.debug("A check of an instance ended: %(reason)s", {"reason": error})
        except Exception:
            logger.exception("Checking an instance failed", {"container": observation.container.id})

    async def _check(self, observation: Observation) -> None:
        request, container = observation.request, observation.container
        try:
            if self._open_secrets is not None:
                request = await self._open_secrets(request)
        except StepFailed as failure:  # it runs, and nothing says that it is ill
            logger.warning("The health of an instance is not checked: %(why)s", {"why": failure.reason})
            return
        mask = Mask(request.secrets)
        if observation.status is InstanceStatus.RESTARTING:
            try:
                await health.wait_until_up(self._engine, container, request)
            except StepFailed as failure:
                await self._be_unhealthy(observation, mask.text(failure.reason))
            else:
                self._change(observation, InstanceStatus.RUNNING)
        if request.spec.health is not None:
            probe = ContainerInstance(self._engine, container.id, request)
            async for problem in watch(request.spec.health, lambda: probe):
                if problem is not None:
                    await self._be_unhealthy(observation, mask.text(problem))
                elif observation.status is not InstanceStatus.RUNNING:
                    self._change(observation, InstanceStatus.RUNNING)

    async def _heed_image(self, observation: Observation) -> None:
        """Take over what the engine says of the image's own check."""
        state = observation.container.state
        if state.health is None or not state.runs or observation.request.spec.health is not None:
            return
        if state.health.status == "unhealthy" and observation.status is InstanceStatus.RUNNING:
            await self._be_unhealthy(observation, "the health check of the image failed")
        elif state.health.status == "healthy" and observation.status is InstanceStatus.UNHEALTHY:
            self._change(observation, InstanceStatus.RUNNING)

    async def _be_unhealthy(self, observation: Observation, problem: str) -> None:
        """Restart the unhealthy instance, if its policy starts it again and nobody else has."""
        if observation.status is not InstanceStatus.UNHEALTHY:
            self._change(observation, InstanceStatus.UNHEALTHY, problem)
        if observation.request.spec.restart is Restart.NO:
            return
        container = observation.container
        now = await self._instances.find(container.id)
        if now is None or now.state.started_at != container.state.started_at or not now.is_restarted:
            return
        observation.is_being_restarted = True
        try:
            await self._engine.restart(container.id)
        finally:
            observation.is_being_restarted = False

    # Missing containers

    async def _compare(self) -> None:
        """Report, again and again, instances that run as far as deployments know, and whose containers are gone."""
        while True:
            try:
                before = await self._deployed.running()
                there = {_key(each.labels) for each in await self._list()}
                after = await self._deployed.running()
                for environment, instance in absent(before, after, there):
                    await report_lost(self._deployed, self._report, environment, instance, ABSENT)
            except (EngineError, EngineUnavailable):
                pass  # `_follow` hears of it, too
            except Exception:
                logger.exception("Comparing what runs with what was deployed failed")
            await asyncio.sleep(LOOK)


def _key(labels: label.Labels) -> tuple[UUID, UUID, UUID]:
    return UUID(labels[label.ENVIRONMENT]), UUID(labels[label.SERVICE]), UUID(labels[label.DEPLOYMENT])
