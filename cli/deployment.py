"""`stageline deployment`: deployments, their events and their output."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import progress, run
from cli import watch as watching
from cli.client import Client, Data, Document, document
from cli.command import command, group
from cli.errors import Interrupted
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, moment, say, table, write
from cli.run import ServiceRefJson
from cli.scope import Scope

app = group(
    "Show deployments: the latest one, unless a number or an id is given.",
    "stageline deployment list",
    "stageline deployment show 3",
    "stageline deployment logs 3 Backend",
    "stageline deployment logs -f",
    "stageline deployment watch",
)

Number = Annotated[
    str | None,
    typer.Argument(metavar="[NUMBER]", help="The deployment's number or id. Default: the latest.", show_default=False),
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Print new ones, too, until the deployment is over.")]

TICK = 0.5

LINE = """
fragment LineFields on LogLine { cursor at service { id: serviceId name type } phase attempt kind text }
"""

LOGS = document(
    """
subscription DeploymentLogs($deployment: ID!, $service: ID, $after: String) {
  deploymentLogs(deployment: $deployment, service: $service, after: $after) { ...LineFields }
}
""",
    LINE,
)

PAST_LOGS = document(
    """
query DeploymentLogs($deployment: ID!, $service: ID, $first: Int, $after: String) {
  deploymentLogs(deployment: $deployment, service: $service, first: $first, after: $after) {
    edges { node { ...LineFields } }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    LINE,
)


class LogLineJson(Struct, rename="camel"):
    """A line of a step's output, or (kind NOTE) a note of Stageline about it."""

    cursor: str
    at: datetime
    service: ServiceRefJson
    phase: str
    attempt: int
    kind: str
    text: str

    def line(self) -> str:
        note = "# " if self.kind == "NOTE" else ""
        return f"{self.at.astimezone():%H:%M:%S}  {self.service.name} {self.phase.lower()} | {note}{self.text}"


@command(app, "list", "stageline deployment list --limit 5")
def list_(
    scope: Scope,
    output: Output,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of deployments.")] = 20,
) -> None:
    """List the environment's deployments, newest first."""
    with Client.known() as client:
        found = list(run.newest(client, scope.find(client).id, limit))
    rows = [
        (str(each.number), each.status.lower(), moment(each.requested_at), each.took, each.actor, each.reason or "")
        for each in found
    ]
    text = table(("#", "Status", "Requested", "Took", "By", "Reason"), rows) if rows else "<no deployment>"
    output.answer({"deployments": found}, text)


@command(app, "show", "stageline deployment show", "stageline deployment show 3 --json")
def show(scope: Scope, output: Output, number: Number = None) -> None:
    """Show a deployment: its stages, the steps of each service, their times, and the failure."""
    with Client.known() as client:
        deployment = run.get(client, run.find(client, scope.find(client).id, number))
    output.answer(deployment, run.described(deployment))


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
            _followed(client, progress.EVENTS, deployment, {}, show)
        else:
            for data in client.pages(progress.PAST_EVENTS, {"deployment": deployment}):
                show(data)


@command(
    app,
    "logs",
    "stageline deployment logs",
    "stageline deployment logs Backend -f",
    "stageline deployment logs 3 Backend",
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
            metavar="[SERVICE]", help="The service's name or id. Default: all services.", show_default=False
        ),
    ] = None,
    follow: Follow = False,
) -> None:
    """Print the output of a deployment's build and deploy steps. With --json each line is an object."""
    if number is not None and service is None and not (run.is_id(number) or run.is_number(number)):
        number, service = None, number
    with Client.known() as client:
        deployment = run.find(client, scope.find(client).id, number)
        variables = {"service": service}

        def show(data: Data) -> None:
            line = convert(data, LogLineJson)
            write(encoded(line) if output.as_json else line.line())

        if follow:
            _followed(client, LOGS, deployment, variables, show)
        else:
            for data in client.pages(PAST_LOGS, {"deployment": deployment, **variables}):
                show(data)


def _followed(
    client: Client, document: Document, deployment: str, variables: dict[str, str | None], show: Callable[[Data], None]
) -> None:
    feed = SubscriptionFeed(
        client.server,
        document,
        {"deployment": deployment, **variables},
        is_over=lambda: run.get(client, deployment).is_over,
        tell=say,
    )
    try:
        for data in feed.events(TICK):
            if data is not None:
                show(data)
    except KeyboardInterrupt:
        raise Interrupted("Stopped following; the deployment continues.") from None
