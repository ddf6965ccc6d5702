"""
The view of a deployment until its end: live on a terminal, as lines elsewhere, as JSON lines for programs.

The exit code tells the outcome: see `cli.errors`.
"""

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

import typer

from cli import progress, run, wait
from cli.change import ChangeOptions
from cli.client import Client, document
from cli.description import described
from cli.errors import (
    Failed,
    Interrupted,
    NotReachable,
    WatchedDeploymentCancelled,
    WatchedDeploymentFailed,
    WatchTimedOut,
)
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, say, write
from cli.progress import DeploymentEventJson
from cli.run import DeploymentJson, FailureJson
from cli.text import plain
from cli.wait import WaitJson

LINES = 10
"""Maximum number of lines of a failed step's output that are printed at the end."""

LAST_LINES = document("""
query LastLines($deployment: ID!, $service: ID, $last: Int) {
  deploymentLogs(deployment: $deployment, service: $service, last: $last) { edges { node { phase kind text } } }
}
""")

TICK = 0.125  # seconds between two drawings of the live picture

QUIET, LONG_QUIET = 1.0, 8.0
"""Time without an event after which the server is asked what the deployment waits for: at first, and later, in s."""


@dataclass(frozen=True)
class WatchOptions:
    """Options of watching a deployment."""

    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it to its end; exit with 0, 4 (failed) or 5 (cancelled).")
    ] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0,
            help="Maximum time to watch, in seconds; then exit with 124. The deployment continues.",
            show_default=False,
        ),
    ] = None

    @property
    def is_wanted(self) -> bool:
        return self.watch or self.timeout is not None


class Picture(Protocol):
    """A view of a deployment."""

    def begin(self, deployment: DeploymentJson) -> None: ...
    def take(self, event: DeploymentEventJson) -> None: ...
    def wait(self, wait: WaitJson | None) -> None: ...
    def tick(self) -> None: ...
    def end(self, deployment: DeploymentJson) -> None: ...


class TextPicture:
    """One line for each event."""

    def __init__(self) -> None:
        self._last: DeploymentEventJson | None = None

    def begin(self, deployment: DeploymentJson) -> None: ...

    def take(self, event: DeploymentEventJson) -> None:
        self._last = event
        write(event.line())

    def wait(self, wait: WaitJson | None) -> None:
        if wait is not None and not (self._last and progress.says(self._last, wait)):
            write(f"{datetime.now().astimezone():%H:%M:%S}  Waiting: {plain(wait.message)}")

    def tick(self) -> None: ...

    def end(self, deployment: DeploymentJson) -> None:
        write(plain(f"Deployment {deployment.number} of {deployment.environment.name} {_ended(deployment)}"))


class JsonPicture:
    """`{"deployment": …}` first and last, and in between `{"event": …}` or, when that changes, `{"waitsFor": …}`."""

    def begin(self, deployment: DeploymentJson) -> None:
        write(encoded({"deployment": deployment}))

    def take(self, event: DeploymentEventJson) -> None:
        write(encoded({"event": event}))

    def wait(self, wait: WaitJson | None) -> None:
        write(encoded({"waitsFor": wait}))

    def tick(self) -> None: ...

    def end(self, deployment: DeploymentJson) -> None:
        write(encoded({"deployment": deployment}))


def requested(
    client: Client,
    deployment: DeploymentJson,
    change: ChangeOptions,
    watching: WatchOptions,
    output: Output,
    options: str = "",
) -> None:
    """Answer the request of *deployment*, and follow it if that is wanted.

    *options* name its environment in the commands that a message shows.
    """
    if watching.is_wanted and not change.dry_run:
        follow(client, deployment, output, watching.timeout, options=options)
        return
    name = deployment.environment.name
    done = f"Deployment {deployment.number} of {name} requested"
    if deployment.merged:
        done = f"Request merged into deployment {deployment.number} of {name}, which waits"
    output.answer(deployment, change.text(deployment, plain(done), described(deployment)))
    if not change.dry_run:
        output.hint(f"Watch it: stageline deployment watch {deployment.number} {options}".rstrip())


