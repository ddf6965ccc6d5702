"""
The live view of an environment in a cluster: its Pods, workloads and verdicts, kept equal by watches.

All steps of an environment that run at once share one view. So a step needs no request to find out how it stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.model import ConfigMap, Job, Metadata, Named, Pod, Workload

PATIENCE = 240
"""Time after which a cluster ends a watch, in seconds."""

PAUSE = 0.5
"""Time between two tries to reach the cluster, in seconds."""

TICK = 0.5
"""Maximum time between two looks at the view, in seconds: what is awaited may depend on the time."""

T = TypeVar("T")


class Bookmark(Struct, frozen=True):
    code: int = 0
    message: str = ""


class View:
    """The view of what *selector* selects in *namespace*."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str) -> None:
        self._cluster, self._selector = cluster, selector
        self.pods: dict[str, Pod] = {}
        self.deployments: dict[str, Workload] = {}
        self.stateful_sets: dict[str, Workload] = {}
        self.jobs: dict[str, Job] = {}
        self.verdicts: dict[str, ConfigMap] = {}
        self._kinds: list[tuple[str, dict[str, Any], type[Any], str]] = [
            (workload.PODS.format(namespace), self.pods, Pod, selector),
            (workload.DEPLOYMENTS.format(namespace), self.deployments, Workload, selector),
            (workload.STATEFUL_SETS.format(namespace), self.stateful_sets, Workload, selector),
            (workload.JOBS.format(namespace), self.jobs, Job, selector),
            (workload.CONFIG_MAPS.format(namespace), self.verdicts, ConfigMap, f"{selector},{label.VERDICT}"),
        ]
        self._changed = asyncio.Event()
        self._problem: ClusterError | ClusterUnavailable | None = None

    async def run(self, synced: asyncio.Event) -> None:
        """Keep the view equal, until this is cancelled; set *synced* when it is complete."""
        waits = [asyncio.Event() for _ in self._kinds]
        async with asyncio.TaskGroup() as watches:
            for kind, done in zip(self._kinds, waits, strict=True):
                watches.create_task(self._follow(*kind, done))
            for done in waits:
                await done.wait()
            synced.set()

    async def until(self, look: Callable[[], T | None], *, tick: float = TICK) -> T:
        """Return the first result of *look* that is not None; look again after each change, and from time to time.

        Raise `ClusterUnavailable` or `ClusterError` if the view can't be kept.
        """
        while True:
            if self._problem is not None:
                raise self._problem
            changed = self._changed
            if (found := look()) is not None:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await changed.wait()

    def notify(self) -> None:
        """Let everyone look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(
        self, path: str, objects: dict[str, Any], type: type[Any], selector: str, done: asyncio.Event
    ) -> None:
        while True:
            try:
                found, version = await self._cluster.list(path, type, labelSelector=selector)
                objects.clear()
                objects.update({each.metadata.name: each for each in found})
                self._problem = None
                done.set()
                self.notify()
                await self._watch(path, objects, type, selector, version)
            except (ClusterUnavailable, ClusterError) as error:
                if not isinstance(error, ClusterError) or error.status != 410:  # gone: the list is begun anew
                    self._problem = error
                    done.set()
                    self.notify()
                    await asyncio.sleep(PAUSE)

    async def _watch(self, path: str, objects: dict[str, Any], type: type[Any], selector: str, version: str) -> None:
        """Follow the changes after *version*, until the cluster can't go on from where it was."""
        while True:
            query = {"labelSelector": selector, "resourceVersion": version, "timeoutSeconds": PATIENCE}
            async with self._cluster.watch(path, **query) as changes:
                async for change in changes:
                    if change.type == "ERROR":
                        status = msgspec.json.decode(change.object, type=Bookmark)
                        raise ClusterError(status.code, "Expired", status.message)
                    metadata = msgspec.json.decode(change.object, type=Named).metadata
                    version = metadata.resource_version
                    known = objects.get(metadata.name)
                    if known is not None and is_older(metadata, known.metadata):
                        continue  # we have applied it meanwhile
                    if change.type == "DELETED":
                        objects.pop(metadata.name, None)
                    else:
                        objects[metadata.name] = msgspec.json.decode(change.object, type=type)
                    self.notify()


def is_older(one: Metadata, other: Metadata) -> bool:
    """Return whether *one* is an earlier version of an object than *other*. All servers count versions in numbers."""
    return int(one.resource_version or 0) < int(other.resource_version or 0)


class Views:
    """The views of *cluster*, one for each environment with a running step."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._open: dict[UUID, tuple[View, asyncio.Event, asyncio.Task[None]]] = {}
        self._users: dict[UUID, int] = {}

    @asynccontextmanager
    async def of(self, environment: UUID, namespace: str) -> AsyncIterator[View]:
        """Yield the complete view of *environment*; raise `ClusterUnavailable` or `ClusterError`."""
        if environment not in self._open:
            view, synced = View(self._cluster, namespace, label.selector(environment=environment)), asyncio.Event()
            self._open[environment] = view, synced, asyncio.create_task(view.run(synced))
        view, synced, running = self._open[environment]
        self._users[environment] = self._users.get(environment, 0) + 1
        try:
            await synced.wait()
            await view.until(lambda: True)
            yield view
        finally:
            self._users[environment] -= 1
            if not self._users[environment]:
                del self._users[environment], self._open[environment]
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
