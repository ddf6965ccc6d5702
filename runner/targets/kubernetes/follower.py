"""The follower of one attempt, from its beginning until it is up, has ended or has failed."""

import asyncio
import time
from collections.abc import Collection, Coroutine
from typing import Any

from msgspec.structs import replace

from runner.first import first
from runner.targets.contract import StepFailed, StepOutput, StepRequest
from runner.targets.kubernetes import label, reason, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import ClusterError
from runner.targets.kubernetes.model import Pod, seconds_since
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.rollout import GRACE, Overdue, Rollout, Up
from runner.targets.kubernetes.state import AttemptState
from runner.targets.log import ContainerLog

FIRST_PROBE = 3.0
"""Time that the first probe of a started container may take to be seen, beyond its own period, in seconds."""


class Follower:
    """The follower of the attempt of *state*, which copies *log* and whose notes go to *output*."""

    def __init__(self, state: AttemptState, output: StepOutput, log: ContainerLog) -> None:
        self._state, self._output, self._log = state, output, log

    async def follow(self, image: str) -> None:
        """Follow the attempt, which runs *image*, to its good end; raise `StepFailed`."""
        waits: list[Coroutine[Any, Any, None]]
        if self._state.is_job:
            job = self._state.view.jobs.get(label.attempt(self._state.request))
            waits = [self._until_done(image)]
            if job is not None:
                waits.append(self._until_refused(job.metadata.uid))
            await self._log.follow(*waits)
            try:
                await self._log.copy()
            except ClusterError as error:
                await self._output.note(f"the end of its output can't be read: {error.message}")
            return
        found = self._state.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        if found is None or record is None:
            raise StepFailed("somebody deleted its workload")
        if self._state.is_settled:
            return
        waits = [self._until_up(record)]
        if workload.is_stateful(self._state.request):
            old = {event.metadata.resource_version for event in await self._state.place.events(found.metadata.uid)}
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
        await self._until(Rollout(record), self._state.request)
        if workload.is_stateful(self._state.request):
            path = workload.path(self._state.request, self._state.place.namespace)
            await self._state.place.cluster.merge(
                path, {"metadata": {"annotations": {label.SETTLED: self._state.digest}}}
            )

    async def _until(self, rollout: Rollout, request: StepRequest) -> None:
        noted, late = 0, 0.0
        path = workload.path(request, self._state.place.namespace)
        is_own = label.digest(request) == self._state.digest

        def look() -> Up | bool | None:
            if is_own and (why := self._state.reason) is not None:
                raise StepFailed(why)
            found = next(
                (
                    each
                    for kind, each in self._state.place.workloads(request.service)
                    if f"{kind}/{each.metadata.name}" == path
                ),
                None,
            )
            up = rollout.look(found, self._state.place.pods(request.service), time.monotonic())
            return up or (True if len(rollout.notes) > noted else None)

        while True:
            try:
                found = await self._state.view.until(look)
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
        own = [each.metadata.uid for _, each in self._state.place.workloads(request.service)]
        uid = overdue.pod.metadata.uid if overdue.pod is not None else "".join(own[:1])
        events = await self._state.place.events(uid) if uid else []
        if not overdue.is_running:
            return f"timeout after {overdue.within:g} s: {reason.of_pending(overdue.pod, events)}"
        why = reason.of_probe(request, events)
        if why is None and not is_last:
            return None
        return f"not healthy within {overdue.within:g} s: {why or 'its check did not succeed'}"

    async def _until_done(self, image: str) -> None:
        """Wait until the JOB has succeeded; raise `StepFailed`."""
        rollout = Rollout(records.of(self._state.request, image))
        seconds = self._state.request.spec.deploy_timeout
        try:
            await self._state.view.until(lambda: self._look_at_job(rollout))
        except Overdue as overdue:
            pod = overdue.pod
            job = self._state.view.jobs.get(label.attempt(self._state.request))
            about = pod or job
            events = [] if about is None else await self._state.place.events(about.metadata.uid)
            raise StepFailed(f"timeout after {seconds:g} s: {reason.of_pending(pod, events)}") from None

    def _look_at_job(self, rollout: Rollout) -> bool | None:
        if (why := self._state.reason) is not None:
            raise StepFailed(why)
        pod, seconds = self._state.pod, self._state.request.spec.deploy_timeout
        job = self._state.view.jobs.get(label.attempt(self._state.request))
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
            if self._state.pod is not None:
                await asyncio.Event().wait()
            for event in reversed(await self._state.place.events(uid)):
                if event.reason == "FailedCreate" and event.metadata.resource_version not in old:
                    raise StepFailed(f"Pods can't be created: {event.message}")

    async def unblock(self, record: Record) -> None:
        """Delete broken Pods of other attempts, for which a StatefulSet would wait for ever."""
        done: set[str] = set()

        def broken() -> Pod | None:
            for pod in self._state.place.pods(record.request.service):
                is_other = pod.metadata.labels.get(label.ATTEMPT) != record.attempt
                if is_other and not pod.is_ready and not pod.is_going and pod.metadata.uid not in done:
                    return pod
            return None

        while True:
            pod = await self._state.view.until(broken)
            done.add(pod.metadata.uid)
            await self._state.place.cluster.delete(
                f"{workload.PODS.format(self._state.place.namespace)}/{pod.metadata.name}"
            )
