"""The objects of one kind, kept equal to those in a cluster by a watch."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from runner.targets.kubernetes.cluster import Cluster, ClusterError, ClusterUnavailable
from runner.targets.kubernetes.model import Metadata, Named

PATIENCE = 240
"""Time after which a cluster ends a watch, in seconds."""

PAUSE = 0.5
"""Time between two tries to reach the cluster, in seconds."""


class _Object(Protocol):
    @property
    def metadata(self) -> Metadata: ...


T = TypeVar("T", bound=_Object)


class _Expired(Struct, frozen=True):
    code: int = 0
    message: str = ""


def by_name(metadata: Metadata) -> str:
    return metadata.name


class Watch(Generic[T]):
    """The objects at *path* that *selector* selects, each as *decode* reads it.

    *changed* is called with the metadata of each object that has changed, and with None after a list, and
    if the cluster is unavailable.
    *key* gives an object's key in `objects`.
    """

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        selector: str,
        decode: Callable[[Raw], T],
        changed: Callable[[Metadata | None], None],
        key: Callable[[Metadata], str] = by_name,
    ) -> None:
        self._cluster, self.path, self._selector, self._decode = cluster, path, selector, decode
        self._changed, self._key = changed, key
        self.objects: dict[str, T] = {}
        self.problem: ClusterError | ClusterUnavailable | None = None
        """The error for which the objects are not equal at the moment; None if they are."""
        self.synced = asyncio.Event()
        """Set once the objects were read, or could not be read."""

    async def run(self) -> None:
        """Keep the objects equal, until this is cancelled."""
        while True:
            try:
                version = await self._list()
                await self._watch(version)
            except (ClusterUnavailable, ClusterError) as error:
                if isinstance(error, ClusterError) and error.status == 410:  # gone: the list is begun anew
                    continue
                self.problem = error
                self.synced.set()
                self._changed(None)
                await asyncio.sleep(PAUSE)

    async def _list(self) -> str:
        listed, version = await self._cluster.list(self.path, Raw, labelSelector=self._selector)
        found = [self._decode(each) for each in listed]
        before = {key: each.metadata for key, each in self.objects.items()}
        self.objects.clear()
        self.objects.update({self._key(each.metadata): each for each in found})
        after = {key: each.metadata for key, each in self.objects.items()}
        self.problem = None
        self.synced.set()
        for metadata in (before | after).values():
            self._changed(metadata)
        self._changed(None)
        return version

    async def _watch(self, version: str) -> None:
        """Follow the changes after *version*, until the cluster can't go on from where it was."""
        while True:
            query = {"labelSelector": self._selector, "resourceVersion": version, "timeoutSeconds": PATIENCE}
            async with self._cluster.watch(self.path, **query) as changes:
                async for change in changes:
                    if change.type == "ERROR":
                        status = msgspec.json.decode(change.object, type=_Expired)
                        raise ClusterError(status.code, "Expired", status.message)
                    metadata = msgspec.json.decode(change.object, type=Named).metadata
                    version = metadata.resource_version
                    known = self.objects.get(self._key(metadata))
                    if known is not None and is_older(metadata, known.metadata):
                        continue  # we have applied it meanwhile
                    if change.type == "DELETED":
                        self.objects.pop(self._key(metadata), None)
                    else:
                        self.objects[self._key(metadata)] = self._decode(change.object)
                    self._changed(metadata)


def is_older(one: Metadata, other: Metadata) -> bool:
    """Return whether *one* is an earlier version of an object than *other*. All servers count versions in numbers."""
    return int(one.resource_version or 0) < int(other.resource_version or 0)
