"""
The observer of the instances in a cluster. It follows the cluster's Pods, workloads and Services.

The cluster restarts containers by itself, and replaces Pods that are gone. The observer counts their ends and reports
the status of each instance. It keeps no state of its own beside the cluster and the log, so any number of observers may
follow one cluster: they report the same.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from domain.instance import InstanceIdentity, InstanceStatus
from runner.targets.instance import LOOK, DeployedInstances, Report, ServiceKey, absent, report_lost
from runner.targets.kubernetes import drift, label, reason, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.model import Event, Live, Metadata, Pod, Workload
from runner.targets.kubernetes.observation import Observation
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.rollout import is_settled
from runner.targets.kubernetes.watch import PAUSE, Watch

PACE = 0.1
"""Time in which changes are gathered before a look at them, in seconds."""

TICK = 0.5
"""Time between two looks at instances that are not up, in seconds."""

ABSENT = "its workload is not in the cluster any more"

logger = logging.getLogger(__name__)


class LiveWorkload(Struct, frozen=True):
    """A workload, with its whole specification in *live*."""

    workload: Workload
    live: Live

    @property
    def metadata(self) -> Metadata:
        return self.workload.metadata


class Owned(Struct, frozen=True):
    """A workload with its record and its Service, at *path*."""

    path: str
    workload: Workload
    live: Live
    record: Record
    service: Live | None


class ClusterObserver:
    """The observer of *cluster*, of all in *namespace* if it is given; *deployed* says what the log knows."""

    def __init__(self, cluster: Cluster, deployed: DeployedInstances, namespace: str | None = None) -> None:
        self._cluster, self._deployed = cluster, deployed
        self._watched: dict[ServiceKey, Observation] = {}
        self._brought: Mapping[ServiceKey, InstanceIdentity] = {}
        self._due: set[ServiceKey] = set()
        self._changed = asyncio.Event()
        self._is_away = False
        self._compared = 0.0

        def watch(path: str, decode: Callable[[Raw], Found]) -> Watch[Found]:
            where = path.replace("/namespaces/{}", "") if namespace is None else path.format(namespace)
            return Watch(cluster, where, label.ENVIRONMENT, decode, self._note, key=lambda metadata: metadata.uid)

        self._pods = watch(workload.PODS, partial(msgspec.json.decode, type=Pod))
        self._services = watch(workload.SERVICES, partial(msgspec.json.decode, type=Live))
        self._kinds = {kind: watch(kind, _workload) for kind in (workload.DEPLOYMENTS, workload.STATEFUL_SETS)}

    async def run(self, report: Report) -> None:
        """Observe until cancelled; *report* is called with each instance at first, and after each change."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.run())
            for watch in self._watches:
                await watch.synced.wait()
            while True:
                try:
                    if not self._is_unavailable():
                        await self._look(report)
                except (ClusterError, ClusterUnavailable) as error:  # the watches hear of it, too
                    logger.debug("Observing instances failed: %(reason)s", {"reason": error})
                    await asyncio.sleep(PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._changed.wait()
                self._changed.clear()
                await asyncio.sleep(PACE)

    @property
    def _watches(self) -> tuple[Watch[Pod] | Watch[Live] | Watch[LiveWorkload], ...]:
        return (self._pods, self._services, *self._kinds.values())

    def _note(self, metadata: Metadata | None) -> None:
        if metadata is not None and (key := _key(metadata)) is not None:
            self._due.add(key)
        self._changed.set()

    def _is_unavailable(self) -> bool:
        problem = next((watch.problem for watch in self._watches if watch.problem is not None), None)
        if problem is not None and not self._is_away:
            logger.warning("Instances are not observed: %(reason)s", {"reason": problem})
        self._is_away = problem is not None
        return self._is_away

    async def _look(self, report: Report) -> None:
        """Look at the services that are due, and compare all with what was deployed from time to time."""
        owned = self._owned()
        if time.monotonic() - self._compared >= LOOK:
            await self._compare(owned, report)
        due = self._due | {key for key, each in self._watched.items() if not each.is_settled}
        if not due:
            return
        self._due = set()
        pods: defaultdict[ServiceKey, list[Pod]] = defaultdict(list)
        for pod in self._pods.objects.values():
            if (key := _key(pod.metadata)) in due and key is not None:
                pods[key].append(pod)
        try:
            for key in sorted(due):
                await self._look_at(key, owned.get(key), pods[key], report)
        except BaseException:
            self._due |= due  # they are looked at again
            raise

    def _owned(self) -> dict[ServiceKey, Owned]:
        """Return the workloads of services."""
        found: dict[ServiceKey, Owned] = {}
        services = {_key(each.metadata): each for each in self._services.objects.values()}
        for kind, watch in self._kinds.items():
            for each in watch.objects.values():
                record = records.of_workload(each.metadata.annotations)
                if record is not None:
                    path = f"{kind.format(each.metadata.namespace)}/{each.metadata.name}"
                    key = record.request.environment, record.request.service
                    found[key] = Owned(path, each.workload, each.live, record, services.get(key))
        return found

    async def _look_at(self, key: ServiceKey, owned: Owned | None, pods: Iterable[Pod], report: Report) -> None:
        """Look at a service, and watch its instance from when it was found healthy until a deployment stops it."""
        if owned is None:
            if self._watched.pop(key, None) is not None:
                self._compared = 0.0  # a deployment has deleted it, or somebody else
            return
        record, observation = owned.record, self._watched.get(key)
        if record.is_stopped or not self._is_up(key, owned):
            self._watched.pop(key, None)
            return
        if observation is None or observation.record.attempt != record.attempt:
            watched = await self._deployed.watched(key[0])
            if watched is None:
                return  # of another Stageline
            known = next((each for service, each in watched.known.items() if service == key[1]), None)
            observation = self._watched[key] = Observation(record, known)
        own = [pod for pod in pods if pod.metadata.labels.get(label.ATTEMPT) == record.attempt]
        replicas = owned.workload.spec.replicas
        if observation.has_lost(own):
            now = await self._cluster.find(owned.path, Workload)
            latest = None if now is None else records.of_workload(now.metadata.annotations)
            if now is None or latest is None or latest.is_stopped or latest.attempt != record.attempt:
                self._watched.pop(key)  # a deployment does it, or the workload goes
                return
            replicas = now.spec.replicas
        before = observation.status
        observation.look(own, replicas)
        if observation.status is InstanceStatus.UNHEALTHY is not before:
            observation.problem = await self._problem(owned, own)
        observation.drift = drift.find(record, owned.live, owned.service)
        report(key[0], observation.report)

    def _is_up(self, key: ServiceKey, owned: Owned) -> bool:
        """Return whether the attempt was found healthy at any time, also if somebody has changed its workload since."""
        observation, brought = self._watched.get(key), self._brought.get(key)
        was_up = observation is not None and observation.record.attempt == owned.record.attempt
        was_deployed = brought is not None and brought.deployment == owned.record.request.deployment
        return was_up or was_deployed or is_settled(owned.workload, owned.record)

    async def _problem(self, owned: Owned, pods: Iterable[Pod]) -> str:
        """Return how a Pod fails its check."""
        for pod in pods:
            if not pod.is_ready and not pod.is_going:
                path = workload.EVENTS.format(pod.metadata.namespace)
                selector = f"involvedObject.uid={pod.metadata.uid}"
                events, _ = await self._cluster.list(path, Event, fieldSelector=selector)
                events.sort(key=lambda event: int(event.metadata.resource_version or 0))
                if (why := reason.of_probe(owned.record.request, events)) is not None:
                    return why
        return "its Pod is not ready"

    async def _compare(self, owned: Mapping[ServiceKey, Owned], report: Report) -> None:
        """Report instances that run as far as deployments know, and whose workloads are gone."""
        before = await self._deployed.running()
        there = await self._there()
        after = await self._deployed.running()
        for environment, instance in absent(before, after, there):
            await report_lost(self._deployed, report, environment, instance, ABSENT)
        self._due |= {key for key in after.keys() & owned.keys() if key not in self._watched}
        self._brought, self._compared = after, time.monotonic()

    async def _there(self) -> set[tuple[UUID, UUID, UUID]]:
        """Return what the cluster runs now, which the watches may not know yet."""
        found: set[tuple[UUID, UUID, UUID]] = set()
        for watch in self._kinds.values():
            for each in (await self._cluster.list(watch.path, Workload, labelSelector=label.ENVIRONMENT))[0]:
                record = records.of_workload(each.metadata.annotations)
                if record is not None:
                    request = record.request
                    found.add((request.environment, request.service, request.deployment))
        return found


Found = TypeVar("Found", Pod, Live, LiveWorkload)


def _workload(raw: Raw) -> LiveWorkload:
    return LiveWorkload(msgspec.json.decode(raw, type=Workload), msgspec.json.decode(raw, type=Live))


def _key(metadata: Metadata) -> ServiceKey | None:
    labels = metadata.labels
    try:
        return UUID(labels[label.ENVIRONMENT]), UUID(labels[label.SERVICE])
    except (KeyError, ValueError):
        return None
