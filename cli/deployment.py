"""`stageline deployment`: deployments, their events and their output."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from cli import log, names, pipeline, progress, run, wait
from cli import watch as watching
from cli.change import VersionedChangeOptions
from cli.client import Client, Data, Document
from cli.command import command, group
from cli.description import because, described
from cli.errors import Interrupted, Misused
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, moment, say, write
from cli.run import Number
from cli.scope import Scope
from cli.text import key, table

app = group(
    "Show deployments: the latest one, unless a number or an id is given.",
    "stageline deployment list",
    "stageline deployment show 3",
    "stageline deployment logs 3 Backend",
    "stageline deployment logs -f",
    "stageline deployment watch",
)

Running = Annotated[
    str | None,
    typer.Argument(
        metavar="[NUMBER]", help="The deployment's number or id. Default: the running one.", show_default=False
    ),
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Print new ones, too, until the deployment is over.")]

TICK = 0.5

MOVE = run.mutation("moveDeployment", deployment="ID!", position="Int!")
HOLD = run.mutation("holdDeployment", deployment="ID!")
RELEASE = run.mutation("releaseDeployment", deployment="ID!")


class PhaseName(StrEnum):
    BUILD = "build"
    DEPLOY = "deploy"
    STOP = "stop"


@command(app, "list", "stageline deployment list --limit 5")
def list_(
    scope: Scope,
    output: Output,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of deployments.")] = 20,
) -> None:
    """List the environment's deployments, newest first."""
    with Client.known() as client:
        found = list(run.newest(client, scope.find(client).id, limit + 1))
    has_more, found = len(found) > limit, found[:limit]
    rows = [
        (
            *(str(each.number), each.what, each.status.lower(), moment(each.requested_at), each.took, each.who),
            each.reason or "",
        )
        for each in found
    ]
    text = table(("#", "Action", "Status", "Requested", "Took", "By", "Reason"), rows) if rows else "<no deployment>"
    output.answer({"deployments": found, "hasMore": has_more}, text)
    if has_more:
        output.note(f"There are older deployments: stageline deployment list --limit {limit * 2}")


@command(app, "show", "stageline deployment show", "stageline deployment show 3 --json")
def show(scope: Scope, output: Output, number: Number = None) -> None:
    """Show a deployment: its stages, the steps of each service, their times, the failure, and what it waits for.

    Below a service are the values that its references had when its steps started.
    """
    with Client.known() as client:
        deployment = run.get(client, run.find(client, scope.find(client).id, number), run.SHOW)
        cancelled = progress.cancellation(client, deployment)
        waits_for = None if deployment.is_over else wait.find(client, deployment.id)
    notes = []
    if cancelled is not None:
        notes.append(
            f"{cancelled.message} {moment(cancelled.recorded_at)} by {cancelled.who}{because(cancelled.reason)}"
        )
    if waits_for is not None:
        notes.append(f"waits: {waits_for.message}")
    shown = {**to_builtins(deployment, builtin_types=(datetime,)), "cancelledBy": cancelled, "waitsFor": waits_for}
    output.answer(shown, described(deployment, notes))


@command(app, "move", "stageline deployment move 7 --position 1")
def move(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number or id of a deployment that waits.")],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    position: Annotated[
        int, typer.Option("--position", metavar="N", min=1, help="Its place among those that wait; 1 is the next one.")
    ] = 1,
) -> None:
    """Give a deployment that waits another place among those that wait. `stageline status` lists them."""
    with Client.known() as client:
        chosen = run.find(client, scope.find(client).id, number)
        moved = run.read(client.change(MOVE, {"deployment": chosen, "position": position, **change.variables}))
    done = f"Deployment {moved.number} moved to place {position} of those that wait"
    output.answer(moved, change.text(moved, done, described(moved)))


