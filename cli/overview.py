"""An environment at a glance: its JSON shape, and its lines for a terminal of 80 columns."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from cli.colour import painted
from cli.instance import EndpointJson, ExitJson, InstanceJson, NumberJson
from cli.output import duration
from cli.ref import RefJson
from cli.run import DeploymentSummaryJson
from cli.step import MARKS, StepJson
from cli.text import padded, plain, width
from cli.wait import WaitJson

COLUMNS = 80
"""Maximum width of a line, in cells."""

NAME = 22
"""Maximum width of a service's name, in cells."""

LOCAL = "127.0.0.1"
"""The host of services that run as processes, which is not shown."""

FAULTS = {
    "UNHEALTHY": "unhealthy",
    "RESTARTING": "restarting",
    "EXITED": "exited",
    "GIVEN_UP": "given up",
    "LOST": "lost",
}
"""The statuses of instances that are not well, in words."""

JOBS = {
    "QUEUED": "waits in",
    "RUNNING": "runs in",
    "SUCCEEDED": "done in",
    "UNCHANGED": "done in",
    "FAILED": "failed in",
    "CANCELLED": "cancelled in",
    "SKIPPED": "left out of",
}
"""The states of a job, in words before the number of its deployment."""

REVISION = 12
"""Maximum width of a revision, in cells: the beginning of a Git commit is enough."""


class StatusInstanceJson(InstanceJson, rename="camel"):
    """The instance of a service, how it is and since when, and the addresses on which it listens."""

    since: datetime | None
    restarts: int
    problem: str | None
    last_exit: ExitJson | None
    endpoints: list[EndpointJson]

    @property
    def fault(self) -> str:
        """The word for a status that is not well, or an empty text."""
        return FAULTS.get(self.status or "", "")

    def text(self, now: datetime) -> str:
        """Return how it is, and for how long."""
        age = f" ({duration((now - self.since).total_seconds())})" if self.since else ""
        number = self.deployment.number
        if self.stopped_by is not None:
            return f"stopped since {self.stopped_by.number}{age}"
        return f"{self.fault}{age}, from {number}" if self.fault else f"runs since {number}{age}"


class StatusStepJson(StepJson, rename="camel", kw_only=True):
    retry_at: datetime | None


class LastStepJson(Struct, rename="camel"):
    """The newest step of a service."""

    phase: str
    step: StatusStepJson
    deployment: NumberJson


class ServiceWaitJson(Struct, rename="camel"):
    reason: str
    message: str


class StatusServiceJson(Struct, rename="camel"):
    id: str
    name: str
    type: str
    is_skipped: bool
    instance: StatusInstanceJson | None
    last_step: LastStepJson | None
    waits_for: ServiceWaitJson | None

    @property
    def failure(self) -> str:
        """The failure of its newest step, if that failed."""
        last = self.last_step
        if last is None or self.is_skipped or last.step.status != "FAILED":
            return ""
        return f"{last.phase.lower()} failed in deployment {last.deployment.number}: {last.step.failure_reason}"

    @property
    def mark(self) -> tuple[str, str | None]:
        """The sign in front of the name, and its colour."""
        status = "SKIPPED" if self.is_skipped else self.last_step.step.status if self.last_step else ""
        if self.is_skipped or status in ("FAILED", "RUNNING"):
            return MARKS[status], {"FAILED": "red", "RUNNING": "cyan"}.get(status)
        if self.instance is not None and self.instance.fault:
            return MARKS["FAILED"], "red"
        if status == "CANCELLED" or (status == "SKIPPED" and self.instance is None):
            return MARKS[status], "yellow" if status == "CANCELLED" else None
        is_running = self.instance is not None and self.instance.status == "RUNNING"
        is_there = is_running or (self.type == "JOB" and status in ("SUCCEEDED", "UNCHANGED"))
        return (MARKS["SUCCEEDED"], "green") if is_there else (MARKS["QUEUED"], None)

    def state(self, now: datetime, newest: int | None) -> str:
        """Return what runs of the service, or what it does. *newest* is the number of the newest deployment, if any."""
        if self.instance is not None:
            return self.instance.text(now)
        if self.is_skipped:
            return "skipped"
        if self.type != "JOB":
            return "does not run"
        if self.last_step is None:
            return "did not run" if newest is None else f"not in {newest}"
        return f"{JOBS[self.last_step.step.status]} {self.last_step.deployment.number}"

    def notes(self, now: datetime) -> Iterator[tuple[str, str | None]]:
        """Yield what a person should know beside, with colours."""
        last = self.last_step
        if self.failure:
            yield self.failure, "red"
        elif self.is_skipped or last is None:
            pass
        elif last.step.status == "RUNNING" and last.step.started_at:
            attempt = f", attempt {last.step.attempt}" if last.step.attempt > 1 else ""
            yield f"{last.phase.lower()}{attempt} for {duration((now - last.step.started_at).total_seconds())}", "cyan"
        elif last.step.retry_at:
            yield f"{last.phase.lower()} waits for attempt {last.step.attempt}: {last.step.failure_reason}", "yellow"
        elif last.step.status == "CANCELLED":
            yield f"{last.phase.lower()} cancelled in deployment {last.deployment.number}", "yellow"
        if self.instance is not None and self.instance.problem:
            yield self.instance.problem, "red"
        if self.instance is not None and self.instance.status in ("EXITED", "GIVEN_UP"):
            if self.instance.last_exit is not None:
                yield f"ended: {self.instance.last_exit}", "red"
            yield f"start it again: stageline start --service {shlex.quote(self.name)}", None
        if self.instance is not None and self.instance.restarts:
            times = "once" if self.instance.restarts == 1 else f"{self.instance.restarts} times"
            yield f"restarted {times} since its deployment", "yellow"
        if self.waits_for:
            yield f"waits: {self.waits_for.message}", None


