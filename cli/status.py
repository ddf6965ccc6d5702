"""`stageline status`: an environment at a glance."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from msgspec import convert

from cli.client import Client, document
from cli.errors import Failed, Interrupted
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, say, write
from cli.overview import StatusJson
from cli.run import SUMMARY
from cli.scope import Scope
from cli.wait import WAIT_FIELDS

NOT_WELL = 4
"""Exit code of an environment that is not well, as of a deployment that failed."""

TICK = 0.25
"""Minimum time between two readings of an environment that is watched, in seconds."""

STATUS = document(
    """
query Status($environment: ID!, $atLeast: String) {
  environment(id: $environment, atLeast: $atLeast) {
    id name isDeleted target project { id name }
    pipeline {
      stages {
        id position name
        services {
          id name type isSkipped
          instance {
            status since restarts problem revision ports
            lastExit { code signal isOutOfMemory at } endpoints { host port }
            deployment { number } stoppedBy { number }
          }
          lastStep {
            phase deployment { number }
            step { status attempt startedAt finishedAt failureReason unchangedReason skippedReason phase retryAt }
          }
          waitsFor { reason message }
        }
      }
    }
    ended: deployments(first: 1, filter: { statuses: [SUCCEEDED, FAILED, CANCELLED] }) { nodes { ...SummaryFields } }
    queue {
      ...SummaryFields
      progress { done total } currentStage { name }
      waitsFor { ...WaitFields }
    }
  }
  workers(atLeast: $atLeast) { name machine isSilent heartbeatAt }
}
""",
    SUMMARY,
    WAIT_FIELDS,
)

END = document("query End { cursor }")

CHANGES = document("""
subscription Changes($environment: ID!, $after: String) {
  environmentEvents(environment: $environment, after: $after) { cursor }
}
""")


def status(
    scope: Scope,
    output: Output,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again after each change, until Ctrl-C.")
    ] = False,
) -> None:
    """Show an environment at a glance: its last deployment, what runs or waits now, and what runs of each service.

    The exit code is 0 if all is well, and 4 if it is not: the last deployment or a service failed, a service is
    unhealthy or has ended, a deployment waits for a worker, or no worker runs.
    """
    with Client.known() as client:
        chosen = scope.find(client)
        if chosen.is_deleted:
            raise Failed(f"The environment {chosen.name!r} was deleted.", code="ENVIRONMENT_NOT_FOUND")
        if watch:
            _watch(client, chosen.id, output)
            return
        found = get(client, chosen.id)
    output.answer(found, "\n".join(found.lines()))
    if not found.is_well:
        raise typer.Exit(NOT_WELL)


def get(client: Client, environment: str, at_least: str | None = None) -> StatusJson:
    """Return the status of the environment with that id. Raise `Failed` if there is none."""
    data = client.execute(STATUS, {"environment": environment, "atLeast": at_least})
    found = data["environment"]
    if found is None:
        raise Failed(f"There is no environment {environment!r}.", code="ENVIRONMENT_NOT_FOUND")
    ended = found["ended"]["nodes"]
    read = convert(
        {
            "environment": found,
            "isWell": True,
            "problems": [],
            "lastDeployment": ended[0] if ended else None,
            "queue": found["queue"],
            "stages": found["pipeline"]["stages"],
            "workers": data["workers"],
        },
        StatusJson,
    )
    read.problems = list(_problems(read))
    read.is_well = not read.problems
    return read


def _problems(status: StatusJson) -> Iterator[str]:
    last = status.last_deployment
    if last is not None and last.status == "FAILED":
        yield f"deployment {last.number} failed: {last.failure or 'no reason is known'}"
    for service in (each for stage in status.stages for each in stage.services):
        if service.failure:
            yield f"{service.name}: {service.failure}"
        if service.instance is not None and service.instance.fault and not service.is_skipped:
            why = f": {service.instance.problem}" if service.instance.problem else ""
            yield f"{service.name} is {service.instance.fault}{why}"
    for deployment in status.queue:
        if deployment.waits_for is not None and deployment.is_stuck:
            yield f"deployment {deployment.number} waits: {deployment.waits_for.message}"
    if all(each.is_silent for each in status.workers):
        yield "no worker runs"


def _watch(client: Client, environment: str, output: Output) -> None:
    """Show the status now, and again after each change, until the environment is deleted."""
    end = client.execute(END)["cursor"]
    feed = SubscriptionFeed(
        client.server,
        CHANGES,
        {"environment": environment, "after": end},
        is_over=lambda: get(client, environment).environment.is_deleted,
        tell=say,
    )
    try:
        with _screen(output) as show:
            found = get(client, environment, end)
            show(found, True)
            latest, read_at = None, time.monotonic()
            for event in feed.events(TICK):
                latest = event["cursor"] if event else latest
                is_new = latest is not None and time.monotonic() - read_at >= TICK
                if is_new:
                    found = get(client, environment, latest)
                    latest, read_at = None, time.monotonic()
                show(found, is_new)
            show(get(client, environment, latest), True)
    except KeyboardInterrupt:
        raise Interrupted("Stopped watching; nothing was changed.") from None


def _screen(output: Output) -> AbstractContextManager[Callable[[StatusJson, bool], None]]:
    """Return a function that shows a status, given whether it is new. A terminal shows older ones, too: they age."""
    if output.as_json:
        return nullcontext(lambda found, is_new: write(encoded(found)) if is_new else None)
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from cli.live import LiveText  # rich costs 0.02 s, and only a terminal needs it

        return LiveText(lambda found: found.lines())
    return nullcontext(lambda found, is_new: write("\n".join([*found.lines(), ""])) if is_new else None)
