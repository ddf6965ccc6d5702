"""
One attempt at the deployment of a service or a JOB: begun, followed to its end, and undone if it fails.

Each call finds in the view what an earlier one, of whichever server, has done, and does the rest.
"""

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from domain import name as names
from runner.mask import Mask
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.kubernetes import label, verdict, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import ClusterError
from runner.targets.kubernetes.follower import Follower
from runner.targets.kubernetes.model import Job
from runner.targets.kubernetes.place import Place
from runner.targets.kubernetes.pod_log import PodLog
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.rollout import is_settled
from runner.targets.kubernetes.state import AttemptState
from runner.targets.log import ContainerLog

LAST_WORDS = 200
"""Maximum length of the last line of output in a reason, in characters."""


class Attempt:
    """The attempt of *request* at *place*, whose output goes to *output*."""

    def __init__(self, place: Place, request: StepRequest, output: StepOutput) -> None:
        self.state = AttemptState(place, request)
        self._place, self._request, self._output = place, request, output
        self._view, self._digest = place.view, self.state.digest
        self._log = PodLog(self.state)
        mask = Mask(request.secrets)
        self.follower = Follower(self.state, output, ContainerLog(self._log.source, output, mask))

    # Beginning

    async def begin(self, image: str) -> None:
        """Create what the attempt needs, the workload or Job last; raise `StepFailed`."""
        request, place = self._request, self._place
        workload.check(request)
        self._check_name()
        record = records.of(request, image)
        await self._forget_earlier()
        for secret in workload.secrets(request, record, place.owner):
            await place.apply(f"{workload.SECRETS.format(place.namespace)}/{secret['metadata']['name']}", secret)
        for claim in workload.claims(request, place.owner):
            await place.cluster.create(workload.CLAIMS.format(place.namespace), claim)
        if self.state.is_job:
            path, name = workload.JOBS.format(place.namespace), label.attempt(request)
            await place.cluster.create(path, workload.job(record, place.owner))
            self._view.jobs[name] = await place.cluster.get(f"{path}/{name}", Job)
            return
        await place.apply_service(request, self._output)
        await place.apply_workload(replace(record, previous=await self._make_way()), self._output)

    def _check_name(self) -> None:
        """Raise `StepFailed` if another service of the environment still has the name: it was renamed or removed."""
        name = names.host(self._request.name)
        for known in (self._view.deployments, self._view.stateful_sets):
            found = None if self.state.is_job else known.get(name)
            if found is not None and found.metadata.labels.get(label.SERVICE) != str(self._request.service):
                raise StepFailed(
                    f"another service still runs as {name} in namespace {self._place.namespace}: deploy that one by "
                    "its new name first, or delete its instances"
                )

    async def _make_way(self) -> Record | None:
        """Return the record to which a failure leads back. Stop its instance, if that must be done first."""
        previous: Record | None = None
        for kind, found in list(self._place.workloads(self._request.service)):
            record = records.of_workload(found.metadata.annotations)
            if record is None:
                raise StepFailed(f"workload {found.metadata.name} was not created by Stageline")
            last = replace(record, previous=None, is_settled=True) if is_settled(found, record) else record.previous
            previous = last or previous
            why = workload.stops_first(self._request)
            if why is None or record.is_stopped:
                continue
            if last is not None:
                await self._output.note(f"{why}; the old instance is stopped before the new one starts")
            if workload.path(self._request, self._place.namespace) != f"{kind}/{found.metadata.name}":
                await self._place.apply_workload(replace(record, is_stopped=True))
                await self._place.until_ended(self._request.service, None, record.request.spec.stop_grace)
        return previous

    async def _forget_earlier(self) -> None:
        """Remove what ended attempts of earlier deployments left: nothing will adopt them again."""
        service, cluster = str(self._request.service), self._place.cluster
        for kind, known in (
            (workload.JOBS, list(self._view.jobs.values())),
            (workload.CONFIG_MAPS, list(self._view.verdicts.values())),
        ):
            for found in known:
                labels = found.metadata.labels
                is_earlier = labels.get(label.NUMBER) != str(self._request.number)
                if labels.get(label.SERVICE) == service and is_earlier:
                    await cluster.delete(f"{kind.format(self._place.namespace)}/{found.metadata.name}")

    # Ending

    async def complete(self) -> None:
        """Remove what the new instance replaces, and wait until it has ended. A JOB needs its Secrets no more."""
        request, place = self._request, self._place
        if self.state.is_job:
            await self._remove_secrets(workload.own_secret_names(request))
            return
        found = self.state.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        for kind, other in list(place.workloads(request.service)):
            if not self.state.is_own(other):
                await place.cluster.delete(f"{kind}/{other.metadata.name}")
                if other.metadata.name != names.host(request.name):
                    await place.cluster.delete(f"{workload.SERVICES.format(place.namespace)}/{other.metadata.name}")
        old = None if record is None else record.previous
        if old is not None:
            grace = old.request.spec.stop_grace
            left = await place.until_ended(request.service, self._digest, grace, others=True)
            if left:
                await self._output.note(f"Pods of the old instance have not ended yet: {', '.join(left)}")
            await self._remove_secrets(workload.secret_names(old))

    async def fail(self, why: str) -> str:
        """Record why the attempt has failed, undo it, and return the recorded reason."""
        found = self._view.verdicts.get(verdict.name(self._request))
        if found is None:
            log = await self._log.read()
            if "ended with exit code" in why and (last := log.decode(errors="replace").strip().splitlines()[-1:]):
                why = f"{why}; it last printed: {last[0].strip()[:LAST_WORDS]}"
            place, own = self._place, self.state.workload
            record = None if own is None else records.of_workload(own.metadata.annotations)
            old = None if record is None or workload.stops_first(self._request) is None else record.previous
            old = None if old is not None and old.is_stopped else old
            try:
                found = await verdict.record(place.cluster, place.namespace, self._request, place.owner, why, log, old)
            except ClusterError:  # the cluster lets us do nothing here, so nothing has begun
                return Mask(self._request.secrets).text(why)
            self._view.verdicts[found.metadata.name] = found
            self._view.notify()
        await self.undo()
        await verdict.show(found, self._output, Mask(self._request.secrets))
        return found.data[verdict.REASON]

    async def undo(self) -> None:
        """Lead back to what ran before the attempt, and wait until nothing of the attempt runs."""
        place, request = self._place, self._request
        job, secrets = label.attempt(request), set(workload.own_secret_names(request))
        if job in self._view.jobs:
            await place.cluster.delete(f"{workload.JOBS.format(place.namespace)}/{job}")
        for kind, found in list(place.workloads(request.service)):
            if not self.state.is_own(found):
                continue
            record = records.of_workload(found.metadata.annotations)
            old = None if record is None else record.previous
            if old is not None:
                await place.apply_service(old.request)
                await place.apply_workload(old)
            if old is None or workload.path(old.request, place.namespace) != f"{kind}/{found.metadata.name}":
                await place.cluster.delete(f"{kind}/{found.metadata.name}")
            if record is not None:
                secrets.update(workload.secret_names(record))
        await self._remove_secrets(secrets)
        unblocking = asyncio.create_task(self._unblock_old())
        try:
            await place.until_ended(request.service, self._digest, request.spec.stop_grace)
        finally:
            unblocking.cancel()
            await asyncio.gather(unblocking, return_exceptions=True)

    async def _unblock_old(self) -> None:
        for _, found in self._place.workloads(self._request.service):
            record = records.of_workload(found.metadata.annotations)
            if record is not None and workload.is_stateful(record.request):
                await self.follower.unblock(record)

    async def _remove_secrets(self, secrets: Iterable[str]) -> None:
        for name in secrets:
            await self._place.cluster.delete(f"{workload.SECRETS.format(self._place.namespace)}/{name}")