class StatusStageJson(Struct, rename="camel"):
    id: str
    position: int
    name: str
    services: list[StatusServiceJson]


class ProgressJson(Struct):
    done: int
    total: int


class CurrentStageJson(Struct):
    name: str


class OpenDeploymentJson(DeploymentSummaryJson, rename="camel", kw_only=True):
    """A deployment that runs or waits."""

    progress: ProgressJson
    current_stage: CurrentStageJson | None
    waits_for: WaitJson | None

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for something that ought to be there."""
        return self.waits_for is not None and self.waits_for.reason in ("WORKER", "MACHINE")

    @property
    def state(self) -> str:
        if self.waits_for is not None:
            return f"waits: {self.waits_for.message}"
        if self.status != "RUNNING":
            return "waits for its start"
        stage = f', stage "{self.current_stage.name}"' if self.current_stage else ""
        doing = "is cancelled" if self.cancellation else "runs"
        return f"{doing} for {self.took}{stage}, {self.progress.done} of {self.progress.total} services done"


class StatusWorkerJson(Struct, rename="camel"):
    name: str
    machine: str
    is_silent: bool
    heartbeat_at: datetime


class StatusEnvironmentJson(Struct, rename="camel"):
    id: str
    name: str
    target: str
    project: RefJson
    is_deleted: bool


class StatusJson(Struct, rename="camel"):
    """An environment at a glance; it is well if there are no *problems*."""

    environment: StatusEnvironmentJson
    is_well: bool
    problems: list[str]
    last_deployment: DeploymentSummaryJson | None
    queue: list[OpenDeploymentJson]
    stages: list[StatusStageJson]
    workers: list[StatusWorkerJson]

    def lines(self) -> list[str]:
        """Return the status in lines of at most `COLUMNS` cells."""
        now = datetime.now(UTC)
        about = self.environment
        verdict = "deleted" if about.is_deleted else "all is well" if self.is_well else "not well"
        name = _clipped(f"{about.name} of {about.project.name}", COLUMNS - len(verdict) - 2)
        lines = [f"{plain(name)}: {painted(verdict, 'green' if self.is_well else 'red')}"]
        if self.last_deployment is not None:
            lines.append(_line(f"deployment {self.last_deployment.number} {_outcome(self.last_deployment, now)}"))
            if self.last_deployment.undone_number is not None:
                undone = self.last_deployment.undone_number
                lines.append(_line(f"  rollback after the failure of deployment {undone}", "yellow"))
            if self.last_deployment.failure:
                lines.append(_line(f"  {self.last_deployment.failure}", "red"))
        lines += [
            _line(f"deployment {each.number} {each.state}", "red" if each.is_stuck else "cyan") for each in self.queue
        ]
        if not self.last_deployment and not self.queue:
            lines.append("never deployed")
        lines += self._services(now)
        silent = [f"{each.name} on {each.machine}" for each in self.workers if each.is_silent]
        if silent:
            lines.append(_line(f"silent workers: {', '.join(silent)}", "yellow"))
        if not any(not each.is_silent for each in self.workers):
            lines.append(_line("no worker runs", "red"))
        return lines

    def _services(self, now: datetime) -> Iterator[str]:
        services = [each for stage in self.stages for each in stage.services]
        names = {each.id: _clipped(each.name, NAME) for each in services}
        size = max(map(width, names.values()), default=0)
        carried_out = self.queue[0] if self.queue else self.last_deployment
        newest = carried_out.number if carried_out else None
        states = {each.id: each.state(now, newest) for each in services}
        wide = max(map(len, states.values()), default=0)
        for stage in self.stages:
            yield _line(f'{stage.position} "{stage.name}"')
            for each in stage.services:
                sign, colour = each.mark
                end = "".join(f"  {part}" for part in _ends(each.instance))
                name, state = padded(names[each.id], size), states[each.id].ljust(wide)
                shown = _clipped(f"{name}  {state}{end}".rstrip(), COLUMNS - 4)
                shown = painted(shown, is_dim=True) if each.is_skipped else shown
                yield f"  {painted(sign, colour, is_dim=colour is None)} {shown}"
                for note, tint in each.notes(now):
                    yield _line(f"      {note}", tint)


def _ends(instance: StatusInstanceJson | None) -> Iterator[str]:
    """Yield the revision of an instance, and the addresses on which it listens."""
    if instance is None:
        return
    if instance.revision:
        yield _clipped(instance.revision, REVISION)
    for endpoint in instance.endpoints[:1]:
        more = f" +{len(instance.endpoints) - 1}" if len(instance.endpoints) > 1 else ""
        yield f"{'' if endpoint.host == LOCAL else endpoint.host}:{endpoint.port}{more}"


def _outcome(deployment: DeploymentSummaryJson, now: datetime) -> str:
    ago = duration((now - deployment.finished_at).total_seconds()) if deployment.finished_at else ""
    took = f", took {deployment.took}" if deployment.took else ""
    return f"{deployment.status.lower()} {ago} ago{took}"


def _line(text: str, colour: str | None = None) -> str:
    text = _clipped(text, COLUMNS)
    return painted(text, colour) if colour else text


def _clipped(text: str, size: int) -> str:
    """Return *text* in one line of at most *size* cells."""
    text = plain(text)
    if width(text) <= size:
        return text
    while width(text) > size - 1:
        text = text[:-1]
    return f"{text}…"
