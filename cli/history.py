"""`stageline history`: the changes of a pipeline, with author and reason."""

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
fragment HistoryFields on PipelineEvent {
  id cursor position type version message recordedAt actor actorName origin reason
  correlation versionBefore token { id: tokenId name } environment { id: environmentId name }
  stage { id: stageId name } service { id: serviceId name type }
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

LIVE = document(
    """
subscription PipelineEvents($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after) { ...HistoryFields }
}
""",
    EVENT,
)

IS_DELETED = document("query IsDeleted($id: ID) { environment(id: $id) { isDeleted } }")


class HistoryEventJson(Struct, rename="camel"):
    """An event of a pipeline."""

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
    correlation: str | None
    version_before: int
    token: RefJson | None
    environment: RefJson

    def line(self, *, has_place: bool = False) -> str:
        """Return the event as a line; with *has_place* it names the environment."""
        place = f"{self.environment.name}: " if has_place else ""
        reason = painted(f"  ({self.reason})", is_dim=True) if self.reason else ""
        return (
            f"{painted(moment(self.recorded_at), is_dim=True)}  {painted(f'v{self.version}'.ljust(4), 'yellow')}  "
            f"{painted(self.actor_name or self.actor, 'cyan')}  {place}{self.message}{reason}"
        )


@dataclass(frozen=True)
class HistoryOptions:
    """Filters of the history. An event matches every option, and any value of a repeated one."""

    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="ACTOR", help="Events of this actor. Repeatable.", show_default=False),
    ] = None
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="STAGE", help="Events of this stage. Repeatable.", show_default=False),
    ] = None
    service: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="SERVICE", help="Events of this service. Repeatable.", show_default=False),
    ] = None
    type: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="Events of this type: service-moved, … Repeatable.", show_default=False
        ),
    ] = None
    origin: Annotated[
        list[str] | None,
        typer.Option(
            "--origin", metavar="ORIGIN", help="Events made by api, cli or console. Repeatable.", show_default=False
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Events at or after this time, in ISO 8601.", show_default=False),
    ] = None
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Events at or before this time.", show_default=False)
    ] = None
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="WORDS", help="Events with these words in the message or reason.", show_default=False
        ),
    ] = None

    @property
    def variables(self) -> dict[str, object]:
        """Return the API's `HistoryFilter`; empty without filters."""
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
    """Return the time *text* in ISO 8601. Without a time zone it is local. Raise `Misused` if it is invalid."""
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise Misused(f"Invalid {option} {text!r}: give a time in ISO 8601, such as 2026-01-31T12:00Z.") from error


def history(
    scope: Scope,
    narrowed: HistoryOptions,
    output: Output,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Show new events, too, newest last. Takes no filters.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of events.")] = 50,
    whole_project: Annotated[
        bool, typer.Option("--whole-project", help="Events of all environments of the project.")
    ] = False,
    everything: Annotated[bool, typer.Option("--everything", help="Events of all projects.")] = False,
) -> None:
    """Show the changes of a pipeline, newest first: time, version, author, change and reason.

    With --json each line is an object.
    """
    is_wide = whole_project or everything
    if follow and (is_wide or narrowed.variables):
        raise Misused("-f follows all events of one environment: leave the other options out.")
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
        raise Interrupted("Stopped following.") from None


def _is_deleted(client: Client, environment: ScopedEnvironment) -> bool:
    found = client.execute(IS_DELETED, {"id": environment.id})["environment"]
    if found is None:
        raise Failed(f"There is no environment {environment.name!r} any more.", code="ENVIRONMENT_NOT_FOUND")
    return bool(found["isDeleted"])
