"""The live picture of a deployment on a terminal: its stages in order, and the steps of each service."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.output import duration
from cli.progress import DeploymentEventJson, DeploymentProgress
from cli.run import DeploymentJson, DeploymentServiceJson, DeploymentStageJson
from cli.step import MARKS, StepJson
from cli.text import plain
from cli.wait import WaitJson

Value = TypeVar("Value")

FRAME = 1 / 30  # seconds
WIDE = 80
BUILD_WIDTH = len("✓ build 9m 59s")  # so that columns don't move while the times grow
DEPLOY_WIDTH = len("✓ deploy 9m 59s")
COLOURS = {
    "QUEUED": "dim",
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "SKIPPED": "dim",
    "UNCHANGED": "dim",
    "CANCELLED": "yellow",
}


class LivePicture:
    """A picture (see `cli.watch`) that is redrawn in place. Its last state stays on the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._spinner = Spinner("dots", style="cyan")
        self._progress: DeploymentProgress | None = None
        self._final: DeploymentJson | None = None
        self._wait: WaitJson | None = None
        self._drawn = 0.0
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),  # messages go above the picture
            vertical_overflow="crop",
        )

    def __enter__(self) -> "LivePicture":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(whole=True)
        self._live.stop()

    def begin(self, deployment: DeploymentJson) -> None:
        self._progress = DeploymentProgress(deployment)
        self._draw()

    def take(self, event: DeploymentEventJson) -> None:
        self._wait = None
        if self._progress:
            self._progress.take(event)
        if time.monotonic() - self._drawn > FRAME:  # a long replay is not drawn for each event
            self._draw()

    def wait(self, wait: WaitJson | None) -> None:
        self._wait = wait
        self._draw()

    def tick(self) -> None:
        self._draw()

    def end(self, deployment: DeploymentJson) -> None:
        self._final = deployment
        self._wait = None

    def _draw(self, whole: bool = False) -> None:
        deployment = self._final or (self._progress.deployment if self._progress else None)
        if deployment is None:
            return
        self._live.vertical_overflow = "visible" if whole else "crop"
        self._drawn = time.monotonic()
        height = None if whole else self._console.height - 1
        self._live.update(self.picture(deployment, datetime.now(UTC), height), refresh=True)

    def picture(self, deployment: DeploymentJson, now: datetime, height: int | None) -> RenderableType:
        """Return *deployment* as it looks at *now*. Finished stages are folded if *height* lines are too few."""
        rows = 2 + (self._wait is not None) + sum(1 + len(stage.services) for stage in deployment.stages)
        fold = height is not None and rows > height
        table = Table.grid(padding=(0, 2, 0, 0))
        is_wide = self._console.width >= WIDE
        for width in (None, BUILD_WIDTH, DEPLOY_WIDTH, None):
            table.add_column(no_wrap=True, overflow="ellipsis", min_width=width if is_wide else None)
        for stage in deployment.stages:
            table.add_row(*self._stage_row(stage, now))
            if fold and stage.status != "RUNNING" and stage.status != "FAILED":
                continue
            for service in stage.services:
                table.add_row(*self._service_row(service, now))
        waiting = [Text(plain(f"Waiting: {self._wait.message}"), style="yellow")] if self._wait else []
        return Group(self._title(deployment, now), table, *waiting, *self._reasons(deployment))

    def _title(self, deployment: DeploymentJson, now: datetime) -> Text:
        status = "cancelling" if _is_cancelling(deployment) else deployment.status.lower()
        title = Text(f"Deployment {deployment.number}", style="bold")
        title.append(plain(f" of {deployment.environment.name}  "), style="not bold")
        title.append(status, style=COLOURS.get(deployment.status, ""))
        return title.append(f"  {_time(deployment.started_at, deployment.finished_at, now)}", style="not bold dim")

    def _stage_row(self, stage: DeploymentStageJson, now: datetime) -> tuple[RenderableType, ...]:
        name = self._marked(stage.status, f'{stage.position} "{stage.name}"', now)
        note = "skipped" if stage.status == "SKIPPED" else "cancelled" if stage.status == "CANCELLED" else ""
        return name, Text(note, style="dim"), Text(), Text(_time(stage.started_at, stage.finished_at, now), style="dim")

    def _service_row(self, service: DeploymentServiceJson, now: datetime) -> tuple[RenderableType, ...]:
        ports = Text(", ".join(f":{port}" for port in service.ports), style="dim")
        name = Text("  ").append_text(self._marked(service.status, service.name, now))
        return (
            name,
            self._step("build", service.build, now),
            self._step(service.deploy.phase.lower(), service.deploy, now),
            ports,
        )

    def _step(self, word: str, step: StepJson, now: datetime) -> Text:
        text = self._marked(step.status, word, now)
        if step.attempt > 1:
            text.append(f" ×{step.attempt}", style="yellow")
        return text.append(f" {_time(step.started_at, step.finished_at, now)}", style="dim")

    def _marked(self, status: str, words: str, now: datetime) -> Text:
        style = COLOURS.get(status, "")
        mark = Text(MARKS.get(status, "?"), style=style)
        if status == "RUNNING":
            turning = self._spinner.render(now.timestamp())
            mark = turning if isinstance(turning, Text) else mark
        return (
            Text()
            .append_text(mark)
            .append(plain(f" {words}"), style="dim" if status in ("QUEUED", "SKIPPED", "UNCHANGED") else "")
        )

    def _reasons(self, deployment: DeploymentJson) -> list[Text]:
        steps = (
            (service, word, step)
            for stage in deployment.stages
            for service in stage.services
            for word, step in (("build", service.build), (service.deploy.phase.lower(), service.deploy))
        )
        return [
            Text(
                plain(f"{service.name}, {word}: {step.failure_reason}"),
                style=COLOURS["FAILED" if step.status == "FAILED" else ""],
            )
            if step.status == "FAILED"
            else Text(
                plain(f"{service.name}, {word}, attempt {step.attempt - 1}: {step.failure_reason}"), style="yellow"
            )
            for service, word, step in steps
            if step.failure_reason and step.status != "SUCCEEDED"
        ]


class LiveText(Generic[Value]):
    """The *lines* of a value, which are redrawn in place. The last ones stay on the terminal."""

    def __init__(self, lines: Callable[[Value], Sequence[str]]) -> None:
        self._lines = lines
        self._live = Live(
            console=Console(highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="ellipsis",
        )

    def __enter__(self) -> Callable[[Value, bool], None]:
        self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._live.vertical_overflow = "visible"
        self._live.refresh()
        self._live.stop()

    def _show(self, value: Value, is_new: bool) -> None:
        text = Text.from_ansi("\n".join(self._lines(value)))
        self._live.update(text, refresh=True)


def _is_cancelling(deployment: DeploymentJson) -> bool:
    return deployment.cancellation is not None and not deployment.is_over


def _time(start: datetime | None, end: datetime | None, now: datetime) -> str:
    return duration(((end or now) - start).total_seconds()) if start else ""
