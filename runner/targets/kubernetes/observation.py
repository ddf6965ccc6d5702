"""The observation of an instance in a cluster after its deployment: its status and ends, from its Pods."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from domain.instance import InstanceExit, InstanceStatus, ReportInstance, WatchedInstance
from runner.targets.health import STEADY_TIME, health_of
from runner.targets.instance import exit_of, identity
from runner.targets.kubernetes import reason
from runner.targets.kubernetes.model import Pod, Terminated, seconds_since
from runner.targets.kubernetes.record import Record

GIVING_UP = "CrashLoopBackOff"
"""The reason for which a container waits that has ended too often."""

WAITING = f"{GIVING_UP}: the cluster starts it again after a wait of at most 5 minutes"

OUT_OF_MEMORY = "OOMKilled"


class Observation:
    """The observation of the instance of *record*; *known* is what the log has of the service's instance.

    The cluster counts the restarts of each container. A Pod that goes, and whose container ran, counts as one more end,
    since the cluster creates another Pod. Ends in Pods that are gone are remembered here. After a restart of the
    server, an end that is younger than the last known one counts.
    """

    def __init__(self, record: Record, known: WatchedInstance | None) -> None:
        self.record, self.instance = record, identity(record.request)
        if known is None or known.instance.id != self.instance.id:
            known = WatchedInstance(instance=self.instance)
        self.status, self.problem = known.status, known.problem
        self.exits, self.last, self._since = known.exits, known.last, known.since
        self._counted: dict[str, tuple[int, bool]] = {}  # by Pod: its ends, and whether its container is down
        self._ended = 0  # ends of Pods that are gone, and of those that were counted by an earlier server
        self._up: set[tuple[str, int]] = set()  # containers that were up, by their Pod and number
        self._replicas, self._surplus = record.request.spec.container.replicas, 0
        self._is_first = True
        self.drift: tuple[str, ...] = ()
        """The applied fields that differ in the cluster."""

    def has_lost(self, pods: Collection[Pod]) -> bool:
        """Return whether a Pod goes: somebody or the cluster removes it, or a deployment does."""
        return bool(self._counted.keys() - {pod.metadata.uid for pod in pods if not pod.is_going})

    def look(self, pods: Collection[Pod], replicas: int) -> None:
        """Take in the Pods of the instance, which has to have so many *replicas* now."""
        self._surplus += max(0, self._replicas - replicas)  # Pods that the cluster does not replace
        self._replicas = replicas
        self._count([pod for pod in pods if not pod.is_going])
        live = [pod for pod in pods if not (pod.is_going or pod.has_ended)]
        down = [pod for pod in live if not self._is_up(pod)]
        why = next(self._stuck(down), None)
        if why is not None:
            self.status, self.problem = InstanceStatus.GIVEN_UP, why
        elif live and not down:
            if self.status is InstanceStatus.UNHEALTHY:
                self._since = datetime.now(UTC)
            elif self.status is not InstanceStatus.RUNNING:
                starts = (pod.container.state.running for pod in live if pod.container is not None)
                self._since = max((each.started_at for each in starts if each and each.started_at), default=None)
            self.status, self.problem = InstanceStatus.RUNNING, None
        elif self.status in (InstanceStatus.RUNNING, InstanceStatus.LOST) and any(self._was_up(pod) for pod in down):
            self.status, self.problem, self._since = InstanceStatus.UNHEALTHY, None, datetime.now(UTC)
        self._is_first = False

    def _count(self, pods: Collection[Pod]) -> None:
        """Count the ends of containers; one that is counted makes the instance restart."""
        present = {pod.metadata.uid: pod for pod in pods}
        for uid in self._counted.keys() - present.keys():
            ended, is_down = self._counted.pop(uid)
            is_replaced = not is_down and not self._surplus
            self._surplus -= not is_down and self._surplus > 0
            self._ended += ended + is_replaced
        for uid, pod in present.items():
            self._counted[uid] = _ends(pod), pod.has_ended or (pod.container is not None and pod.container.has_ended)
        newest = max(filter(None, map(_last_end, pods)), key=_at, default=None)
        count = self._ended + sum(each for each, _ in self._counted.values())
        if self._is_first and count <= self.exits:
            is_new = newest is not None and self.last is not None and _at(newest) > self.last.at
            self._ended += self.exits + is_new - count
            count = self.exits + is_new
        if count > self.exits:
            self.exits = count
            at = datetime.now(UTC).replace(microsecond=0)
            self.last = InstanceExit(at=at) if newest is None else _exit(newest)
            self.status, self.problem, self._since = InstanceStatus.RESTARTING, None, self.last.at

    def _stuck(self, down: Collection[Pod]) -> Iterator[str]:
        """Yield why containers are not started just now."""
        for pod in down:
            waiting = None if pod.container is None else pod.container.state.waiting
            if waiting is not None and waiting.reason == GIVING_UP:
                yield WAITING
            elif waiting is not None and (why := reason.of_waiting(waiting, self.record.image)) is not None:
                yield why
            elif self.status is InstanceStatus.GIVEN_UP:  # it is being tried again
                yield self.problem or WAITING

    def _is_up(self, pod: Pod) -> bool:
        status = pod.container
        running = None if status is None else status.state.running
        if status is None or running is None or not pod.is_ready:
            return False
        is_checked = health_of(self.record.request.spec) is not None
        if not is_checked and seconds_since(running.started_at) < STEADY_TIME:
            return False
        self._up.add((pod.metadata.uid, status.restart_count))
        return True

    def _was_up(self, pod: Pod) -> bool:
        """Return whether the container of *pod* runs and was up, so that it fails its checks."""
        status = pod.container
        if status is None or status.state.running is None or pod.is_ready:
            return False
        return self._is_first or (pod.metadata.uid, status.restart_count) in self._up

    @property
    def is_settled(self) -> bool:
        """Whether only a change in the cluster can change it."""
        return self.status is InstanceStatus.RUNNING

    @property
    def report(self) -> ReportInstance:
        """The present state of the instance, as a command for the log."""
        is_up = self.status in (InstanceStatus.RUNNING, InstanceStatus.UNHEALTHY)
        return ReportInstance(
            instance=self.instance,
            status=self.status,
            at=self._since or datetime.now(UTC),
            exits=self.exits,
            restarts=self.exits if is_up else max(0, self.exits - 1),
            last=self.last,
            problem=self.problem,
            drift=self.drift,
        )


def _ends(pod: Pod) -> int:
    """Return how often the container of *pod* has ended."""
    status = pod.container
    if status is None:
        return 1 if pod.has_ended else 0
    return status.restart_count + (status.has_ended or pod.has_ended)


def _last_end(pod: Pod) -> Terminated | None:
    status = pod.container
    ended = None if status is None else status.state.terminated or status.last_state.terminated
    return None if ended is None or ended.finished_at is None else ended


def _at(ended: Terminated) -> datetime:
    assert ended.finished_at is not None
    return ended.finished_at


def _exit(ended: Terminated) -> InstanceExit:
    return exit_of(ended.exit_code, _at(ended), is_out_of_memory=ended.reason == OUT_OF_MEMORY)
