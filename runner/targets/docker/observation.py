"""The state of the instance in a container after its deployment, as its engine describes it."""

from datetime import datetime

from domain import instance as instances
from domain.instance import InstanceExit, InstanceStatus, ReportInstance, WatchedInstance
from domain.spec import Restart
from runner.targets.docker.container import Container, moment
from runner.targets.instance import exit_of, identity


class Observation:
    """The observation of the instance in *container*; *known* is what the log has of the service's instance.

    The engine counts the restarts of its own, anew after a start by hand and after its own restart. So an end is also
    counted if only its time has changed.
    """

    def __init__(self, container: Container, known: WatchedInstance | None) -> None:
        self.container, self.request = container, container.request
        self.instance = identity(self.request)
        if known is None or known.instance.id != self.instance.id:
            known = WatchedInstance(instance=self.instance)
        self.status, self.problem = known.status, known.problem
        self.exits, self.last = known.exits, known.last
        self._base = 0  # ends that the engine's count lacks
        self._finished = "" if known.last is None else _finished_before(container, known.last.at)
        if known.last is None and container.is_old and not container.restart_count:
            self._finished = container.state.finished_at  # an attempt that failed had stopped it
        self._recent: tuple[float, ...] = ()
        self.is_being_restarted = False

    def look(self, container: Container, ended: InstanceExit | None, now: float) -> None:
        """Take in what the engine says *now*, on the monotonic clock; *ended* is the last end that it has told."""
        self.container = container
        state = container.state
        count = self._base + container.restart_count + (not container.is_up)
        if state.finished_at != self._finished and container.has_ended and count <= self.exits:
            self._base += self.exits + 1 - count
            count = self.exits + 1
        self._finished = state.finished_at
        if count > self.exits:
            self._end(count - self.exits, ended, now)
        if self.status is InstanceStatus.GIVEN_UP:
            return
        if not container.is_up and not self.is_being_restarted:
            self.status = InstanceStatus.EXITED
        elif self.status in (InstanceStatus.EXITED, InstanceStatus.LOST) or state.status == "restarting":
            self.status, self.problem = InstanceStatus.RESTARTING, None

    def _end(self, count: int, ended: InstanceExit | None, now: float) -> None:
        """Count ends; decide whether that was too often, if the engine starts it again."""
        state, at = self.container.state, moment(self.container.state.finished_at)
        if ended is None or ended.at < at:  # nobody listened, or the event is still to come
            ended = InstanceExit(at=at) if self.container.is_up else exit_of(state.exit_code, at)
        self.exits += count
        self.last = InstanceExit(
            at=ended.at, code=ended.code, signal=ended.signal, is_out_of_memory=state.is_out_of_memory
        )
        self.status = InstanceStatus.RESTARTING
        spec = self.request.spec
        if (self.container.is_up or self.is_being_restarted) and spec.restart is not Restart.NO:
            recent = instances.counted(spec, self._recent, now)
            if len(recent) >= spec.restart_limit:
                self.status = InstanceStatus.GIVEN_UP
            self._recent = (*recent, *(now for _ in range(count)))

    def change(self, status: InstanceStatus, problem: str | None = None) -> None:
        self.status, self.problem = status, problem

    @property
    def report(self) -> ReportInstance:
        """How the instance is now."""
        is_up = self.status in (InstanceStatus.RUNNING, InstanceStatus.UNHEALTHY)
        state = self.container.state
        return ReportInstance(
            instance=self.instance,
            status=self.status,
            at=moment(state.started_at if is_up else state.finished_at),
            exits=self.exits,
            restarts=self.exits if is_up else max(0, self.exits - 1),
            last=self.last,
            problem=self.problem,
        )


def _finished_before(container: Container, last: datetime) -> str:
    """Return the time of the container's last end as the engine writes it, if that is the one at *last*."""
    at = container.state.finished_at
    return at if container.has_ended and moment(at) <= last else ""
