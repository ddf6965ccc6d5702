"""`stageline history`: the changes of a pipeline, with author and reason."""

from collections.abc import Iterator, Sequence
from csv import writer
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import complete, names, pipeline
from cli.actor import NamedActorJson
from cli.client import Client, Data, document
from cli.colour import painted
from cli.errors import Failed, Interrupted, Misused
from cli.feed import SubscriptionFeed
from cli.moment import time
from cli.output import Output, encoded, moment, say, write
from cli.ref import RefJson, ServiceRefJson
from cli.scope import Scope, ScopedEnvironment, find_project
from cli.text import plain
from cli.watch import TICK

EVENT = """
fragment HistoryFields on PipelineEvent {
  id cursor logPosition pipelineEventType version message recordedAt actor { id name } origin reason
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


TYPES = (
    *("ENVIRONMENT_CREATED", "ENVIRONMENT_RENAMED", "TARGET_CHANGED", "CONCURRENCY_CHANGED"),
    *("ENVIRONMENT_POLICY_CHANGED", "ENVIRONMENT_DELETED", "ENVIRONMENT_VARIABLE_DELETED", "ENVIRONMENT_VARIABLE_SET"),
    *("ENVIRONMENT_SECRET_DELETED", "ENVIRONMENT_SECRET_SET", "ENVIRONMENT_KEY_ROTATED"),
    *("STAGE_CREATED", "STAGE_RENAMED", "STAGE_DESCRIBED", "STAGE_MOVED", "STAGE_POLICY_CHANGED"),
    *("STAGE_DEFAULT_CHANGED", "STAGE_DELETED", "SERVICE_ADDED", "SERVICE_RENAMED", "SERVICE_CONFIGURED"),
    *("SERVICE_MOVED", "SERVICE_SKIPPED", "SERVICE_UNSKIPPED", "SERVICE_REMOVED"),
)
"""The types of events: the API's `PipelineEventType`."""

ORIGINS = ("API", "CLI", "CONSOLE", "ENGINE")
"""The origins of changes: the API's `Origin`."""

CSV_COLUMNS = (
    *("recorded_at", "version", "environment", "type", "actor", "actor_name", "origin", "token", "message", "reason"),
    "id",
)

FORMULA = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet takes for a formula."""


class HistoryEventJson(Struct, rename="camel"):
    """An event of a pipeline."""

    id: str
    cursor: str
    log_position: int
    pipeline_event_type: str
    version: int
    message: str
    recorded_at: datetime
    actor: NamedActorJson
    origin: str
    reason: str | None
    stage: RefJson | None
    service: ServiceRefJson | None
    correlation: str | None
    version_before: int
    token: RefJson | None
    environment: RefJson

    def line(self, *, has_place: bool = False) -> str:
        """Return the event as a line; with *has_place* it names the environment.

        The message of an event of the environment itself begins with that name already.
        """
        is_of_part = self.stage is not None or self.service is not None
        place = f"{self.environment.name}: " if has_place and is_of_part else ""
        reason = painted(f"  ({self.reason})", is_dim=True) if self.reason else ""
        return (
            f"{painted(moment(self.recorded_at), is_dim=True)}  {painted(f'v{self.version}'.ljust(4), 'yellow')}  "
            f"{painted(self.who, 'cyan')}  {plain(place + self.message)}{reason}"
        )

    @property
    def who(self) -> str:
        return self.actor.text

    def row(self) -> tuple[str, ...]:
        """Return the event as a row of CSV, in the order of `CSV_COLUMNS`."""
        return (
            self.recorded_at.isoformat(),
            str(self.version),
            self.environment.name,
            self.pipeline_event_type,
            self.actor.id,
            self.actor.name or "",
            self.origin,
            self.token.name if self.token else "",
            self.message,
            self.reason or "",
            self.id,
        )


def _option_value(value: str) -> str:
    return value.lower().replace("_", "-")


@dataclass(frozen=True)
class HistoryOptions:
    """Filters of the history. An event matches every option, and any value of a repeated one."""

    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="ACTOR",
            autocompletion=complete.names(names.actor_names),
            help="Events of this actor: id, display name or former one. Repeatable.",
            show_default=False,
        ),
    ] = None
    stage: Annotated[
        list[str] | None,
        pipeline.stage_option("--stage", help="Events of this stage. Repeatable."),
    ] = None
    service: Annotated[
        list[str] | None,
        pipeline.service_option("--service", help="Events of this service. Repeatable."),
    ] = None
    type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            autocompletion=complete.values(lambda: map(_option_value, TYPES)),
            help="Events of this type: service-moved, … Repeatable.",
            show_default=False,
        ),
    ] = None
    origin: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            metavar="ORIGIN",
            autocompletion=complete.values(lambda: map(_option_value, ORIGINS)),
            help="Events made by api, cli or console. Repeatable.",
            show_default=False,
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Events at or after this time: in ISO 8601, or 1h for an hour ago.",
            show_default=False,
        ),
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
    def are_given(self) -> bool:
        return self != HistoryOptions()

    def variables(self, client: Client, environment: str | None) -> dict[str, object]:
        """Return the API's `HistoryFilter`; empty without filters. Raise `Misused` for an invalid value."""
        given = {
            "types": [_chosen("--type", each, TYPES) for each in self.type or ()],
            "origins": [_chosen("--origin", each, ORIGINS) for each in self.origin or ()],
            "since": time("--since", self.since),
            "until": time("--until", self.until),
            "text": self.text,
            "actors": names.actors(client, self.by) if self.by else None,
            "stages": self.stage,
            "services": self.service,
        }
        if environment is not None:
            given["stages"] = names.stages(client, environment, self.stage or ())
            given["services"] = names.services(client, environment, self.service or ())
        return {name: value for name, value in given.items() if value}