def follow(
    client: Client,
    deployment: DeploymentJson,
    output: Output,
    timeout: float | None,
    wanted: str = "SUCCEEDED",
    options: str = "",
) -> None:
    """Show *deployment* until it is over. Raise the error of its outcome unless that is *wanted*.

    *options* name its environment in the commands that a message shows.
    """
    number = deployment.number
    named = f"{number} {options}".rstrip()
    ways_on = f"Watch it again: stageline deployment watch {named}. Cancel it: stageline environment cancel {named}"
    try:
        with _picture(output) as picture:
            picture.begin(deployment)
            poll = WaitPoll(client, deployment.id)
            for event in _events(client, deployment.id, timeout):
                if event is not None:
                    poll.reset()
                    picture.take(event)
                elif poll.has_changed():
                    picture.wait(poll.wait)
                else:
                    picture.tick()
            deployment = run.get(client, deployment.id)
            picture.end(deployment)
        if deployment.failure and not output.as_json:
            _show_output(client, deployment.id, deployment.failure)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped watching; deployment {number} continues.", hint=ways_on) from None
    except _TimeIsUp:
        raise WatchTimedOut(
            f"Deployment {number} is not over after {timeout:g} s; it continues.", hint=ways_on
        ) from None
    _judge(deployment, wanted, options)


def _show_output(client: Client, deployment: str, failure: FailureJson) -> None:
    """Print the last lines of the output of a failed step, if a step failed."""
    if failure.service is None or failure.phase is None:
        return
    variables = {"deployment": deployment, "service": failure.service.id, "last": 2 * LINES}  # some are notes
    nodes = [edge["node"] for edge in client.execute(LAST_LINES, variables)["deploymentLogs"]["edges"]]
    lines = [node["text"] for node in nodes if node["phase"] == failure.phase and node["kind"] == "LINE"]
    if lines:
        write(plain(f"Last output of {failure.service.name}, {failure.phase.lower()}:"))
    for line in lines[-LINES:]:
        write(f"  {line}")


class WaitPoll:
    """A poll of what a deployment waits for while it has no events. A silent machine is no event of it."""

    def __init__(self, client: Client, deployment: str) -> None:
        self._client, self._deployment = client, deployment
        self.wait: WaitJson | None = None
        self.reset()

    def reset(self) -> None:
        """Start over after an event."""
        self.wait = None
        self._pause = QUIET
        self._next = time.monotonic() + QUIET

    def has_changed(self) -> bool:
        """Ask the server, if it is time; return whether the reason differs from the last one."""
        if time.monotonic() < self._next:
            return False
        before = self.wait
        with suppress(NotReachable):  # the feed says so
            self.wait = wait.find(self._client, self._deployment)
        self._pause = min(LONG_QUIET, 2 * self._pause)
        self._next = time.monotonic() + self._pause
        return self.wait != before if self.wait is None or before is None else _subject(self.wait) != _subject(before)


def _subject(wait: WaitJson) -> tuple[object, ...]:
    """Return what is waited for, without the time that it has lasted."""
    return wait.reason, wait.machine, wait.deployment, wait.stage, wait.message if wait.stage else None


class _TimeIsUp(Exception): ...


def _events(client: Client, deployment: str, timeout: float | None) -> Iterator[DeploymentEventJson | None]:
    deadline = None if timeout is None else time.monotonic() + timeout
    feed = SubscriptionFeed(
        client.server,
        progress.EVENTS,
        {"deployment": deployment},
        is_over=lambda: run.get(client, deployment).is_over,
        tell=say,
    )
    for data in feed.events(TICK):
        yield None if data is None else progress.read(data)
        if deadline is not None and time.monotonic() >= deadline:
            raise _TimeIsUp


def _picture(output: Output) -> AbstractContextManager[Picture]:
    if output.as_json:
        return nullcontext(JsonPicture())
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from cli.live import LivePicture  # rich costs 0.02 s, and only a terminal needs it

        return LivePicture()
    return nullcontext(TextPicture())


def _ended(deployment: DeploymentJson) -> str:
    took = f" after {deployment.took}" if deployment.took else ""
    return f"{deployment.status.lower()}{took}"


def _judge(deployment: DeploymentJson, wanted: str, options: str) -> None:
    name = f"Deployment {deployment.number}"
    match deployment.status:
        case status if status == wanted:
            return
        case "FAILED":
            hint = f"See its output: stageline deployment logs {deployment.number}"
            if deployment.failure and deployment.failure.service:
                hint += f" {shlex.quote(deployment.failure.service.name)}"
            hint = f"{hint} {options}".rstrip()
            if deployment.rollback:
                number = deployment.rollback.number
                hint = f"Watch deployment {number}, which rolls it back: stageline deployment watch {number}. {hint}"
            raise WatchedDeploymentFailed(f"{name} failed: {deployment.why}", hint=hint)
        case "CANCELLED":
            later = deployment.superseded_by_number
            if later is not None:
                raise WatchedDeploymentCancelled(f"{name} was superseded by deployment {later}.")
            raise WatchedDeploymentCancelled(f"{name} was cancelled.")
        case status:
            raise Failed(f"{name} {status.lower()} before it could be cancelled.", code="DEPLOYMENT_OVER")
