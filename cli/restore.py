"""`stageline restore` and `stageline undo`."""

from typing import Annotated

import typer

from cli import pipeline
from cli.change import VersionedChangeOptions
from cli.client import Client, document
from cli.errors import Failed
from cli.output import Output
from cli.scope import Scope

RESTORE = pipeline.mutation("restorePipeline", version="Int!")
UNDO = pipeline.mutation("undo", change="ID")

CHANGES = document("""
query Changes($environment: ID!, $first: Int, $after: String) {
  pipelineHistory(environment: $environment, first: $first, after: $after) {
    edges { node { id version } } pageInfo { hasNextPage endCursor }
  }
}
""")


def restore(
    version: Annotated[
        int, typer.Argument(metavar="VERSION", min=1, help="The version, as `stageline history` shows it.")
    ],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
) -> None:
    """Restore the pipeline to an earlier version. The history keeps everything.

    A deleted stage returns with its old id. The environment's name doesn't change.
    """
    after = pipeline.change(RESTORE, scope, change, version=version)
    done = f"Pipeline restored to version {version}; it is version {after.version} now"
    output.answer(after, change.text(after, done, after.listing()))


def undo(
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    version: Annotated[
        int | None,
        typer.Argument(
            metavar="[VERSION]",
            min=1,
            help="The change that made this version, as `stageline history` shows it. Default: your last one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Undo a change of your own to the pipeline. Later changes stay; if one stands on it, the undo is refused.

    Without a version, each undo goes one change further back. An undo is a change, too: undo its version to make the
    change again.
    """
    with Client.known() as client:
        environment = scope.find(client).id
        chosen = None if version is None else _event(client, environment, version)
        after = pipeline.read(client.change(UNDO, {"environment": environment, "change": chosen, **change.variables}))
    what = "Last change" if version is None else f"Change of version {version}"
    output.answer(after, change.text(after, f"{what} undone; it is version {after.version} now", after.listing()))


def _event(client: Client, environment: str, version: int) -> str:
    """Return the id of the event that made *version*. Raise `Failed` if there is none."""
    for event in client.pages(CHANGES, {"environment": environment}):
        if event["version"] == version:
            return str(event["id"])
    raise Failed(f"The pipeline has no version {version}.", code="VERSION_NOT_FOUND")