def _chosen(option: str, text: str, values: Sequence[str]) -> str:
    """Return the value of the API that *text* names: `service-moved` is SERVICE_MOVED."""
    value = text.upper().replace("-", "_")
    if value not in values:
        allowed = ", ".join(_option_value(each) for each in values)
        raise Misused(f"Invalid {option} {text!r}: it is one of {allowed}.")
    return value


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
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a line of headers, for spreadsheets.")] = False,
) -> None:
    """Show the changes of a pipeline, newest first: time, version, author, change and reason.

    With --json each line is an object. Stages, services and environments are found by the names that they have or had.
    """
    is_wide = whole_project or everything
    if follow and (is_wide or narrowed.are_given):
        raise Misused("-f follows all events of one environment: leave the other options out.")
    if as_csv and (follow or output.as_json):
        raise Misused("Give only one of --csv, --json and -f.")
    show = Printer(output, as_csv=as_csv, has_place=is_wide)
    with Client.known() as client:
        if is_wide:
            project = None if everything else find_project(scope.project, client)
            variables: dict[str, object] = {"project": project, "filter": narrowed.variables(client, None)}
            show.all(client.pages(OF_MANY, variables, limit=limit + 1), limit)
            return
        environment = scope.find(client)
        variables = {"environment": environment.id, "filter": narrowed.variables(client, environment.id)}
        if follow:
            pages = client.pages(OF_ENVIRONMENT, variables, limit=limit)
            _follow(client, environment, list(pages)[::-1], show)
            return
        show.all(client.pages(OF_ENVIRONMENT, variables, limit=limit + 1), limit)


class Printer:
    """Prints events: as lines, as JSON lines or as CSV; with *has_place* a line names the environment."""

    def __init__(self, output: Output, *, as_csv: bool = False, has_place: bool = False) -> None:
        self._output = output
        self._as_csv = as_csv
        self._has_place = has_place

    def all(self, events: Iterator[Data], limit: int) -> None:
        """Print at most *limit* events, and say whether there are none, or more."""
        if self._as_csv:
            write(csv_line(CSV_COLUMNS))
        count = 0
        for count, data in enumerate(events, 1):
            if count > limit:
                self._output.note(f"There are older events: add --limit {limit * 2} to see more.")
                return
            self.one(data)
        if count == 0 and not (self._as_csv or self._output.as_json):
            write("<no event>")

    def one(self, data: Data) -> None:
        event = convert(data, HistoryEventJson)
        if self._as_csv:
            write(csv_line(event.row()))
        elif self._output.as_json:
            write(encoded(event))
        else:
            write(event.line(has_place=self._has_place))


def csv_line(cells: Sequence[str]) -> str:
    """Return *cells* as a line of CSV (RFC 4180), without control characters.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    texts = [plain(cell) for cell in cells]
    line = StringIO()
    writer(line, lineterminator="").writerow([f"'{text}" if text.startswith(FORMULA) else text for text in texts])
    return line.getvalue()


def _follow(client: Client, environment: ScopedEnvironment, past: list[Data], show: Printer) -> None:
    for data in past:
        show.one(data)
    variables = {"environment": environment.id, "after": past[-1]["cursor"] if past else None}
    feed = SubscriptionFeed(client.server, LIVE, variables, is_over=lambda: _is_deleted(client, environment), tell=say)
    try:
        for event in feed.events(TICK):
            if event is not None:
                show.one(event)
    except KeyboardInterrupt:
        raise Interrupted("Stopped following.") from None


def _is_deleted(client: Client, environment: ScopedEnvironment) -> bool:
    found = client.execute(IS_DELETED, {"id": environment.id})["environment"]
    if found is None:
        raise Failed(f"There is no environment {environment.name!r} any more.", code="ENVIRONMENT_NOT_FOUND")
    return bool(found["isDeleted"])
