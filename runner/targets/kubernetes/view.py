"""
The live view of an environment in a cluster: its Pods, workloads and verdicts, kept equal by watches.

All steps of an environment that run at once share one view. So a step needs no request to find out how it stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

import msgspec

from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.model import ConfigMap, Job, Pod, Workload
from runner.targets.kubernetes.watch import Watch

TICK = 0.5
"""Maximum time between two looks at the view, in seconds: what is awaited may depend on the time."""

T = TypeVar("T")
AnyObject = TypeVar("AnyObject", Pod, Workload, Job, ConfigMap)


class View:
    """The view of what *selector* selects in *namespace*."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str) -> None:
        self._changed = asyncio.Event()

        def watch(path: str, type: type[AnyObject], more: str = "") -> Watch[AnyObject]:
            decode = partial(msgspec.json.decode, type=type)
            return Watch(cluster, path.format(namespace), selector + more, decode, lambda _: self.notify())

        pods, jobs = watch(workload.PODS, Pod), watch(workload.JOBS, Job)
        deployments, stateful_sets = watch(workload.DEPLOYMENTS, Workload), watch(workload.STATEFUL_SETS, Workload)
        verdicts = watch(workload.CONFIG_MAPS, ConfigMap, f",{label.VERDICT}")
        self.pods, self.jobs, self.verdicts = pods.objects, jobs.objects, verdicts.objects
        self.deployments, self.stateful_sets = deployments.objects, stateful_sets.objects
        self._watches = (pods, deployments, stateful_sets, jobs, verdicts)

    async def run(self, synced: asyncio.Event) -> None:
        """Keep the view equal, until this is cancelled; set *synced* when it is complete."""
        async with asyncio.TaskGroup() as group:
            for each in self._watches:
                group.create_task(each.run())
            for each in self._watches:
                await each.synced.wait()
            synced.set()

    async def until(self, look: Callable[[], T | None], *, tick: float = TICK) -> T:
        """Return the first result of *look* that is not None; look again after each change, and from time to time.

        Raise `ClusterUnavailable` or `ClusterError` if the view can't be kept.
        """
        while True:
            for each in self._watches:
                if each.problem is not None:
                    raise each.problem
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
