"""
The rollout of one attempt: decide from the state of the cluster whether it is up, has failed, or goes on.

Nothing here sends a request, so every state can be tested without a cluster.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from runner.targets.contract import StepFailed
from runner.targets.health import STEADY_TIME, health_of
from runner.targets.kubernetes import label, reason
from runner.targets.kubernetes.model import Pod, Workload, seconds_since
from runner.targets.kubernetes.record import Record
from runner.targets.kubernetes.workload import is_stateful

GRACE = 5.0
"""Time for which a container may wait for its image, or a Pod for its quota, before that is a failure, in seconds."""


class Overdue(Exception):
    """The time is up; *pod* is the one that is not ready, if there is one. With *is_running* its check fails."""

    def __init__(self, within: float, pod: Pod | None, *, is_running: bool) -> None:
        super().__init__(within)
        self.within, self.pod, self.is_running = within, pod, is_running


class Up(Struct, frozen=True):
    """The attempt is up."""


class Rollout:
    """The rollout of *record*. `look` is called with each new state, and remembers since when something is wrong.

    With *is_again* an instance that was up before comes up again.
    """

    def __init__(self, record: Record, *, is_again: bool = False) -> None:
        self._record, self._is_again = record, is_again
        self._since: dict[str, tuple[float, str]] = {}
        self.notes: list[str] = []
        """Notes for the user on what the rollout waits for, each once."""

    def look(self, found: Workload | None, pods: Iterable[Pod], now: float) -> Up | None:
        """Return `Up` once the attempt is up, at *now* on the monotonic clock; raise `StepFailed` or `Overdue`."""
        if found is None:
            raise StepFailed("somebody deleted its workload")
        if found.metadata.labels.get(label.ATTEMPT) != self._record.attempt:
            raise StepFailed("somebody else has changed its workload: another attempt runs there")
        if not self._is_again and is_settled(found, self._record):
            return Up()
        own = [pod for pod in pods if pod.metadata.labels.get(label.ATTEMPT) == self._record.attempt]
        for pod in own:
            self.look_at(pod, now)
        self._quota(found, own, now)
        if self._is_up(found, own):
            return Up()
        self._times(own)
        return None

    def look_at(self, pod: Pod, now: float) -> None:
        """Raise `StepFailed` if *pod* has failed; note that it has to wait."""
        if (why := pod.unscheduled) is not None:
            self._note(f"no node takes it yet: {why}")
        if pod.status.phase == "Failed" and not pod.status.container_statuses:
            raise StepFailed(f"its Pod failed: {pod.status.message or pod.status.reason}")
        status = pod.container
        if status is None or pod.is_going:
            return
        ended = status.state.terminated or (status.last_state.terminated if status.restart_count else None)
        if ended is not None:
            if ended.reason in reason.CREATING or ended.reason == "ContainerCannotRun":
                raise StepFailed(f"the container can't be started: {ended.message or ended.reason}")
            raise StepFailed(f"the container {ended.outcome} before it was healthy")
        if (waiting := status.state.waiting) is not None:
            self._persisting(pod.metadata.name, reason.of_waiting(waiting, self._record.image), now)

    def _quota(self, found: Workload, own: Sequence[Pod], now: float) -> None:
        failure = found.status.condition("ReplicaFailure")
        refused = failure is not None and failure.status == "True" and not own
        self._persisting("quota", f"Pods can't be created: {failure.message}" if refused and failure else None, now)

    def _persisting(self, key: str, problem: str | None, now: float) -> None:
        """Raise `StepFailed` if there has been a *problem* for longer than `GRACE`; the first one says most."""
        if problem is None:
            self._since.pop(key, None)
            return
        since, first = self._since.setdefault(key, (now, problem))
        if now - since >= GRACE:
            raise StepFailed(first)

    def _is_up(self, found: Workload, own: Sequence[Pod]) -> bool:
        status, count = found.status, found.spec.replicas
        if status.observed_generation < found.metadata.generation:
            return False
        if is_stateful(self._record.request):
            return len([pod for pod in own if self._is_steady(pod)]) >= count
        return min(status.updated_replicas, status.available_replicas) >= count and status.replicas == count

    def _is_steady(self, pod: Pod) -> bool:
        status = pod.container
        running = None if status is None else status.state.running
        if not pod.is_ready or pod.is_going or running is None:
            return False
        return health_of(self._record.request.spec) is not None or seconds_since(running.started_at) >= STEADY_TIME

    def _times(self, own: Sequence[Pod]) -> None:
        spec = self._record.request.spec
        health = health_of(spec)
        for pod in own:
            status = pod.container
            running = None if status is None else status.state.running
            if running is not None and health is not None and not pod.is_ready:
                within = min(health.start_period, spec.deploy_timeout)
                if seconds_since(running.started_at) >= within:
                    raise Overdue(within, pod, is_running=True)
        if self._record.age >= spec.deploy_timeout:
            waiting = next((pod for pod in own if not pod.is_ready), None)
            raise Overdue(spec.deploy_timeout, waiting, is_running=False)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def is_settled(found: Workload, record: Record) -> bool:
    """Return whether the attempt of *record*, which *found* has, was found healthy; it stays so for ever.

    The condition of a Deployment counts once it has Pods of the attempt: until then it may be that of the old one.
    """
    if found.metadata.annotations.get(label.SETTLED) == record.attempt:
        return True
    if is_stateful(record.request) or found.status.observed_generation < found.metadata.generation:
        return False
    if found.status.updated_replicas < max(1, found.spec.replicas):
        return False
    progress = found.status.condition("Progressing")
    return progress is not None and (progress.status, progress.reason) == ("True", "NewReplicaSetAvailable")
