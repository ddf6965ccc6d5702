"""`stageline logs`: the output of what runs of a service."""

from typing import Annotated

import typer

from cli import moment as moments
from cli import pipeline
from cli.client import Client, Data, document
from cli.errors import Interrupted
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, say, write
from cli.scope import Scope

TICK = 0.5
"""Time after which a follower looks for Ctrl-C, in seconds."""

MAX_TAIL = 1000
"""Maximum number of last lines: the server's maximum."""

LAST = document("""
query ServiceLogs($environment: ID!, $service: ID!, $tail: Int!, $since: DateTime) {
  serviceLogs(environment: $environment, service: $service, tail: $tail, since: $since) { cursor lines hasGap }
}
""")

FOLLOW = document("""
subscription ServiceLogs($environment: ID!, $service: ID!, $tail: Int!, $since: DateTime, $after: String) {
  serviceLogs(environment: $environment, service: $service, tail: $tail, since: $since, after: $after) {
    cursor lines hasGap
  }
}
""")

GONE = document("""
query ServiceExists($environment: ID!, $service: ID!) {
  service(environment: $environment, service: $service) { id }
}
""")


def logs(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            autocompletion=pipeline.complete_service,
            help="The service's name (in any case) or id.",
            show_default=False,
        ),
    ],
    scope: Scope,
    output: Output,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines, too, until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only lines since this time, to 10 s: 10m, 2h or ISO 8601.",
            show_default=False,
        ),
    ] = None,
    tail: Annotated[
        int, typer.Option("--tail", metavar="N", min=0, max=MAX_TAIL, help="At most the last N lines.")
    ] = 100,
) -> None:
    """Print what a service prints while it runs, also after its deployment. With --json each line is an object.

    The output of builds, jobs and deployments is in `stageline deployment logs`.
    """
    with Client.known() as client:
        environment = scope.find(client).id
        variables = {
            "environment": environment,
            "service": service,
            "tail": tail,
            "since": moments.time("--since", since),
        }
        if not follow:
            _print(client.execute(LAST, variables)["serviceLogs"], output)
            return
        feed = SubscriptionFeed(client.server, FOLLOW, variables, is_over=lambda: _is_gone(client, variables), tell=say)
        try:
            for batch in feed.events(TICK):
                if batch is not None:
                    _print(batch, output)
        except KeyboardInterrupt:
            raise Interrupted("Stopped following; the service goes on.") from None


def _is_gone(client: Client, variables: Data) -> bool:
    """Return whether the service was removed, and the server did not just shut down."""
    return client.execute(GONE, {name: variables[name] for name in ("environment", "service")})["service"] is None


def _print(batch: Data, output: Output) -> None:
    if batch["hasGap"]:
        say("Some lines were rotated away before they could be read.")
    for line in batch["lines"]:
        write(encoded({"text": line}) if output.as_json else line)
