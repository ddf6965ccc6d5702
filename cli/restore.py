"""`stageline restore` and `stageline undo`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import backup, diff, pipeline
from cli.change import VersionedChangeOptions
from cli.client import Client, document
from cli.command import is_given
from cli.errors import Failed, Misused
from cli.output import Output
from cli.scope import Scope

RESTORE = pipeline.mutation("restorePipeline", version="Int!")
UNDO = pipeline.mutation("undoPipelineChange", change="ID")

CHANGES = document("""
query Changes($environment: ID!, $first: Int, $after: String) {
  pipelineHistory(environment: $environment, first: $first, after: $after) {
    edges { node { id version } } pageInfo { hasNextPage endCursor }
  }
}
""")


def restore(
    context: typer.Context,
    moment: Annotated[
        str,
        typer.Argument(
            metavar="MOMENT",
            help="A version, as `stageline history` shows it, a time, or deployment:NUMBER. With --data: the folder "
            "of a backup.",
        ),
    ],
    scope: Scope,
    change: VersionedChangeOptions,
    output: Output,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="NEW",
            file_okay=False,
            show_default=False,
            help="Restore a backup (`stageline backup`) as this new data folder of a server. It asks no server, and "
            "takes no other option.",
        ),
    ] = None,
) -> None:
    """Restore the pipeline as it was at an earlier moment, or a whole server from a backup.

    The history of a pipeline keeps everything. A deleted stage returns with its old id. The environment's name doesn't
    change.
    """
    if data is not None:
        others = sorted(name for name in context.params if name not in ("moment", "data") and is_given(context, name))
        if others:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in others)
            raise Misused(f"A restore from a backup takes no {names}: only the folder of the backup, and --data.")
        backup.restore(Path(moment), data)
        return
    with Client.known() as client:
        environment = scope.find(client)
        version = diff.version(client, environment, moment)
    after = pipeline.change(RESTORE, Scope(environment=environment.id), change, version=version)
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
    after = pipeline.change(UNDO, Scope(environment=environment), change, change=chosen)
    what = "Last change" if version is None else f"Change of version {version}"
    output.answer(after, change.text(after, f"{what} undone; it is version {after.version} now", after.listing()))


def _event(client: Client, environment: str, version: int) -> str:
    """Return the id of the event that made *version*. Raise `Failed` if there is none."""
    for event in client.pages(CHANGES, {"environment": environment}):
        if event["version"] == version:
            return str(event["id"])
    raise Failed(f"The pipeline has no version {version}.", code="VERSION_NOT_FOUND")