@command(app, "watch", "stageline deployment watch --timeout 600")
def watch(
    scope: Scope,
    output: Output,
    number: Number = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0,
            help="Maximum time to watch, in seconds; then exit with 124.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Follow a deployment from its beginning to its end, and exit with its outcome."""
    with Client.known() as client:
        deployment = run.get(client, run.find(client, scope.find(client).id, number))
        watching.follow(client, deployment, output, timeout)


@command(app, "hold", "stageline deployment hold --reason 'the database is slow'", "stageline deployment hold 3")
def hold(scope: Scope, change: VersionedChangeOptions, output: Output, number: Running = None) -> None:
    """Hold a deployment: no stage and no step starts any more, and running steps are finished, until its release."""
    _hold(HOLD, "is held", scope, change, output, number)


@command(app, "release", "stageline deployment release")
def release(scope: Scope, change: VersionedChangeOptions, output: Output, number: Running = None) -> None:
    """Let a deployment that is held go on."""
    _hold(RELEASE, "goes on", scope, change, output, number)


def _hold(
    document: Document,
    done: str,
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    number: str | None,
) -> None:
    with Client.known() as client:
        chosen = run.open_(client, scope.find(client).id, number)
        after = run.read(client.change(document, {"deployment": chosen, **change.variables}))
    output.answer(after, change.text(after, f"Deployment {after.number} {done}", described(after)))


@command(
    app,
    "events",
    "stageline deployment events",
    "stageline deployment events 3 --json",
    "stageline deployment events -f",
)
def events(scope: Scope, output: Output, number: Number = None, follow: Follow = False) -> None:
    """Print a deployment's events, one a line. With --json each line is an object."""
    with Client.known() as client:
        deployment = run.find(client, scope.find(client).id, number)

        def show(data: Data) -> None:
            event = progress.read(data)
            write(encoded(event) if output.as_json else event.line())

        if follow:
            _followed(client, progress.EVENTS, deployment, show)
        else:
            for data in client.pages(progress.PAST_EVENTS, {"deployment": deployment}):
                show(data)


@command(
    app,
    "logs",
    "stageline deployment logs",
    "stageline deployment logs Backend -f",
    "stageline deployment logs 3 Backend --phase build --last 50",
    "stageline deployment logs --text error",
    "stageline deployment logs 3 -o deployment-3.log.gz",
)
def logs(
    scope: Scope,
    output: Output,
    number: Annotated[
        str | None,
        typer.Argument(
            metavar="[NUMBER]", help="The deployment's number or id. Default: the latest.", show_default=False
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="[SERVICE]",
            autocompletion=pipeline.complete_service,
            help="The service's name or id. Default: all services.",
            show_default=False,
        ),
    ] = None,
    follow: Follow = False,
    phase: Annotated[
        PhaseName | None,
        typer.Option("--phase", case_sensitive=False, help="Only the output of this step.", show_default=False),
    ] = None,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", min=1, help="Only attempts with this number.", show_default=False),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help="Only lines with this text, in either case.", show_default=False),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="N", min=1, max=log.MAX_LAST, help="Only the last N lines.", show_default=False),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            dir_okay=False,
            help="Write all lines to FILE, compressed with gzip.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the output of a deployment's build and deploy steps. With --json each line is an object.

    On a terminal -f also shows lines that have no end yet, such as a progress bar.
    """
    if number is not None and service is None and not (run.is_id(number) or run.is_number(number)):
        number, service = None, number
    if follow and (target or last):
        raise Misused("-f can't be combined with -o and --last.")
    if target and (last or text):
        raise Misused("-o can't be combined with --last and --text: it writes all lines.")
    with Client.known() as client:
        environment = scope.find(client).id
        deployment = run.find(client, environment, number)
        planned = service and _planned(client, environment, deployment, service)
        selection = {"service": planned, "phase": phase and phase.value.upper(), "attempt": attempt}
        if target is not None:
            size = log.download(client, deployment, selection, target)
            output.answer({"file": str(target), "bytes": size}, f"{size:,} bytes in {target}")
        elif follow:
            log.follow(client, deployment, selection, text, output)
        else:
            for data in log.show(client, deployment, selection, text, last):
                log.print_line(data, output)


def _planned(client: Client, environment: str, deployment: str, ref: str) -> str:
    """Return the id of the service of the plan that has or had the name *ref*; an unknown one stays."""
    planned = [service for stage in run.get(client, deployment).stages for service in stage.services]
    for service in planned:
        if service.id == ref or key(service.name) == key(ref):
            return service.id
    ids = {service.id for service in planned}
    return next((each for each in names.services(client, environment, [ref]) if each in ids), ref)


def _followed(client: Client, document: Document, deployment: str, show: Callable[[Data], None]) -> None:
    feed = SubscriptionFeed(
        client.server,
        document,
        {"deployment": deployment},
        is_over=lambda: run.get(client, deployment).is_over,
        tell=say,
    )
    try:
        for data in feed.events(TICK):
            if data is not None:
                show(data)
    except KeyboardInterrupt:
        raise Interrupted("Stopped following; the deployment continues.") from None
