"""The namespaces of environments in a cluster."""

import asyncio
from collections import defaultdict
from uuid import UUID

from runner.targets.kubernetes import label
from runner.targets.kubernetes.cluster import Cluster


class Namespaces:
    """The namespaces in *cluster*: one for each environment, or the *given* one, which must exist, for all.

    *owner* is the id of this server's data folder.
    """

    def __init__(self, cluster: Cluster, owner: UUID, given: str | None) -> None:
        self._cluster, self._owner, self._given = cluster, owner, given
        self._known: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, environment: UUID) -> str:
        return self._given or label.namespace(environment)

    def paths(self, kind: str) -> str:
        """Return the path of all objects of a *kind*, which has a place for a namespace."""
        return kind.replace("/namespaces/{}", "") if self._given is None else kind.format(self._given)

    async def ensure(self, environment: UUID) -> None:
        """Create the namespace of *environment*, unless it is a given one, or this server has done so."""
        namespace = self.of(environment)
        async with self._locks[namespace]:  # services of one stage begin at once
            if self._given is None and namespace not in self._known:
                labels = {
                    label.MANAGED: "stageline",
                    label.ENVIRONMENT: str(environment),
                    label.OWNER: str(self._owner),
                }
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
                await self._cluster.create("/api/v1/namespaces", body)
                self._known.add(namespace)

    def forget(self, environment: UUID) -> bool:
        """Forget that the namespace exists, since a request there found none; return whether it may be created."""
        self._known.discard(self.of(environment))
        return self._given is None
