"""The place where an attempt runs: the part of a cluster that an environment has, seen and changed."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import msgspec
from msgspec import Struct

from domain import name as names
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes.cluster import Cluster, ClusterError
from runner.targets.kubernetes.model import Event, Pod, Workload
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.view import View

MARGIN = 30.0
"""Time that a cluster has for ending Pods beyond their grace, in seconds."""


class Place(Struct, frozen=True):
    """Where an attempt runs: the *view* of an environment in *namespace* of *cluster*; *owner* is whose it is."""

    cluster: Cluster
    view: View
    namespace: str
    owner: UUID

    async def apply(self, path: str, body: workload.Object, output: StepOutput | None = None) -> bytes:
        """Apply *body*, also against the changes of others, of which a note is stored; raise `StepFailed`."""
        try:
            return await self.cluster.apply(path, body)
        except ClusterError as error:
            if not error.is_conflict:
                raise
            found = await self.cluster.find(path, Workload)
            labels = body["metadata"]["labels"]
            if found is not None and found.metadata.labels.get(label.SERVICE) != labels[label.SERVICE]:
                raise StepFailed(f"{body['kind']} {body['metadata']['name']} belongs to somebody else") from None
            if output is not None:
                await output.note(f"somebody has changed it: {error.message}; it is set again as specified")
            return await self.cluster.apply(path, body, force=True)

    async def apply_service(self, request: StepRequest, output: StepOutput | None = None) -> None:
        """Apply the Service, and what the Pods of *request* need."""
        body = workload.service(request, self.owner)
        if body is not None:
            path = f"{workload.SERVICES.format(self.namespace)}/{body['metadata']['name']}"
            await self.apply(path, body, output)

    async def apply_workload(self, record: Record, output: StepOutput | None = None) -> None:
        """Apply the workload of *record*, and see it in the view at once."""
        path = workload.path(record.request, self.namespace)
        applied = await self.apply(path, workload.workload(record, self.owner), output)
        stateful = workload.is_stateful(record.request)
        known = self.view.stateful_sets if stateful else self.view.deployments
        known[names.host(record.request.name)] = msgspec.json.decode(applied, type=Workload)
        self.view.notify()

    def pods(self, service: UUID) -> list[Pod]:
        return [pod for pod in self.view.pods.values() if pod.metadata.labels.get(label.SERVICE) == str(service)]

    def workloads(self, service: UUID) -> Iterable[tuple[str, Workload]]:
        """Yield the workloads of *service*, each with the path of its kind."""
        for kind, known in (
            (workload.DEPLOYMENTS, self.view.deployments),
            (workload.STATEFUL_SETS, self.view.stateful_sets),
        ):
            for each in known.values():
                if each.metadata.labels.get(label.SERVICE) == str(service):
                    yield kind.format(self.namespace), each

    async def until_ended(self, service: UUID, attempt: str | None, grace: float, *, others: bool = False) -> list[str]:
        """Wait until no Pod of *attempt* is left, with *others* none but of it; return those left when it is late."""

        def left() -> list[str]:
            return [
                pod.metadata.name
                for pod in self.pods(service)
                if not pod.has_ended
                and (attempt is None or (pod.metadata.labels.get(label.ATTEMPT) == attempt) is not others)
            ]

        try:
            async with asyncio.timeout(grace + MARGIN):
                await self.view.until(lambda: None if left() else True)
        except TimeoutError:
            return left()
        return []

    async def events(self, uid: str) -> list[Event]:
        """Return the events of the object *uid*, oldest first: an earlier one may have had its name."""
        path = workload.EVENTS.format(self.namespace)
        found, _ = await self.cluster.list(path, Event, fieldSelector=f"involvedObject.uid={uid}")
        return sorted(found, key=lambda event: int(event.metadata.resource_version or 0))
