"""`stageline diff`: the differences between two moments of a pipeline, and their events."""

import re
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli import run
from cli.client import Client, document
from cli.colour import painted
from cli.history import EVENT, HistoryEventJson
from cli.moment import time
from cli.output import Output
from cli.ref import RefJson, ServiceRefJson
from cli.scope import Scope, ScopedEnvironment
from cli.spec import FieldChangeJson
from cli.text import plain

CHANGE = """
fragment ChangeFields on Change {
  type message stage { id: stageId name } service { id: serviceId name type }
  ... on ServiceConfigured { fields { field before after } }
}
"""

DIFF = document(
    """
query PipelineDiff($environment: ID!, $from: PipelineMoment!, $to: PipelineMoment) {
  pipelineDiff(environment: $environment, from: $from, to: $to) {
    from { version } to { version }
    differences { change { ...ChangeFields } events(first: 500) { edges { node { ...HistoryFields } } } }
  }
}
""",
    CHANGE,
    EVENT,
)

VERSION = document("""
query PipelineVersion($environment: ID!, $from: PipelineMoment!) {
  pipelineDiff(environment: $environment, from: $from) { from { version } }
}
""")

SIGNS = {"CREATED": ("+", "green"), "ADDED": ("+", "green"), "DELETED": ("-", "red"), "REMOVED": ("-", "red")}

ExitCode = Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if there is a difference.")]


class ChangeJson(Struct):
    type: str
    message: str
    stage: RefJson | None
    service: ServiceRefJson | None
    fields: list[FieldChangeJson] = []


class DifferenceJson(Struct):
    """A change between two pipelines, and the events that made it; none for a document."""

    change: ChangeJson
    events: list[HistoryEventJson] = []

    def lines(self) -> list[str]:
        change = self.change
        sign, colour = SIGNS.get(change.type.rpartition("_")[2], ("~", "yellow"))
        message = (
            f"{change.service.name}: specification changed" if change.fields and change.service else change.message
        )
        fields = [f"    {plain(line)}" for each in change.fields for line in each.lines()]
        events = [f"    {event.line()}" for event in reversed(self.events)]
        return [painted(f"{sign} {message}", colour), *fields, *events]


class VersionJson(Struct):
    version: int


class PipelineDiffJson(Struct, rename={"from_": "from"}):
    """The differences between two pipelines of an environment."""

    from_: VersionJson
    to: VersionJson
    differences: list[DifferenceJson]


def diff(
    scope: Scope,
    output: Output,
    start: Annotated[str, typer.Argument(metavar="FROM", help="A version, a time, or deployment:NUMBER.")],
    end: Annotated[
        str | None,
        typer.Argument(
            metavar="[TO]", help="A version, a time, or deployment:NUMBER. Default: now.", show_default=False
        ),
    ] = None,
    exit_code: ExitCode = False,
) -> None:
    """Show the smallest change from one moment of the pipeline to another, and the events that made it."""
    with Client.known() as client:
        environment = scope.find(client)
        moments = {
            "from": _moment(client, environment, start),
            "to": None if end is None else _moment(client, environment, end),
        }
        found = client.execute(DIFF, {"environment": environment.id, **moments})["pipelineDiff"]
    for each in found["differences"]:
        each["events"] = [edge["node"] for edge in each["events"]["edges"]]
    shown = convert(found, PipelineDiffJson)
    output.answer(shown, text(shown.differences))
    if exit_code and shown.differences:
        raise typer.Exit(1)


def text(differences: list[DifferenceJson]) -> str:
    return "\n".join(line for each in differences for line in each.lines()) or "<no difference>"


def _moment(client: Client, environment: ScopedEnvironment, text: str) -> dict[str, object]:
    """Return the API's `PipelineMoment`."""
    if re.fullmatch(r"v?\d{1,9}", text):
        return {"version": int(text.removeprefix("v"))}
    kind, _, number = text.partition(":")
    if kind == "deployment" or run.is_id(text):
        return {"deployment": run.find(client, environment.id, number or text)}
    return {"asOf": time("moment", text, others="a version, deployment:NUMBER, ")}


def version(client: Client, environment: ScopedEnvironment, text: str) -> int:
    """Return the version of the pipeline at the moment *text*. Raise `Failed` if it had none."""
    moment = _moment(client, environment, text)
    if "version" in moment:
        return int(str(moment["version"]))
    found = client.execute(VERSION, {"environment": environment.id, "from": moment})["pipelineDiff"]
    return int(found["from"]["version"])
