"""`stageline restore` and `stageline undo`."""

from typing import Annotated

import typer

from cli import pipeline
from cli.change import ChangeOptions
from cli.output import Output
from cli.scope import Scope

RESTORE = pipeline.mutation("restorePipeline", version="Int!")
UNDO = pipeline.mutation("undo")


def restore(
    version: Annotated[
        int, typer.Argument(metavar="VERSION", min=1, help="The version, as `stageline history` shows it.")
    ],
    scope: Scope,
    change: ChangeOptions,
    output: Output,
) -> None:
    """Restore the pipeline to an earlier version. The history keeps everything.

    A deleted stage returns with its old id. The environment's name doesn't change.
    """
    after = pipeline.change(RESTORE, scope, change, version=version)
    done = f"Pipeline restored to version {version}; it is version {after.version} now"
    output.answer(after, change.text(after, done, after.listing()))


def undo(scope: Scope, change: ChangeOptions, output: Output) -> None:
    """Undo your own last change to the pipeline. Later changes of others stay.

    A second undo makes the change again.
    """
    after = pipeline.change(UNDO, scope, change)
    output.answer(after, change.text(after, f"Last change undone; it is version {after.version} now", after.listing()))
