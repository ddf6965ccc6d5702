"""`stageline history`: what was done to a pipeline, by whom and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli.client import Client, Data, document
from cli.colour import painted
from cli.errors import Failed, Interrupted, Misused
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, moment, say, write
from cli.run import RefJson, ServiceRefJson
from cli.scope import Scope, ScopedEnvironment, find_project
from cli.watch import TICK

EVENT = """
fragment HistoryFields on HistoryEvent {
  id cursor position type version message recordedAt actor actorName origin reason
  correlation versionBefore token { id name } environment { id name } stage { id name } service { id name type }
}
"""

OF_ENVIRONMENT = document(
    """
query PipelineHistory($environment: ID!, $filter: HistoryFilter, $first: Int, $after: String) {
  pipelineHistory(environment: $environment, filter: $filter, first: $first, after: $after) {
    edges { node { ...HistoryFields } } pageInfo { hasNextPage endCursor }
  }
}
""",
    EVENT,
)

OF_MANY = document(
    """
query History($project: ID, $filter: HistoryFilter, $first: Int, $after: String) {
  history(project: $project, filter: $filter, first: $first, after: $after) {
    edges { node { ...HistoryFields } } pageInfo { hasNextPage endCursor }
  }
}
""",
    EVENT,
)

LIVE = document("""
subscription PipelineEvents($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after) {
    id cursor position type version message recordedAt actor actorName origin reason
    stage { id name } service { id name type }
  }
}
""")

IS_DELETED = document("query IsDeleted($id: ID) { environment(id: $id) { isDeleted } }")


class HistoryEventJson(Struct, rename="camel", omit_defaults=True):
    """An event; those that come live are without what has a default here."""

    id: str
    cursor: str
    position: int
    type: str
    version: int
    message: str
    recorded_at: datetime
    actor: str
    actor_name: str | None
    origin: str
    reason: str | None
    stage: RefJson | None
    service: ServiceRefJson | None
    correlation: str | None = None
    version_before: int | None = None
    token: RefJson | None = None
    environment: RefJson | None = None

    def line(self, *, has_place: bool = False) -> str:
        """As it is printed where lines are; *has_place* says in which environment it was."""
        place = f"{self.environment.name}: " if has_place and self.environment else ""
        reason = painted(f"  ({self.reason})", is_dim=True) if self.reason else ""
        return (
            f"{painted(moment(self.recorded_at), is_dim=True)}  {painted(f'v{self.version}'.ljust(4), 'yellow')}  "
            f"{painted(self.actor_name or self.actor, 'cyan')}  {place}{self.message}{reason}"
        )


@dataclass(frozen=True)
class HistoryOptions:
    """Which events; each option narrows, and within one that is given again any value will do."""

    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="ACTOR", help="Of that actor.", show_default=False)
    ] = None
    stage: Annotated[
        list[str] | None, typer.Option("--stage", metavar="STAGE", help="Of that stage.", show_default=False)
    ] = None
    service: Annotated[
        list[str] | None, typer.Option("--service", metavar="SERVICE", help="Of that service.", show_default=False)
    ] = None
    type: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Of that type: service-moved, …", show_default=False),
    ] = None
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="ORIGIN", help="Made by api, cli or console.", show_default=False),
    ] = None
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Then or later, in ISO 8601.", show_default=False)
    ] = None
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Then or earlier.", show_default=False)
    ] = None
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="WORDS", help="With these words in it or its reason.", show_default=False),
    ] = None

    @property
    def variables(self) -> dict[str, object]:
        """As the contract's `HistoryFilter`; empty when nothing narrows."""
        given = {
            "actors": self.by,
            "stages": self.stage,
            "services": self.service,
            "types": [each.upper().replace("-", "_") for each in self.type or ()],
            "origins": [each.upper() for each in self.origin or ()],
            "since": time("--since", self.since),
            "until": time("--until", self.until),
            "text": self.text,
        }
        return {name: value for name, value in given.items() if value}


def time(option: str, text: str | None) -> str | None:
    """The moment that *text* names; without a time zone it is this machine's. Raises `Misused`."""
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise Misused(f"{option} {text!r} is no time in ISO 8601, as 2026-01-31T12:00Z is.") from error


def history(
    scope: Scope,
    narrowed: HistoryOptions,
    output: Output,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Show what comes, too, the newest last. Without filters.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many at most.")] = 50,
    whole_project: Annotated[bool, typer.Option("--whole-project", help="Of all environments of the project.")] = False,
    everything: Annotated[bool, typer.Option("--everything", help="Of all projects.")] = False,
) -> None:
    """Show what was done to a pipeline, the newest first: when, to which version, by whom, what, and why.

    With --json each event is an object of its own.
    """
    is_wide = whole_project or everything
    if follow and (is_wide or narrowed.variables):
        raise Misused("-f follows one environment, and shows everything: leave the other options out.")
    with Client.known() as client:
        if is_wide:
            project = None if everything else find_project(scope.project, client)
            for data in client.pages(OF_MANY, {"project": project, "filter": narrowed.variables}, limit=limit):
                _show(data, output, has_place=True)
            return
        environment = scope.find(client)
        variables = {"environment": environment.id, "filter": narrowed.variables}
        pages = client.pages(OF_ENVIRONMENT, variables, limit=limit)
        if follow:
            _follow(client, environment, list(pages)[::-1], output)
            return
        for data in pages:
            _show(data, output)


def _show(data: Data, output: Output, *, has_place: bool = False) -> None:
    event = convert(data, HistoryEventJson)
    write(encoded(event) if output.as_json else event.line(has_place=has_place))


def _follow(client: Client, environment: ScopedEnvironment, past: list[Data], output: Output) -> None:
    for data in past:
        _show(data, output)
    variables = {"environment": environment.id, "after": past[-1]["cursor"] if past else None}
    feed = SubscriptionFeed(client.server, LIVE, variables, is_over=lambda: _is_deleted(client, environment), tell=say)
    try:
        for event in feed.events(TICK):
            if event is not None:
                _show(event, output)
    except KeyboardInterrupt:
        raise Interrupted("Not following any more.") from None


def _is_deleted(client: Client, environment: ScopedEnvironment) -> bool:
    found = client.execute(IS_DELETED, {"id": environment.id})["environment"]
    if found is None:
        raise Failed(f"There is no environment {environment.name!r} any more.", code="ENVIRONMENT_NOT_FOUND")
    return bool(found["isDeleted"])
