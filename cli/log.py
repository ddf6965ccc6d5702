"""The output of a deployment's steps: printed, followed and downloaded."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, convert

from cli import lazy, run
from cli.client import Client, Data, Variables, document
from cli.errors import Interrupted
from cli.feed import SubscriptionFeed
from cli.output import Output, encoded, say, write
from cli.private import replaced
from cli.ref import ServiceRefJson
from cli.text import plain

TICK = 0.5

MAX_LAST = 500
"""Maximum number of last lines: the server's largest page."""

LOGS = document(
    """
subscription DeploymentLogs($deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $after: String) {
  deploymentLogs(deployment: $deployment, service: $service, phase: $phase, attempt: $attempt, after: $after) {
    cursor
    chunks { number printedAt service { id: serviceId name type } phase attempt kind texts }
    unfinished { service { id: serviceId name type } phase attempt text }
  }
}
"""
)

PAST_LOGS = document(
    """
query DeploymentLogs(
  $deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $text: String
  $first: Int, $after: String, $last: Int
) {
  deploymentLogs(
    deployment: $deployment, service: $service, phase: $phase, attempt: $attempt, text: $text
    first: $first, after: $after, last: $last
  ) {
    edges { node { number printedAt service { id: serviceId name type } phase attempt kind text } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
)


class LogLineJson(Struct, rename="camel"):
    """A line of a step's output, or (kind NOTE or FAILURE) a note of Stageline about it."""

    number: int
    printed_at: datetime
    service: ServiceRefJson
    phase: str
    attempt: int
    kind: str
    text: str

    def line(self) -> str:
        note = "" if self.kind == "LINE" else "# "
        at = f"{self.printed_at.astimezone():%H:%M:%S}"
        return f"{at}  {plain(self.service.name)} {self.phase.lower()} | {note}{self.text}"


class UnfinishedLineJson(Struct, rename="camel"):
    """A line that has no end yet."""

    service: ServiceRefJson
    phase: str
    attempt: int
    text: str

    def line(self) -> str:
        text = "".join(each if each.isprintable() else " " for each in self.text)
        return f"          {self.service.name} {self.phase.lower()} | {text}"


def show(client: Client, deployment: str, selection: Variables, text: str | None, last: int | None) -> Iterator[Data]:
    """Yield the lines that contain *text*, or the *last* ones of them."""
    variables = {"deployment": deployment, **selection, "text": text}
    if last is None:
        yield from client.pages(PAST_LOGS, variables)
    else:
        (page,) = client.execute(PAST_LOGS, {**variables, "last": last}).values()
        yield from (edge["node"] for edge in page["edges"])


def print_line(data: Data, output: Output) -> None:
    line = convert(data, LogLineJson)
    write(encoded(line) if output.as_json else line.line())


def follow(client: Client, deployment: str, selection: Variables, text: str | None, output: Output) -> None:
    """Print all lines that contain *text*, and new ones, until the deployment is over."""
    is_live = not output.as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    rows = UnfinishedRows() if is_live else None
    feed = SubscriptionFeed(
        client.server,
        LOGS,
        {"deployment": deployment, **selection},
        is_over=lambda: run.get(client, deployment).is_over,
        tell=say,
    )
    try:
        for batch in feed.events(TICK):
            if batch is None:
                continue
            if rows is not None:
                rows.erase()
            for line in _lines(batch):
                if text is None or text.casefold() in line["text"].casefold():
                    print_line(line, output)
            if rows is not None:
                rows.draw([convert(each, UnfinishedLineJson).line() for each in batch["unfinished"]])
    except KeyboardInterrupt:
        raise Interrupted("Stopped following; the deployment continues.") from None


def _lines(batch: Data) -> Iterator[Data]:
    for chunk in batch["chunks"]:
        whole = {name: value for name, value in chunk.items() if name not in ("number", "texts")}
        for number, text in enumerate(chunk["texts"], chunk["number"]):
            yield {**whole, "number": number, "text": text}


class UnfinishedRows:
    """The lines without an end, in the last rows of a terminal."""

    def __init__(self) -> None:
        self._count = 0

    def erase(self) -> None:
        if self._count:
            sys.stdout.write(f"\x1b[{self._count}F\x1b[J")
        self._count = 0

    def draw(self, rows: Sequence[str]) -> None:
        width, height = os.get_terminal_size(sys.stdout.fileno())
        shown = rows[: max(1, height - 1)]
        self._count = len(shown)
        sys.stdout.write("".join(f"{row[: width - 1]}\n" for row in shown))
        sys.stdout.flush()


def download(client: Client, deployment: str, selection: Variables, path: Path) -> int:
    """Write the output to the file *path*, compressed with gzip, and return its size in bytes."""
    server = client.server
    chosen = {name: str(value) for name, value in selection.items() if value is not None}
    try:
        with (
            server.http() as http,
            http.stream("GET", f"/graphql/logs/{deployment}", params=chosen) as response,
        ):
            if response.status_code != lazy.httpx.codes.OK:
                response.read()
                raise server.refusal(response)
            with replaced(path) as file:
                size = 0
                for chunk in response.iter_raw():
                    size += file.write(chunk)
            return size
    except (lazy.httpx.HTTPError, lazy.httpx.InvalidURL) as error:
        raise server.not_reachable(f"the download broke off: {error}") from error
