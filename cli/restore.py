"""`stageline restore` and `stageline undo`."""

from typing import Annotated

import typer

from cli import diff, pipeline
from cli.change import ChangeOptions
from cli.client import Client
from cli.output import Output
from cli.scope import Scope

RESTORE = pipeline.mutation("restorePipeline", version="Int!")
UNDO = pipeline.mutation("undo")


def restore(
    moment: Annotated[
        str,
        typer.Argument(
            metavar="MOMENT", help="A version, as `stageline history` shows it, a time, or deployment:NUMBER."
        ),
    ],
    scope: Scope,
    change: ChangeOptions,
    output: Output,
) -> None:
    """Restore the pipeline as it was at an earlier moment. The history keeps everything.

    A deleted stage returns with its old id. The environment's name doesn't change.
    """
    with Client.known() as client:
        environment = scope.find(client)
        version = diff.version(client, environment, moment)
    after = pipeline.change(RESTORE, Scope(environment=environment.id), change, version=version)
    done = f"Pipeline restored to version {version}; it is version {after.version} now"
    output.answer(after, change.text(done, after.listing()))


def undo(scope: Scope, change: ChangeOptions, output: Output) -> None:
    """Undo your own last change to the pipeline. Later changes of others stay.

    A second undo makes the change again.
    """
    after = pipeline.change(UNDO, scope, change)
    output.answer(after, change.text(f"Last change undone; it is version {after.version} now", after.listing()))
