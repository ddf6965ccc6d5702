"""
One attempt at the deployment of a service or a JOB: begun, followed to its end, and undone if it fails.

Each call finds in the view what an earlier one, of whichever server, has done, and does the rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace

from domain import name as names
from domain.spec import ServiceType
from runner.first import first
from runner.mask import Mask
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.kubernetes import label, reason, verdict, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import ClusterError
from runner.targets.kubernetes.model import Job, Pod, Workload, seconds_since
from runner.targets.kubernetes.place import Place
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.rollout import GRACE, Overdue, Rollout, Up, is_settled
from runner.targets.log import ContainerLog

FIRST_PROBE = 3.0
"""Time that the first probe of a started container may take to be seen, beyond its own period, in seconds."""

STARTING = 2.0
"""Time within which a node says that a container has started, in seconds."""

LAST_WORDS = 200
"""Maximum length of the last line of output in a reason, in characters."""


class Attempt:
    """The attempt of *request* at *place*, whose output goes to *output*."""

    def __init__(self, place: Place, request: StepRequest, output: StepOutput) -> None:
        self._place, self._request, self._output = place, request, output
        self._view, self._digest = place.view, label.digest(request)
        self._is_job = request.type is ServiceType.JOB
        self._log = ContainerLog(self._source, output, Mask(request.secrets))

    # What is known

    @property
    def reason(self) -> str | None:
        """Why the attempt must not go on; None if it may."""
        found = self._view.verdicts.get(verdict.name(self._request))
        return None if found is None else found.data[verdict.REASON]

    @property
    def workload(self) -> Workload | None:
        """The workload that carries out the attempt."""
        return next((each for _, each in self._place.workloads(self._request.service) if self._is_own(each)), None)

    @property
    def has_begun(self) -> bool:
        return self.workload is not None or label.attempt(self._request) in self._view.jobs

    @property
    def is_settled(self) -> bool:
        """Whether the service was found healthy."""
        found = self.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        return found is not None and record is not None and is_settled(found, record)

    @property
    def pod(self) -> Pod | None:
        """The oldest Pod of the attempt."""
        own = [pod for pod in self._place.pods(self._request.service) if self._is_own(pod)]
        return min(own, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name), default=None)

    def _is_own(self, found: Workload | Pod) -> bool:
        return found.metadata.labels.get(label.ATTEMPT) == self._digest

    # Beginning

    async def begin(self, image: str) -> None:
        """Create what the attempt needs, the workload or Job last; raise `StepFailed`."""
        request, place = self._request, self._place
        workload.check(request)
        self._check_name()
        record = records.of(request, image)
        await self._forget_earlier()
        if (secret := workload.secret(request, record, place.owner)) is not None:
            await place.apply(f"{workload.SECRETS.format(place.namespace)}/{secret['metadata']['name']}", secret)
        for claim in workload.claims(request, place.owner):
            await place.cluster.create(workload.CLAIMS.format(place.namespace), claim)
        if self._is_job:
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
            found = None if self._is_job else known.get(name)
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

    # Following

    async def follow(self, image: str) -> None:
        """Follow the attempt, which runs *image*, to its good end; raise `StepFailed`."""
        waits: list[Coroutine[Any, Any, None]]
        if self._is_job:
            job = self._view.jobs.get(label.attempt(self._request))
            waits = [self._until_done(image)]
            if job is not None:
                waits.append(self._until_refused(job.metadata.uid))
            await self._log.follow(*waits)
            try:
                await self._log.copy()
            except ClusterError as error:
                await self._output.note(f"the end of its output can't be read: {error.message}")
            return
        found = self.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        if found is None or record is None:
            raise StepFailed("somebody deleted its workload")
        if self.is_settled:
            return
        waits = [self._until_up(record)]
        if workload.is_stateful(self._request):
            old = {event.metadata.resource_version for event in await self._place.events(found.metadata.uid)}
            waits += [self.unblock(record), self._until_refused(found.metadata.uid, old)]
        await self._log.follow(*waits)

    async def until_up_again(self, record: Record) -> None:
        """Wait until the instance of *record* is up again; raise `StepFailed`."""
        rollout = Rollout(replace(record, began=time.time()), is_again=True)
        waits = [self._until(rollout, record.request)]
        if workload.is_stateful(record.request):
            waits.append(self.unblock(record))
        await first(waits)

    async def _until_up(self, record: Record) -> None:
        await self._until(Rollout(record), self._request)
        if workload.is_stateful(self._request):
            path = workload.path(self._request, self._place.namespace)
            await self._place.cluster.merge(path, {"metadata": {"annotations": {label.SETTLED: self._digest}}})

    async def _until(self, rollout: Rollout, request: StepRequest) -> None:
        noted, late = 0, 0.0
        path = workload.path(request, self._place.namespace)
        is_own = label.digest(request) == self._digest

        def look() -> Up | bool | None:
            if is_own and (why := self.reason) is not None:
                raise StepFailed(why)
            found = next(
                (
                    each
                    for kind, each in self._place.workloads(request.service)
                    if f"{kind}/{each.metadata.name}" == path
                ),
                None,
            )
            up = rollout.look(found, self._place.pods(request.service), time.monotonic())
            return up or (True if len(rollout.notes) > noted else None)

        while True:
            try:
                found = await self._view.until(look)
            except Overdue as overdue:
                late = late or time.monotonic()
                if (
                    why := await self._why(overdue, request, is_last=time.monotonic() - late > FIRST_PROBE)
                ) is not None:
                    raise StepFailed(why) from None
                await asyncio.sleep(GRACE / 10)
                continue
            for note in rollout.notes[noted:]:
                await self._output.note(note)
            noted = len(rollout.notes)
            if isinstance(found, Up):
                return

    async def _why(self, overdue: Overdue, request: StepRequest, *, is_last: bool) -> str | None:
        """Return why the time is up; None if its check was not tried yet, unless this *is_last*."""
        own = [each.metadata.uid for _, each in self._place.workloads(request.service)]
        uid = overdue.pod.metadata.uid if overdue.pod is not None else "".join(own[:1])
        events = await self._place.events(uid) if uid else []
        if not overdue.is_running:
            return f"timeout after {overdue.within:g} s: {reason.of_pending(overdue.pod, events)}"
        why = reason.of_probe(request, events)
        if why is None and not is_last:
            return None
        return f"not healthy within {overdue.within:g} s: {why or 'its check did not succeed'}"

    async def _until_done(self, image: str) -> None:
        """Wait until the JOB has succeeded; raise `StepFailed`."""
        rollout = Rollout(records.of(self._request, image))
        seconds = self._request.spec.deploy_timeout
        try:
            await self._view.until(lambda: self._look_at_job(rollout))
        except Overdue as overdue:
            pod = overdue.pod
            job = self._view.jobs.get(label.attempt(self._request))
            about = pod or job
            events = [] if about is None else await self._place.events(about.metadata.uid)
            raise StepFailed(f"timeout after {seconds:g} s: {reason.of_pending(pod, events)}") from None

    def _look_at_job(self, rollout: Rollout) -> bool | None:
        if (why := self.reason) is not None:
            raise StepFailed(why)
        pod, seconds = self.pod, self._request.spec.deploy_timeout
        job = self._view.jobs.get(label.attempt(self._request))
        if job is None:
            raise StepFailed("somebody deleted the job")
        container = None if pod is None else pod.container
        if container is not None and (ended := container.state.terminated) is not None:
            if ended.exit_code == 0:
                return True
            raise StepFailed(f"the job {ended.outcome}")
        if job.failure is not None:
            raise StepFailed(f"the job failed: {job.failure.message}")
        if container is not None and (running := container.state.running) is not None:
            if seconds_since(running.started_at) >= seconds:
                raise StepFailed(f"timeout after {seconds:g} s: the job was stopped")
            return None
        if pod is not None:
            rollout.look_at(pod, time.monotonic())
        if seconds_since(job.metadata.creation_timestamp) >= seconds:
            raise Overdue(seconds, pod, is_running=False)
        return None

    async def _until_refused(self, uid: str, old: Collection[str] = ()) -> None:
        """Raise `StepFailed` if the cluster refuses to create Pods of the object *uid*; else wait for ever.

        Events of the versions *old* are of earlier attempts: the cluster counts a repeated refusal as a new version.
        """
        while True:
            await asyncio.sleep(GRACE)
            if self.pod is not None:
                await asyncio.Event().wait()
            for event in reversed(await self._place.events(uid)):
                if event.reason == "FailedCreate" and event.metadata.resource_version not in old:
                    raise StepFailed(f"Pods can't be created: {event.message}")

    async def unblock(self, record: Record) -> None:
        """Delete broken Pods of other attempts, for which a StatefulSet would wait for ever."""
        done: set[str] = set()

        def broken() -> Pod | None:
            for pod in self._place.pods(record.request.service):
                is_other = pod.metadata.labels.get(label.ATTEMPT) != record.attempt
                if is_other and not pod.is_ready and not pod.is_going and pod.metadata.uid not in done:
                    return pod
            return None

        while True:
            pod = await self._view.until(broken)
            done.add(pod.metadata.uid)
            await self._place.cluster.delete(f"{workload.PODS.format(self._place.namespace)}/{pod.metadata.name}")

    # Ending

    async def complete(self) -> None:
        """Remove what the new instance replaces, and wait until it has ended."""
        request, place = self._request, self._place
        if self._is_job:
            return
        found = self.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        for kind, other in list(place.workloads(request.service)):
            if not self._is_own(other):
                await place.cluster.delete(f"{kind}/{other.metadata.name}")
                if other.metadata.name != names.host(request.name):
                    await place.cluster.delete(f"{workload.SERVICES.format(place.namespace)}/{other.metadata.name}")
        old = None if record is None else record.previous
        if old is not None:
            grace = old.request.spec.stop_grace
            left = await place.until_ended(request.service, self._digest, grace, others=True)
            if left:
                await self._output.note(f"Pods of the old instance have not ended yet: {', '.join(left)}")
            await self._remove_secret(old)

    async def fail(self, why: str) -> str:
        """Record why the attempt has failed, undo it, and return the recorded reason."""
        found = self._view.verdicts.get(verdict.name(self._request))
        if found is None:
            log = await self._read_log()
            if "ended with exit code" in why and (last := log.decode(errors="replace").strip().splitlines()[-1:]):
                why = f"{why}; it last printed: {last[0].strip()[:LAST_WORDS]}"
            place, own = self._place, self.workload
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
        job = label.attempt(request)
        if job in self._view.jobs:
            await place.cluster.delete(f"{workload.JOBS.format(place.namespace)}/{job}")
        for kind, found in list(place.workloads(request.service)):
            if not self._is_own(found):
                continue
            record = records.of_workload(found.metadata.annotations)
            old = None if record is None else record.previous
            if old is not None:
                await place.apply_service(old.request)
                await place.apply_workload(old)
            if old is None or workload.path(old.request, place.namespace) != f"{kind}/{found.metadata.name}":
                await place.cluster.delete(f"{kind}/{found.metadata.name}")
            if record is not None:
                await self._remove_secret(record)
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
                await self.unblock(record)

    async def _remove_secret(self, record: Record) -> None:
        if record.secrets:
            name = label.attempt(record.request)
            await self._place.cluster.delete(f"{workload.SECRETS.format(self._place.namespace)}/{name}")

    # Its output

    @asynccontextmanager
    async def _source(self, *, follow: bool) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the output of the attempt's first Pod; with *follow* wait until that has started."""

        def started() -> Pod | None:
            pod = self.pod
            status = None if pod is None else pod.container
            return pod if status is not None and status.has_started else None

        pod = await self._view.until(started) if follow else started()
        if pod is None:
            yield _nothing()
            return
        status = pod.container
        is_first_run = status is None or status.restart_count == 0
        path = f"{workload.PODS.format(self._place.namespace)}/{pod.metadata.name}/log"
        query = {"container": label.container(self._digest), "follow": "true" if follow and is_first_run else None}
        async with self._place.cluster.read(path, **query, previous=None if is_first_run else "true") as pieces:
            yield pieces

    def _may_print(self) -> bool | None:
        """Return True if the cluster knows whether the container has started; None if the node may not have said so."""
        pod = self.pod
        if pod is None or pod.unscheduled is not None:
            return True
        status = pod.container
        waiting = None if status is None else status.state.waiting
        is_open = status is None or (waiting is not None and waiting.reason == "ContainerCreating")
        return None if is_open else True

    async def _read_log(self) -> bytes:
        """Return the output of the attempt, if the cluster still has it."""
        written = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTING):
                await self._view.until(self._may_print)
        try:
            async with self._source(follow=False) as pieces:
                async for piece in pieces:
                    written += piece
        except ClusterError:  # the container never started, or its node is gone
            return written
        return written


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece
